"""An MQTT 5 client for tests: publishes with properties, and collects what arrives with them."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.mqtt import leave


@dataclass(frozen=True)
class Received5:
    topic: str
    payload: bytes
    content_type: str = ""
    correlation: bytes = b""


@dataclass
class Client5:
    """A connected client with one subscription."""

    host: str
    port: int
    topic_filter: str
    received: list[Received5] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_connect = lambda *_: self._client.subscribe(self.topic_filter, qos=1)
        self._client.connect(self.host, self.port)
        self._client.loop_start()
        assert ready.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        leave(self._client)

    def publish(self, topic: str, payload: bytes, qos: int = 1, **told: Any) -> None:
        """Publish with properties, named as paho names them, such as `ResponseTopic`."""
        properties = Properties(PacketTypes.PUBLISH)
        for name, value in told.items():
            setattr(properties, name, value)
        self._client.publish(topic, payload, qos=qos, properties=properties)

    def wait_for_count(self, count: int, timeout_s: float = 30) -> list[Received5]:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while len(self.received) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"only {self.received}"
                self._changed.wait(left)
            return list(self.received)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        told = message.properties
        with self._changed:
            self.received.append(
                Received5(
                    message.topic,
                    bytes(message.payload),
                    getattr(told, "ContentType", ""),
                    getattr(told, "CorrelationData", b""),
                )
            )
            self._changed.notify_all()
