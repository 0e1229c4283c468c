"""Formats over real brokers: chosen by content type with MQTT 5, by the module without."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cbor2
import numpy as np
import pytest

from edge_agent.contract.manifest import Input
from edge_agent.runtime.codecs.codec import CBOR_TYPE, JSON_TYPE, OIP_TYPE
from edge_agent.runtime.protocol import BrokerAddress, WorkerConnected, WorkerReady
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.models import BuiltModule, build_module
from tests.support.mqtt import Client
from tests.support.mqtt5 import Client5
from tests.support.workers import Worker

TOPIC = "sensors/press/rows"
RESULTS = "results/#"
ROWS = cbor2.CBORTag(40, [[2, 3], cbor2.CBORTag(85, np.arange(6, dtype="<f4").tobytes())])


@contextmanager
def connected(module: BuiltModule, broker: Broker) -> Iterator[Worker]:
    with Worker(module.spec("live", broker=BrokerAddress(url=broker.url))) as worker:
        worker.wait_event(WorkerReady)
        worker.connect()
        worker.wait_event(WorkerConnected)
        yield worker


@pytest.mark.needs("mosquitto")
def test_content_type_of_mqtt_5_chooses_the_format_of_question_and_answer(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    module = build_module(tmp_path / "m")
    host, port = mosquitto_broker.host, mosquitto_broker.port
    request = {"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}
    with Client5(host, port, RESULTS) as client, connected(module, mosquitto_broker):
        client.publish(TOPIC, cbor2.dumps(ROWS), ContentType=CBOR_TYPE)
        as_cbor = client.wait_for_count(1, 30)[-1]
        assert as_cbor.content_type == CBOR_TYPE
        score = cbor2.loads(as_cbor.payload)["outputs"]["score"]
        assert (score.tag, score.value[0]) == (40, (2, 1))
        assert np.frombuffer(score.value[1].value, "<f4").tolist() == [8.5, 26.5]

        asked = json.dumps({"inputs": [request], "id": "q"}).encode()
        client.publish(TOPIC, asked, ContentType=OIP_TYPE)
        as_oip = client.wait_for_count(2, 30)[-1]
        assert as_oip.content_type == OIP_TYPE
        response = json.loads(as_oip.payload)
        assert (response["id"], response["outputs"][0]["data"]) == ("q", [6.5])

        row = b'{"a": 1, "b": 1, "c": 1}'
        client.publish(TOPIC, row, ContentType="text/plain")
        refused = client.wait_for_count(3, 30)[-1]
        assert refused.topic.endswith("/error")
        assert json.loads(refused.payload)["error"]["code"] == "content_type_unsupported"

        client.publish(TOPIC, row)
        as_json = client.wait_for_count(4, 30)[-1]
        assert as_json.content_type == JSON_TYPE
        assert json.loads(as_json.payload)["outputs"] == {"score": [6.5]}


def test_module_chooses_the_format_where_messages_name_none(
    any_broker: Broker, tmp_path: Path
) -> None:
    source = Input(topic="sensors/+/rows", codec="cbor")
    module = build_module(tmp_path / "m", source=source)
    with (
        Client(any_broker.host, any_broker.port, RESULTS) as client,
        connected(module, any_broker),
    ):
        client.publish(TOPIC, cbor2.dumps({"a": 1, "b": 2.5, "c": -3, "id": 7}))
        answer = cbor2.loads(client.wait_for_count(1, 30)[-1].payload)
        assert answer["id"] == 7
        assert np.frombuffer(answer["outputs"]["score"].value, "<f4").tolist() == [-2.5]
        client.publish(TOPIC, json.dumps({"a": 1, "b": 1, "c": 1}).encode())
        error = cbor2.loads(client.wait_for_count(2, 30)[-1].payload)
        assert error["error"]["code"] == "not_cbor"
