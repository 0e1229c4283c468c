"""The demo's sensors and its reader: rows out over MQTT at a steady rate, results back in.

Threads: paho's own thread calls the reader's callback; `Sensors.replay` runs on the caller's.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from cloud_sync.demo.score import Answer, Scorer
from cloud_sync.errors import Unavailable
from edge_agent.contract.topics import data_prefix

MAX_UNACKNOWLEDGED: Final = 400
CONNECT_TIMEOUT_S: Final = 10.0
STALL_TIMEOUT_S: Final = 30.0
TICK_S: Final = 0.005


class _Outputs(msgspec.Struct):
    label: int


class _Result(msgspec.Struct):
    id: int
    input_time: float
    version: int
    device: str
    outputs: _Outputs


def _connect(client_id: str, broker_url: str, on_message: Callable[..., None]) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.max_inflight_messages_set(MAX_UNACKNOWLEDGED)
    connected = threading.Event()

    def without_delay(_client: mqtt.Client, _data: object, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = without_delay  # type: ignore[assignment]  # paho's type is wider
    client.on_connect = lambda *_: connected.set()
    client.on_message = on_message
    address = urlsplit(broker_url)
    client.connect(address.hostname or "127.0.0.1", address.port or 1883)
    client.loop_start()
    if not connected.wait(CONNECT_TIMEOUT_S):
        client.loop_stop()
        raise Unavailable(f"broker {broker_url} did not answer in {CONNECT_TIMEOUT_S:g} s")
    return client


class Sensors:
    """Publishes rows as JSON, one device after the other, and scores what comes back.

    Args:
        broker_url: `mqtt://host:port`.
        devices: rows are dealt to them in turn.
        rows: encoded JSON objects, one a row, without id and time.
        scorer: counts the results.
    """

    def __init__(
        self, broker_url: str, devices: Sequence[str], rows: Sequence[bytes], scorer: Scorer
    ) -> None:
        self._topics = [f"{data_prefix(d)}sensors/{d}/shuttle" for d in devices]
        self._rows = rows
        self._scorer = scorer
        self._decoder = msgspec.json.Decoder(_Result)
        self.sent: list[int] = []
        subscribed = threading.Event()
        self._reader = _connect("demo-reader", broker_url, self._on_message)
        self._reader.on_subscribe = lambda *_: subscribed.set()
        self._reader.subscribe("data/+/results/#", qos=1)
        if not subscribed.wait(CONNECT_TIMEOUT_S):
            raise Unavailable(f"broker {broker_url} did not confirm a subscription")
        self._sensor = _connect("demo-sensor", broker_url, lambda *_: None)

    def _on_message(
        self,
        _client: mqtt.Client,
        _data: Any,  # Any: paho's user data
        message: mqtt.MQTTMessage,
    ) -> None:
        now = time.time()
        if message.topic.endswith("/error"):
            self._scorer.errors += 1
            return
        try:
            result = self._decoder.decode(message.payload)
        except msgspec.DecodeError:
            self._scorer.errors += 1
            return
        self._scorer.add(
            Answer(
                result.id,
                result.version,
                result.outputs.label,
                result.device,
                (now - result.input_time) * 1e3,
            )
        )

    def replay(self, rows: Iterable[int], rate_per_s: float, on_tick: Callable[[], None]) -> None:
        """Publish rows at a steady rate, never more than `MAX_UNACKNOWLEDGED` ahead of the broker.

        Args:
            rows: row numbers, each sent once.
            rate_per_s: rows a second.
            on_tick: called every few milliseconds on this thread.

        Raises:
            Unavailable: the answers stopped coming.
        """
        start = time.monotonic()
        for count, row in enumerate(rows):
            due = start + count / rate_per_s
            patience = time.monotonic() + STALL_TIMEOUT_S
            while (wait := due - time.monotonic()) > 0 or self._is_ahead():
                on_tick()
                if time.monotonic() > patience:
                    raise Unavailable(f"no answers from the devices for {STALL_TIMEOUT_S:g} s")
                time.sleep(min(TICK_S, max(wait, 0.001)))
            head = b'{"id":%d,"time":%.6f,' % (row, time.time())
            topic = self._topics[row % len(self._topics)]
            self._sensor.publish(topic, head + self._rows[row][1:], qos=1)
            self.sent.append(row)

    def _is_ahead(self) -> bool:
        return len(self.sent) - self._scorer.answered > 4 * MAX_UNACKNOWLEDGED

    def drain(self, timeout_s: float, on_tick: Callable[[], None]) -> None:
        """Wait until every sent row is answered, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while self._scorer.answered < len(self.sent) and time.monotonic() < deadline:
            on_tick()
            time.sleep(TICK_S)

    def close(self) -> None:
        """Disconnect both clients."""
        for client in (self._sensor, self._reader):
            client.disconnect()
            client.loop_stop()
