"""A plain MQTT client for tests: publishes, and collects what arrives."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import paho.mqtt.client as mqtt


@dataclass(frozen=True)
class Received:
    topic: str
    payload: bytes
    qos: int

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.payload)


def leave(client: mqtt.Client) -> None:
    """Disconnect, and close all that paho would only close when it is collected.

    It is part of a circle with its callbacks, so its sockets may be collected before it, unclosed,
    and that is a warning in whatever test runs at the time.
    """
    client.disconnect()
    client.loop_stop()
    client._reset_sockets()


class Client:
    """A connected client with one subscription.

    Args:
        host: of the broker.
        port: of the broker.
        topic_filter: subscribed to with QoS 1; empty for none.
    """

    def __init__(self, host: str, port: int, topic_filter: str = "") -> None:
        self.received: list[Received] = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(200)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_connect = lambda *_: self._ready.set()
        self._client.connect(host, port)
        self._client.loop_start()
        assert self._ready.wait(10)
        if topic_filter:
            self._ready.clear()
            self._client.subscribe(topic_filter, qos=1)
            assert self._ready.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        leave(self._client)

    def publish(self, topic: str, payload: bytes | object, qos: int = 1) -> mqtt.MQTTMessageInfo:
        """Publish bytes, or a value as JSON."""
        data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        return self._client.publish(topic, data, qos=qos)

    def wait_for(
        self, is_done: Callable[[list[Received]], bool], timeout_s: float = 15
    ) -> list[Received]:
        """Wait until what has arrived is enough; returns it."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not is_done(self.received):
                left = deadline - time.monotonic()
                assert left > 0, f"only {len(self.received)}: {self.received[-3:]}"
                self._changed.wait(left)
            return list(self.received)

    def wait_for_count(self, count: int, timeout_s: float = 15) -> list[Received]:
        return self.wait_for(lambda received: len(received) >= count, timeout_s)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.received.append(Received(message.topic, bytes(message.payload), message.qos))
            self._changed.notify_all()
