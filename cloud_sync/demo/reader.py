"""The demo's reader: takes every result and error of the fleet and has it scored.

paho's thread calls the scorer; everybody else only reads its counters.
"""

import threading
import time
from typing import Any, Final

import msgspec
from paho.mqtt.client import Client, MQTTMessage

from cloud_sync.demo.mqtt import CONNECT_TIMEOUT_S, connect
from cloud_sync.demo.score import Answer, Scorer
from cloud_sync.errors import Unavailable

RESULTS: Final = "data/+/results/#"


class _Outputs(msgspec.Struct):
    label: int


class _Result(msgspec.Struct):
    id: int
    input_time: float
    version: int
    device: str
    outputs: _Outputs


class Reader:
    """Subscribed once it is made; `close` ends it.

    Args:
        broker_url: `mqtt://host:port`.
        scorer: counts the results.

    Raises:
        Unavailable: the broker does not answer in time.
    """

    def __init__(self, broker_url: str, scorer: Scorer) -> None:
        self._scorer = scorer
        self._decoder = msgspec.json.Decoder(_Result)
        subscribed = threading.Event()
        self._client: Client = connect("demo-reader", broker_url)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.subscribe(RESULTS, qos=1)
        if not subscribed.wait(CONNECT_TIMEOUT_S):
            raise Unavailable(
                f"broker {broker_url} did not confirm a subscription",
                hint="look at the log of the service in the demo's folder",
            )

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:  # Any: paho's
        now = time.time()
        if message.topic.endswith("/error"):
            self._scorer.errors += 1
            return
        try:
            result = self._decoder.decode(message.payload)
        except msgspec.DecodeError:
            self._scorer.errors += 1
            return
        latency_ms = (now - result.input_time) * 1e3
        self._scorer.add(
            Answer(result.id, result.version, result.outputs.label, result.device, latency_ms)
        )

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
