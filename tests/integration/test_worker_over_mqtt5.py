"""A worker and MQTT 5: what its messages say about themselves, and both versions side by side."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from edge_agent.runtime.protocol import (
    BrokerAddress,
    WorkerConnected,
    WorkerDisconnected,
    WorkerReady,
    WorkerRival,
    WorkerStats,
)
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.models import BuiltModule, build_module
from tests.support.mqtt import Client
from tests.support.mqtt5 import Client5
from tests.support.workers import Worker

ROW = b'{"id": 1, "a": 1, "b": 1, "c": 1}'
WAIT_S = 30


def live(module: BuiltModule, broker: Broker, protocol: str = "auto") -> Worker:
    address = BrokerAddress(url=broker.url, protocol=protocol)  # type: ignore[arg-type]
    return Worker(module.spec("live", broker=address, stats_interval_s=0.2))


def connected(worker: Worker) -> Worker:
    worker.wait_event(WorkerReady)
    worker.connect()
    worker.wait_event(WorkerConnected)
    return worker


@pytest.mark.needs("mosquitto")
def test_a_request_is_answered_where_it_asks_with_its_correlation(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    broker = mosquitto_broker
    module = build_module(tmp_path / "m")
    with Client5(broker.host, broker.port, "replies/#") as client, live(module, broker) as worker:
        connected(worker)
        for qos in (0, 1):
            client.publish(
                "sensors/x/rows",
                ROW,
                qos,
                ResponseTopic="replies/here",
                CorrelationData=b"\x00\xff%d" % qos,
                ContentType="application/json",
            )
        answers = client.wait_for_count(2)
        assert {answer.topic for answer in answers} == {"replies/here"}
        assert {answer.correlation for answer in answers} == {b"\x00\xff0", b"\x00\xff1"}
        assert {answer.content_type for answer in answers} == {"application/json"}
        outputs = msgspec.json.decode(answers[0].payload)["outputs"]
        assert outputs == {"score": [1 + 2 + 3 + 0.5]}


@pytest.mark.parametrize(
    ("first", "second"),
    [("3.1.1", "5"), ("5", "3.1.1"), ("auto", "auto")],
)
@pytest.mark.needs("mosquitto")
def test_a_session_goes_on_when_the_version_changes(
    mosquitto_broker: MosquittoBroker, tmp_path: Path, first: str, second: str
) -> None:
    broker = mosquitto_broker
    module = build_module(tmp_path / "m")
    with Client(broker.host, broker.port, "results/#") as client:
        with live(module, broker, first) as worker:
            connected(worker)
            assert worker.process.stop() == 0
        client.publish("sensors/x/rows", ROW).wait_for_publish(WAIT_S)
        with live(module, broker, second) as worker:
            connected(worker)
            assert client.wait_for_count(1, WAIT_S)[0].json["id"] == 1
            assert worker.wait_event(WorkerConnected).session_present


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.needs("mosquitto")
def test_a_burst_is_answered_completely_in_batches(
    mosquitto_broker: MosquittoBroker, tmp_path: Path, protocol: str
) -> None:
    broker = mosquitto_broker
    module = build_module(tmp_path / "m")
    total = 500
    with (
        Client(broker.host, broker.port, "results/#") as client,
        live(module, broker, protocol) as worker,
    ):
        connected(worker)
        for number in range(total):
            client.publish("sensors/x/rows", {"id": number, "a": 1, "b": 1, "c": 1})
        answers = client.wait_for_count(total, 60)
        assert Counter(answer.json["id"] for answer in answers) == Counter(range(total))
        health = worker.wait_event(WorkerStats, lambda event: event.health.messages_out == total)
        assert health.health.dropped == {}


def test_a_version_that_the_broker_does_not_speak_is_said(
    nats_broker: Broker, tmp_path: Path
) -> None:
    with live(build_module(tmp_path / "m"), nats_broker, "5") as worker:
        worker.wait_event(WorkerReady)
        worker.connect()
        assert "unsupported protocol version" in worker.wait_event(WorkerDisconnected).text


def test_auto_connects_to_a_broker_without_mqtt_5_unnoticed(
    nats_broker: Broker, tmp_path: Path
) -> None:
    with live(build_module(tmp_path / "m"), nats_broker) as worker:
        connected(worker)
        assert not any(isinstance(event, WorkerDisconnected) for event in worker.events)


@pytest.mark.needs("mosquitto")
def test_a_broker_that_restarts_is_returned_to(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    broker = mosquitto_broker
    with live(build_module(tmp_path / "m"), broker) as worker:
        connected(worker)
        broker.stop()
        worker.wait_event(WorkerDisconnected)
        seen = len(worker.events)
        broker.start()
        worker.wait_event(WorkerConnected, lambda event: event in worker.events[seen:], WAIT_S)
        with Client(broker.host, broker.port, "results/#") as client:
            client.publish("sensors/x/rows", ROW)
            client.wait_for_count(1, WAIT_S)


@pytest.mark.needs("mosquitto")
def test_two_workers_with_one_name_say_so_and_step_back(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    module = build_module(tmp_path / "m")
    with live(module, mosquitto_broker) as first, live(module, mosquitto_broker) as second:
        connected(first)
        connected(second)
        # Some versions of mosquitto say who threw it out, some only close the connection.
        text = first.wait_event(WorkerRival, timeout_s=90).text
    assert "the name 'line-1_probe'" in text
    assert "agent.device" in text
