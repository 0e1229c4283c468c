"""A device by script: it speaks the contract over a real broker and runs nothing."""

import threading
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

from edge_agent.contract.messages import Ack
from edge_agent.contract.state import DesiredState, Phase, ReportedSlot
from edge_agent.contract.topics import Channel, down_filters, parse
from edge_agent.contract.wire import decode, encode
from tests.support.letters import reported, status, topic_of

T = TypeVar("T")


def await_value(ask: Callable[[], T | None], timeout_s: float = 20) -> T:
    """Ask until there is an answer that is not empty; it."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.03)


class ScriptedDevice:
    """Connects with a last will, says that it is online, and keeps what it is told.

    Args:
        name: of the device.
        broker_url: `mqtt://host:port`.
        boot_id: of this run.
    """

    def __init__(self, name: str, broker_url: str, *, boot_id: str = "boot") -> None:
        self.name = name
        self.boot_id = boot_id
        self.desired: list[DesiredState] = []
        self.acks: list[Ack] = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._seq = 0
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name)
        will = status(name, state="offline", boot_id=boot_id)
        self._client.will_set(topic_of(will), encode(will), 1, True)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._arrived
        parts = urlsplit(broker_url)
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()
        assert self._ready.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()

    def send(self, message: Any, *, retain: bool = False) -> None:
        """Publish a message and wait until the broker has it."""
        self.send_raw(topic_of(message), encode(message), retain=retain)

    def send_raw(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish any bytes and wait until the broker has them."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(10)

    def report(self, state: DesiredState) -> None:
        """Say that it runs what it should."""
        self._seq += 1
        slots = {
            name: ReportedSlot(
                module=wanted.module,
                phase=Phase.ACTIVE,
                running=wanted.digest,
                running_version=wanted.version,
                wanted=wanted.digest,
                wanted_version=wanted.version,
            )
            for name, wanted in state.slots.items()
        }
        seen = {"revision_seen": state.revision, "revision_applied": state.revision}
        self.send(reported(self.name, seq=self._seq, boot_id=self.boot_id, slots=slots, **seen))

    def await_desired(self, revision: int) -> DesiredState:
        """Wait for a revision."""
        self._await(lambda: any(state.revision == revision for state in self.desired))
        return next(state for state in self.desired if state.revision == revision)

    def await_acks(self, count: int) -> list[Ack]:
        """Wait for so many acknowledgements."""
        self._await(lambda: len(self.acks) >= count)
        return list(self.acks)

    def vanish(self) -> None:
        """Lose the connection without a goodbye, so that the last will speaks."""
        self._client.loop_stop()
        self._client._reset_sockets()

    def _await(self, is_done: Callable[[], bool], timeout_s: float = 20) -> None:
        with self._changed:
            assert self._changed.wait_for(is_done, timeout_s), (self.desired, self.acks)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in down_filters(self.name)])

    def _subscribed(self, client: mqtt.Client, *_: Any) -> None:
        online = status(self.name, boot_id=self.boot_id, host=f"host-{self.boot_id}")
        client.publish(topic_of(online), encode(online), 1, True)
        self._ready.set()

    def _arrived(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        channel = parse(message.topic).channel
        with self._changed:
            if channel is Channel.DESIRED and message.payload:
                self.desired.append(decode(DesiredState, message.payload))
            elif channel is Channel.ACK:
                self.acks.append(decode(Ack, message.payload))
            self._changed.notify_all()
