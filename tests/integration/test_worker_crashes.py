"""Models that crash, hang and ask for everything, beside a slot that works: it never notices."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract.manifest import Input, Output, Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import BrokerAddress, WorkerEvent, WorkerPoison, WorkerSpec
from edge_agent.store.slots import Installed
from tests.support.brokers import Broker
from tests.support.models import (
    BuiltModule,
    build_module,
    endless_model,
    hungry_model,
    manifest_of,
    write_module,
)
from tests.support.real_clock import RealClock
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

WAIT_S = 40.0
HEALTHY_TOPIC = "sensors/healthy/rows"


class Device:
    """Slots on a broker, under a supervisor that is ticked as the agent's reconcile loop does."""

    def __init__(self, broker: Broker, launcher: Launcher) -> None:
        self.broker = broker
        self.events: list[WorkerEvent] = []
        self.supervisor = Supervisor(
            launcher=launcher,
            clock=RealClock(),
            on_change=lambda *_: self._wake.set(),
            on_uplink=lambda *_: None,
            on_heard=lambda _spec, event: self.events.append(event),
        )
        self._wake = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def run(self, module: BuiltModule) -> None:
        slot = module.manifest.name
        address = BrokerAddress(url=self.broker.url)
        spec: WorkerSpec = module.spec("live", broker=address, stats_interval_s=0.2)
        version = Installed(module=slot, version=1, digest=module.digest)
        self.supervisor.run(slot, version, spec)
        wait_for(lambda: self.supervisor.health()[slot].connected, WAIT_S)

    def pid(self, slot: str) -> int:
        return self.supervisor.health()[slot].pid

    def close(self) -> None:
        self._is_over = True
        self._wake.set()
        self._thread.join(5)
        self.supervisor.close(3.0)

    def _tick(self) -> None:
        while not self._is_over:
            now = time.monotonic()
            due = self.supervisor.tick(now)
            self._wake.wait(0.5 if due is None else max(0.02, min(0.5, due - now)))
            self._wake.clear()


@pytest.fixture
def device(nats_broker: Broker, launcher: Launcher, tmp_path: Path) -> Iterator[Device]:
    """With a healthy slot that answers rows on `HEALTHY_TOPIC`."""
    one = Device(nats_broker, launcher)
    one.run(
        build_module(
            tmp_path / "healthy",
            name="healthy",
            source=Input(topic=HEALTHY_TOPIC),
            output=Output(topic="results/healthy"),
        )
    )
    yield one
    one.close()


@pytest.fixture
def healthy(nats_broker: Broker) -> Iterator[RowsClient]:
    """What the healthy slot answers."""
    client = RowsClient(nats_broker.host, nats_broker.port)
    client.listen("results/healthy")
    yield client
    client.close()


@pytest.fixture
def bad(nats_broker: Broker) -> Iterator[RowsClient]:
    """What the bad slot answers."""
    client = RowsClient(nats_broker.host, nats_broker.port)
    client.listen("results/bad/#")
    yield client
    client.close()


def counting_module(
    folder: Path, model: bytes, given: TensorSpec, out: TensorSpec, runtime: Runtime
) -> BuiltModule:
    manifest = manifest_of(
        model,
        [given],
        [out],
        [Tensor(name=given.name, source="array", path="count")],
        name="bad",
        source=Input(topic="sensors/bad/rows"),
        output=Output(topic="results/bad"),
        runtime=runtime,
    )
    return write_module(folder, manifest, {}, model)


def hungry(folder: Path) -> BuiltModule:
    return counting_module(
        folder,
        hungry_model(),
        TensorSpec("count", "int64", (1,)),
        TensorSpec("out", "float32", (1,)),
        Runtime(memory_mb=128),
    )


def ask(client: RowsClient, count: list[Any]) -> dict[str, Any]:
    client.send("sensors/bad/rows", {"count": count})
    return client.next_answer(WAIT_S)


def assert_all_answered(client: RowsClient, sent: int) -> None:
    """Every row had its answer."""
    wait_for(lambda: {a["id"] for a in client.answers} == set(range(sent)), WAIT_S)


