"""What a broker hands on of the telemetry of all devices: which rows came, and which of them twice.

A subscriber of its own, so that it also sees what no log of a device tells: that the MQTT client
published a message again by itself. Its session outlives the broker, and it comes back by itself.
"""

import threading
import uuid
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.contract.messages import Telemetry
from edge_agent.contract.topics import ROOT, Channel
from edge_agent.contract.wire import decode
from tests.support.mqtt import leave

ANSWER_S = 30.0
"""Longest wait for the broker."""


class Receiver:
    """Connected and subscribed from the start.

    Args:
        host: of the broker.
        port: of the broker.
    """

    def __init__(self, host: str, port: int) -> None:
        name = f"receiver-{uuid.uuid4().hex[:8]}"
        self._end = f"tests/{name}/end"
        self._ended = threading.Event()
        self._granted = threading.Event()
        self._lock = threading.Lock()
        self._seen: set[tuple[str, int]] = set()
        self._twice = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._granted.set()
        self._client.on_message = self._on_message
        self._client.connect(host, port)
        self._client.loop_start()
        assert self._granted.wait(ANSWER_S)

    def close(self) -> None:
        leave(self._client)

    @property
    def rows(self) -> int:
        """How many rows came at least once."""
        with self._lock:
            return len(self._seen)

    @property
    def twice(self) -> int:
        """How often a row came beyond the first time."""
        with self._lock:
            return self._twice

    def drain(self) -> None:
        """Wait for what the broker has taken until now: a last message comes behind all of it."""
        self._ended.clear()
        self._client.publish(self._end, b"", qos=1)
        assert self._ended.wait(ANSWER_S)

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(f"{ROOT}/+/{Channel.TELEMETRY.value}", 1), (self._end, 1)])

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == self._end:
            self._ended.set()
            return
        told = decode(Telemetry, message.payload)
        rows = {(told.boot_id, row.seq) for row in told.rows}
        with self._lock:
            # So marked, it is the broker that says it again, to this subscriber alone: a mark of
            # the sender's is not handed on.
            if not message.dup:
                self._twice += len(rows & self._seen)
            self._seen |= rows
