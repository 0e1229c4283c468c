"""Devices of a rollout on a real broker: they follow orders phase by phase, and run nothing.

A device goes on only when the service has acknowledged what it reported last, so that every phase
is seen; what is not acknowledged is sent again, as a real device does.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final, Self
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

from edge_agent.contract.messages import Ack, Health
from edge_agent.contract.state import DesiredState, ReportedState
from edge_agent.contract.topics import Channel, parse
from edge_agent.contract.wire import decode, encode
from tests.rollouts.device import RolloutDevice
from tests.support.letters import reported, status, topic_of
from tests.support.mqtt import leave
from tests.support.slot_counters import SlotCounters

AGAIN_S: Final = 0.3
STATUS_ROUNDS: Final = 30
HEALTH_ROUNDS: Final = 3
HEALTH_MESSAGES: Final = 1_000
"""Of each slot in a health report: few reports are enough to judge by."""
BOOT: Final = "boot"


class RolloutDevices:
    """Some devices on one connection.

    Args:
        devices: who they are, and what they make of versions.
        broker_url: `mqtt://host:port`.
        counters: what their slots do, told about once a second.
    """

    def __init__(
        self, devices: Iterable[RolloutDevice], broker_url: str, counters: SlotCounters
    ) -> None:
        self._counters = counters
        self._began = time.monotonic()
        self.devices = {device.name: device for device in devices}
        self._unsent: dict[str, list[ReportedState]] = {name: [] for name in self.devices}
        self._numbers = dict.fromkeys(self.devices, 0)
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="fleet")
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._arrived
        parts = urlsplit(broker_url)
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()
        assert self._ready.wait(30)
        self._again = threading.Thread(target=self._repeat, daemon=True)
        self._again.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._again.join(10)
        leave(self._client)

    def running(self, slot: str) -> dict[str, str]:
        """What each device really runs in a slot; those that run something."""
        with self._lock:
            return {
                name: device.slots[slot].running
                for name, device in self.devices.items()
                if slot in device.slots
            }

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(f"shoal/v1/{name}/down/+", 1) for name in self.devices])

    def _arrived(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        topic = parse(message.topic)
        device = self.devices[topic.device]
        with self._lock:
            if topic.channel is Channel.DESIRED and message.payload:
                device.hear(decode(DesiredState, message.payload))
            elif topic.channel is Channel.ACK:
                seen = decode(Ack, message.payload).seqs
                left = [one for one in self._unsent[device.name] if one.seq not in seen]
                self._unsent[device.name] = left
            if not self._unsent[device.name]:
                if not device.outbox:
                    device.work()
                self._send_new(device)

    def _send_new(self, device: RolloutDevice) -> None:
        for report in device.outbox:
            self._numbers[device.name] += 1
            seen = {"revision_seen": report.revision_seen, "revision_applied": report.revision_seen}
            message = reported(
                device.name,
                seq=self._numbers[device.name],
                boot_id=BOOT,
                slots=report.slots,
                **seen,
            )
            self._unsent[device.name].append(message)
            self._publish(message)
        device.outbox.clear()

    def _repeat(self) -> None:
        """Send again what nobody acknowledged, and be there."""
        rounds = 0
        while not self._stopping.is_set():
            with self._lock:
                if rounds % STATUS_ROUNDS == 0:
                    for name in self.devices:
                        self._publish(status(name, boot_id=BOOT), retain=True)
                if rounds % HEALTH_ROUNDS == 0:
                    for device in self.devices.values():
                        self._publish(self._health(device))
                for waiting in self._unsent.values():
                    for message in waiting[:1]:
                        self._publish(message)
            rounds += 1
            self._stopping.wait(AGAIN_S)

    def _health(self, device: RolloutDevice) -> Health:
        return self._counters.report(
            device.name,
            device.slots,
            messages=HEALTH_MESSAGES,
            time=time.time(),
            uptime_s=time.monotonic() - self._began,
            boot_id=BOOT,
        )

    def _publish(self, message: Any, *, retain: bool = False) -> None:
        self._client.publish(topic_of(message), encode(message), 1, retain)
