"""Requests to a worker from clients of MQTT 3.1.1, on real brokers."""

from pathlib import Path

import pytest

from edge_agent.contract.manifest import Input, Runtime
from edge_agent.runtime.protocol import BrokerAddress, WorkerConnected, WorkerReady, WorkerStats
from tests.support.brokers import Broker
from tests.support.models import BuiltModule, build_module
from tests.support.mqtt import Client
from tests.support.workers import Worker

ROW = {"a": 1, "b": 1, "c": 1}
SCORE = {"score": [6.5]}
WAIT_S = 30


def live(module: BuiltModule, broker: Broker, **options: object) -> Worker:
    return Worker(
        module.spec("live", broker=BrokerAddress(url=broker.url), stats_interval_s=0.2, **options)
    )


def connected(worker: Worker) -> Worker:
    worker.wait_event(WorkerReady)
    worker.connect()
    worker.wait_event(WorkerConnected)
    return worker


@pytest.mark.parametrize("prefix", ["", "data/line-1/"])
def test_requests_are_answered_where_they_ask(
    any_broker: Broker, tmp_path: Path, prefix: str
) -> None:
    module = build_module(tmp_path / "m")
    source = f"{prefix}sensors/x/rows"
    with (
        Client(any_broker.host, any_broker.port, f"{prefix}#") as client,
        live(module, any_broker, topic_prefix=prefix) as worker,
    ):
        connected(worker)
        client.publish(f"{source}/request/7", ROW)
        client.publish(f"{source}/request/8", b"nonsense")
        client.publish(source, ROW | {"reply_to": f"{prefix}replies/me", "correlation": "k"})
        client.publish(source, ROW | {"reply_to": "elsewhere", "correlation": "l"})
        wanted = {
            f"{source}/response/7",
            f"{source}/response/8",
            f"{prefix}replies/me",
            f"{prefix}results/x/rows/error",
        }
        messages = client.wait_for(lambda seen: wanted <= {m.topic for m in seen}, WAIT_S)
        found = {message.topic: message.json for message in messages if message.topic in wanted}
        assert found[f"{source}/response/7"]["outputs"] == SCORE
        assert found[f"{source}/response/8"]["error"]["code"] == "not_json"
        assert found[f"{prefix}replies/me"]["correlation"] == "k"
        refused = found[f"{prefix}results/x/rows/error"]
        assert (refused["error"]["code"], refused["correlation"]) == ("reply_refused", "l")
        # Nothing was read twice: four messages came, of eight that were published.
        stats = worker.wait_event(WorkerStats, lambda event: event.health.messages_in >= 4, WAIT_S)
        assert stats.health.messages_in == 4


def test_a_module_that_reads_everything_below_a_level_answers_itself_never(
    any_broker: Broker, tmp_path: Path
) -> None:
    module = build_module(tmp_path / "m", source=Input(topic="sensors/#"))
    with (
        Client(any_broker.host, any_broker.port, "results/#") as client,
        live(module, any_broker) as worker,
    ):
        connected(worker)
        client.publish("sensors/x/request/7", ROW)
        (answer,) = client.wait_for_count(1)
        assert answer.topic == "results/x/request/7/rows"


def test_a_flood_is_answered_in_batches(any_broker: Broker, tmp_path: Path) -> None:
    module = build_module(tmp_path / "m", runtime=Runtime(max_delay_ms=20))
    with (
        Client(any_broker.host, any_broker.port, "results/#") as client,
        live(module, any_broker) as worker,
    ):
        connected(worker)
        for number in range(300):
            client.publish("sensors/x/rows", ROW | {"id": number})
        answers = client.wait_for_count(300)
        assert sorted(answer.json["id"] for answer in answers) == list(range(300))
        stats = worker.wait_event(
            WorkerStats, lambda event: event.health.messages_out == 300, WAIT_S
        ).health
        assert stats.batches.rows == 300
        assert stats.batches.runs < 300
        assert stats.queue.count == stats.total.count == 300