def test_a_model_that_asks_for_everything_costs_one_message(
    device: Device, healthy: RowsClient, bad: RowsClient, tmp_path: Path
) -> None:
    device.run(hungry(tmp_path))
    pid = device.pid("bad")
    stream = healthy.stream(HEALTHY_TOPIC, 0.005)
    assert ask(bad, [7])["outputs"] == {"out": [7.0]}
    # 160 GB.
    assert ask(bad, [40 * 2**30])["error"]["code"] == "out_of_memory"
    assert ask(bad, [7])["outputs"] == {"out": [7.0]}
    assert device.pid("bad") == pid, "it did not even have to be started again"
    assert_all_answered(healthy, stream.stop())


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_worker_that_is_killed_is_back_at_once_and_its_neighbour_loses_nothing(
    device: Device, healthy: RowsClient, tmp_path: Path, number: signal.Signals
) -> None:
    other = RowsClient(device.broker.host, device.broker.port)
    try:
        other.listen("results/other")
        module = build_module(
            tmp_path / "other",
            name="other",
            source=Input(topic="sensors/other/rows"),
            output=Output(topic="results/other"),
        )
        device.run(module)
        stream = healthy.stream(HEALTHY_TOPIC, 0.005)
        for _ in range(5):
            other.send("sensors/other/rows", {"id": 1, "a": 1, "b": 1, "c": 1})
            other.next_answer(WAIT_S)
            pid = device.pid("other")
            os.kill(pid, number)
            wait_for(lambda pid=pid: device.pid("other") not in (0, pid), WAIT_S)
        other.send("sensors/other/rows", {"id": 2, "a": 1, "b": 1, "c": 1})
        wait_for(lambda: any(a["id"] == 2 for a in other.answers), WAIT_S)
        assert device.supervisor.health()["other"].restarts == 5
        assert device.supervisor.health()["healthy"].restarts == 0
        assert_all_answered(healthy, stream.stop())
    finally:
        other.close()


def test_a_worker_that_is_silent_is_ended_and_started_again(
    device: Device, healthy: RowsClient, bad: RowsClient, tmp_path: Path
) -> None:
    device.run(hungry(tmp_path))
    pid = device.pid("bad")
    os.kill(pid, signal.SIGSTOP)
    stream = healthy.stream(HEALTHY_TOPIC, 0.02)
    assert ask(bad, [3])["outputs"] == {"out": [3.0]}
    assert device.pid("bad") != pid
    crashed = device.supervisor.seen()["bad"].trial
    assert "worker_hung: nothing was heard of the process" in crashed.last_words
    assert_all_answered(healthy, stream.stop())


LOOPS, ENDS = [[1.0, 1.0, 1.0]], [[-1.0, -1.0, -1.0]]


def looping(folder: Path, run_timeout_ms: int) -> BuiltModule:
    return counting_module(
        folder,
        endless_model(),
        TensorSpec("X", "float32", (-1, 3)),
        TensorSpec("out", "float32", (-1, 3)),
        # Nothing is tried on rows that would loop while it is loaded.
        Runtime(run_timeout_ms=run_timeout_ms, max_batch=1),
    )


def test_a_model_that_loops_costs_one_message(
    device: Device, healthy: RowsClient, bad: RowsClient, tmp_path: Path
) -> None:
    device.run(looping(tmp_path, 500))
    pid = device.pid("bad")
    stream = healthy.stream(HEALTHY_TOPIC, 0.02)
    assert "outputs" in ask(bad, ENDS)
    assert ask(bad, LOOPS)["error"]["code"] == "run_timeout"
    assert "outputs" in ask(bad, ENDS)
    assert device.pid("bad") == pid, "it did not even have to be started again"
    assert_all_answered(healthy, stream.stop())


def test_a_message_that_kills_every_process_is_refused_in_the_end_and_the_others_are_answered(
    device: Device, bad: RowsClient, tmp_path: Path
) -> None:
    """We play the fatal model: as soon as a process runs the row that loops, it is shot."""
    device.run(looping(tmp_path, 60_000))
    assert "outputs" in ask(bad, ENDS)
    bad.send("sensors/bad/rows", {"count": LOOPS})
    killed: list[int] = []

    def is_refused() -> bool:
        health = device.supervisor.health()["bad"]
        # Connected: a process that is just loading has not turned over its predecessor's page.
        mark = device.supervisor._live["bad"]._vitals._mark
        if health.connected and health.pid not in killed and mark.running().since is not None:
            os.kill(health.pid, signal.SIGSEGV)
            killed.append(health.pid)
        return bool(bad.answers)

    wait_for(is_refused, 90.0)
    assert bad.next_answer()["error"]["code"] == "poison"
    assert len(killed) == 3
    wait_for(lambda: any(isinstance(event, WorkerPoison) for event in device.events), WAIT_S)
    assert "outputs" in ask(bad, ENDS)
