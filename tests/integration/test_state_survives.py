"""Windows and states over crashes and swaps: real workers and brokers, beside a numpy loop."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.contract.manifest import Input, Tensor, Window
from edge_agent.contract.signature import TensorSpec
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import (
    BrokerAddress,
    WorkerBeganEmpty,
    WorkerEvent,
    WorkerSpec,
)
from edge_agent.store.slots import Installed
from tests.support.brokers import Broker
from tests.support.models import BuiltModule, fields, identity_model, manifest_of, write_module
from tests.support.mqtt import Client
from tests.support.real_clock import RealClock
from tests.support.recurrent import Cell, Floats, rows_of
from tests.support.waiting import wait_for

SLOT = "probe"
SOURCES = range(3)
SECONDS = 60

Rows = dict[int, list[tuple[float, float]]]


@pytest.fixture
def heard() -> list[WorkerEvent]:
    """What the workers say."""
    return []


@pytest.fixture
def supervisor(launcher: Launcher, heard: list[WorkerEvent]) -> Iterator[Supervisor]:
    found = Supervisor(
        launcher=launcher,
        clock=RealClock(),
        on_change=lambda *_: None,
        on_uplink=lambda *_: None,
        on_heard=lambda _spec, event: heard.append(event),
    )
    yield found
    found.close(5.0)


def spec_of(module: BuiltModule, broker: Broker) -> WorkerSpec:
    address = BrokerAddress(url=broker.url)
    return module.spec("live", broker=address, stats_interval_s=0.2, has_state=True)


def installed(module: BuiltModule) -> Installed:
    return Installed(module=SLOT, version=1, digest=module.digest)


def is_connected(supervisor: Supervisor) -> bool:
    supervisor.tick(time.monotonic())
    health = supervisor.health()[SLOT]
    return health.state == "running" and health.connected


def start(supervisor: Supervisor, module: BuiltModule, broker: Broker) -> None:
    supervisor.run(SLOT, installed(module), spec_of(module, broker))
    wait_for(lambda: is_connected(supervisor), SECONDS)


def swap(supervisor: Supervisor, module: BuiltModule, broker: Broker) -> None:
    spec = spec_of(module, broker)
    supervisor.prepare(SLOT, installed(module), spec, lambda: False)
    supervisor.hand_over(SLOT)
    wait_for(lambda: is_connected(supervisor), SECONDS)


def send(client: Client, rows: Rows, first: int, last: int) -> None:
    """Rows of all sources in turn; returns when the broker has all of them."""
    sent = [
        client.publish(
            f"sensors/{source}/rows",
            {"id": number, "a": rows[source][number][0], "b": rows[source][number][1]},
        )
        for number in range(first, last)
        for source in rows
    ]
    for one in sent:
        one.wait_for_publish(SECONDS)


def answers(client: Client) -> dict[tuple[int, int], set[float]]:
    """Source and number of each row that was answered, with its scores, rounded."""
    found: dict[tuple[int, int], set[float]] = {}
    for message in list(client.received):
        body = message.json
        key = int(message.topic.split("/")[1]), int(body["id"])
        found.setdefault(key, set()).add(round(body["outputs"]["score"][0], 3))
    return found


def await_answers(client: Client, rows: Rows, last: int) -> None:
    wanted = {(source, number) for source in rows for number in range(last)}
    wait_for(
        lambda: wanted <= answers(client).keys(),
        SECONDS,
        lambda: f"only {len(answers(client))} of {len(wanted)}",
    )


def check(client: Client, source: int, first: int, expected: list[float]) -> None:
    """Every answer to every row, repeated ones too, is the one of the numpy loop."""
    found = answers(client)
    for number, score in enumerate(expected, first):
        for given in found[source, number]:
            assert given == pytest.approx(score, abs=2e-3), (source, number)


def test_a_kill_in_the_middle_changes_no_answer(
    any_broker: Broker, tmp_path: Path, supervisor: Supervisor
) -> None:
    cell, count = Cell(), 100
    rows = {source: rows_of(source, count) for source in SOURCES}
    with Client(any_broker.host, any_broker.port, "results/#") as client:
        start(supervisor, cell.module(tmp_path / "m"), any_broker)
        send(client, rows, 0, 10)
        await_answers(client, rows, 10)
        # Everything is on its way before the kill, so that what comes again comes in order.
        pid = supervisor.health()[SLOT].pid
        os.kill(pid, signal.SIGSTOP)
        send(client, rows, 10, count)
        os.kill(pid, signal.SIGCONT)
        client.wait_for_count(45, SECONDS)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: supervisor.health()[SLOT].state == "crashed", SECONDS)
        wait_for(lambda: is_connected(supervisor), SECONDS)
        await_answers(client, rows, count)
        assert supervisor.health()[SLOT].restarts == 1
        for source in SOURCES:
            check(client, source, 0, cell.scores(rows[source]))


def test_a_version_with_the_same_layout_goes_on_and_another_begins_anew_and_says_so(
    any_broker: Broker, tmp_path: Path, supervisor: Supervisor, heard: list[WorkerEvent]
) -> None:
    first, second, third = Cell(seed=1), Cell(seed=2), Cell(seed=3, hidden=5)
    rows = {source: rows_of(source, 15) for source in SOURCES}
    with Client(any_broker.host, any_broker.port, "results/#") as client:
        start(supervisor, first.module(tmp_path / "1"), any_broker)
        send(client, rows, 0, 5)
        await_answers(client, rows, 5)
        swap(supervisor, second.module(tmp_path / "2"), any_broker)
        send(client, rows, 5, 10)
        await_answers(client, rows, 10)
        assert supervisor.health()[SLOT].notes == ()
        swap(supervisor, third.module(tmp_path / "3"), any_broker)
        send(client, rows, 10, 15)
        await_answers(client, rows, 15)
        wait_for(
            lambda: any("began empty" in note for note in supervisor.health()[SLOT].notes), SECONDS
        )
        assert len([event for event in heard if isinstance(event, WorkerBeganEmpty)]) == 1
        for source in SOURCES:
            state: Floats = np.zeros(first.hidden, np.float32)
            scores, state = first.run(rows[source][:5], state)
            check(client, source, 0, scores)
            check(client, source, 5, second.run(rows[source][5:10], state)[0])
            check(client, source, 10, third.scores(rows[source][10:]))


def test_half_full_windows_outlive_a_kill_and_a_slot_that_goes_forgets_them(
    nats_broker: Broker, tmp_path: Path, supervisor: Supervisor
) -> None:
    spec = TensorSpec("x", "float32", (-1, 3, 1))
    model = identity_model(spec)
    manifest = manifest_of(
        model,
        [spec],
        [TensorSpec("x_out", "float32", (-1, 3, 1))],
        [Tensor(name="x", source="fields", fields=fields("a"))],
        source=Input(topic="sensors/+/rows", window=Window(size=3, step=3)),
    )
    module = write_module(tmp_path / "m", manifest, {}, model)

    def taken(count: int) -> bool:
        return supervisor.health()[SLOT].messages_in == count

    with Client(nats_broker.host, nats_broker.port, "results/#") as client:
        start(supervisor, module, nats_broker)
        for value in (1, 2):
            client.publish("sensors/x/rows", {"a": value})
        wait_for(lambda: taken(2), SECONDS)
        os.kill(supervisor.health()[SLOT].pid, signal.SIGKILL)
        wait_for(lambda: supervisor.health()[SLOT].state == "crashed", SECONDS)
        wait_for(lambda: is_connected(supervisor), SECONDS)
        client.publish("sensors/x/rows", {"a": 3})
        assert client.wait_for_count(1, SECONDS)[0].json["outputs"]["x_out"] == [[1], [2], [3]]
        client.publish("sensors/x/rows", {"a": 4})
        # What is answered here came after the row that waits.
        for value in (10, 11, 12):
            client.publish("sensors/z/rows", {"a": value})
        assert client.wait_for_count(2, SECONDS)[1].topic == "results/z/rows"
        supervisor.stop(SLOT)
        start(supervisor, module, nats_broker)
        for value in (5, 6, 7):
            client.publish("sensors/x/rows", {"a": value})
        assert client.wait_for_count(3, SECONDS)[2].json["outputs"]["x_out"] == [[5], [6], [7]]
