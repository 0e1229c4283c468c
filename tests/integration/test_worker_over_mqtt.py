"""Worker processes on real brokers: good messages, bad messages, crashes, handovers."""

import collections
import threading
from pathlib import Path

import pytest

from edge_agent.contract.manifest import Input, Output
from edge_agent.runtime.protocol import (
    BrokerAddress,
    WorkerConnected,
    WorkerDisconnected,
    WorkerReady,
    WorkerStats,
    WorkerUplink,
)
from tests.support.brokers import Broker
from tests.support.models import BuiltModule, build_module
from tests.support.mqtt import Client
from tests.support.workers import Worker

RESULTS = "results/#"
WAIT_S = 60
MAX_AHEAD = 200
"""Messages of a load that are not answered yet."""


def live(module: BuiltModule, broker: Broker, **options: object) -> Worker:
    return Worker(
        module.spec("live", broker=BrokerAddress(url=broker.url), stats_interval_s=0.2, **options)
    )


def connected(worker: Worker) -> Worker:
    worker.wait_event(WorkerReady)
    worker.connect()
    worker.wait_event(WorkerConnected)
    return worker


@pytest.mark.parametrize("qos", [0, 1])
def test_rows_are_answered_with_the_qos_they_came_with(
    any_broker: Broker, tmp_path: Path, qos: int
) -> None:
    module = build_module(tmp_path / "m")
    with (
        Client(any_broker.host, any_broker.port, RESULTS) as client,
        live(module, any_broker) as worker,
    ):
        connected(worker)
        client.publish("sensors/press/rows", {"id": 7, "a": 1, "b": 2.5, "c": -3}, qos)
        answer = client.wait_for_count(1)[0]
        assert answer.topic == "results/press/rows"
        assert answer.qos == qos
        result = answer.json
        assert result["outputs"] == {"score": [1 + 5 - 9 + 0.5]}
        assert (result["id"], result["version"], result["digest"]) == (7, 1, module.digest)
        assert result["topic"] == "sensors/press/rows"
        assert worker.process.stop() == 0
        stats = worker.wait_event(WorkerStats).health
        assert (stats.messages_in, stats.messages_out, stats.failed) == (1, 1, {})
        assert stats.total.p50_ms > 0
        assert stats.run.p50_ms > 0


def test_bad_messages_get_one_error_each_and_the_worker_goes_on(
    any_broker: Broker, tmp_path: Path
) -> None:
    module = build_module(tmp_path / "m")
    row = {"a": 1, "b": 2, "c": 3}
    bad: dict[str, object] = {
        "not_json": b"{nonsense",
        "wrong_shape": [],
        "missing": {"a": 1, "b": 2},
        "not_finite": b'{"a":NaN,"b":1,"c":1}',
        "out_of_range": row | {"b": 1e6},
        "wrong_type": row | {"b": "2"},
        "too_deep": b"[" * 100_000,
        "too_large": b" " * 10_000_000,
        "too_many_rows": [row] * 1025,
    }
    with (
        Client(any_broker.host, any_broker.port, RESULTS) as client,
        live(module, any_broker) as worker,
    ):
        connected(worker)
        for payload in bad.values():
            client.publish("sensors/x/rows", payload)
        client.publish("sensors/x/rows", row)
        answers = client.wait_for_count(len(bad) + 1)
        errors = [a for a in answers if a.topic == "results/x/rows/error"]
        assert [e.json["error"]["code"] for e in errors] == list(bad)
        assert all(e.json["error"]["text"] for e in errors)
        assert errors[2].json["error"]["field"] == "c"
        assert answers[-1].topic == "results/x/rows"
        # Counted when the answers have left: the last one says that all are.
        health = worker.wait_event(WorkerStats, lambda event: event.health.messages_out == 1).health
        assert health.failed == dict.fromkeys(bad, 1)
        assert health.messages_in == len(bad) + 1


def test_prefix_and_device_stand_in_the_topics(any_broker: Broker, tmp_path: Path) -> None:
    module = build_module(
        tmp_path / "m", source=Input(topic="{device}/in/#"), output=Output(topic="{device}/out/{1}")
    )
    with (
        Client(any_broker.host, any_broker.port, "data/#") as client,
        live(module, any_broker, topic_prefix="data/line-1/") as worker,
    ):
        connected(worker)
        client.publish("data/line-1/line-1/in/a/b", {"a": 1, "b": 1, "c": 1})
        topics = [m.topic for m in client.wait_for_count(2)]
        assert "data/line-1/line-1/out/a/b" in topics


def test_results_that_changed_go_home(nats_broker: Broker, tmp_path: Path) -> None:
    module = build_module(tmp_path / "m", output=Output(topic="results/{1}", uplink="changes"))
    with (
        Client(nats_broker.host, nats_broker.port, RESULTS) as client,
        live(module, nats_broker) as worker,
    ):
        connected(worker)
        for value in (1, 1, 2, 2, 2, 1):
            client.publish("sensors/x/rows", {"a": value, "b": 0, "c": 0})
        client.wait_for_count(6)
        assert worker.process.stop() == 0
        home = [event for event in worker.events if isinstance(event, WorkerUplink)]
        assert len(home) == 3
        assert b'"outputs":{"score":[1.5]}' in bytes(home[0].result)


def test_broker_that_is_down_at_the_start_is_waited_for(
    tmp_path: Path, nats_broker: Broker
) -> None:
    module = build_module(tmp_path / "m")
    nats_broker.stop()
    with live(module, nats_broker) as worker:
        worker.wait_event(WorkerReady)
        worker.connect()
        assert "cannot connect" in worker.wait_event(WorkerDisconnected).text
        nats_broker.start()
        worker.wait_event(WorkerConnected)


def test_worker_ends_when_its_agent_is_gone(nats_broker: Broker, tmp_path: Path) -> None:
    with live(build_module(tmp_path / "m"), nats_broker) as worker:
        connected(worker)
        worker.process.hang_up()
        assert worker.wait_exit() == 0


def counted(client: Client) -> collections.Counter[int]:
    return collections.Counter(m.json["id"] for m in client.received)


def test_kill_under_load_loses_nothing(any_broker: Broker, tmp_path: Path) -> None:
    module = build_module(tmp_path / "m")
    total = 600
    with Client(any_broker.host, any_broker.port, RESULTS) as client:
        with live(module, any_broker) as first:
            connected(first)
            for number in range(total):
                client.publish("sensors/x/rows", {"id": number, "a": 1, "b": 1, "c": 1})
                if number == total // 2:
                    client.wait_for_count(total // 10)
                    first.process.kill()
        with live(module, any_broker) as second:
            connected(second)
            client.wait_for(lambda _: len(counted(client)) == total, timeout_s=40)


def test_handover_under_load_loses_and_doubles_nothing(any_broker: Broker, tmp_path: Path) -> None:
    module = build_module(tmp_path / "m")
    stop = threading.Event()
    sent = 0

    def load(client: Client) -> None:
        nonlocal sent
        while not stop.wait(0.001):
            if sent - len(client.received) > MAX_AHEAD:
                continue  # a slow machine gets less, not a queue that grows for ever
            client.publish("sensors/x/rows", {"id": sent, "a": 1, "b": 1, "c": 1})
            sent += 1

    with (
        Client(any_broker.host, any_broker.port, RESULTS) as client,
        live(module, any_broker) as first,
        live(module, any_broker) as second,
    ):
        connected(first)
        second.wait_event(WorkerReady)
        loader = threading.Thread(target=load, args=(client,))
        loader.start()
        client.wait_for_count(300, WAIT_S)
        assert first.process.stop() == 0
        second.connect()
        second.wait_event(WorkerConnected)
        client.wait_for_count(900, WAIT_S)
        stop.set()
        loader.join(10)
        client.wait_for(lambda _: len(counted(client)) == sent, WAIT_S)
        answers = counted(client)
        assert set(answers) == set(range(sent))
        assert [number for number, times in answers.items() if times > 1] == []
        assert second.process.stop() == 0
        answered = [w.wait_event(WorkerStats).health.messages_out for w in (first, second)]
        assert sum(answered) == sent
        assert min(answered) > 0
