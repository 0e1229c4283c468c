"""One device with a real agent for a benchmark, its broker, and a cloud that serves modules.

Also the load: rows that are numbered, so that none can be lost or answered twice unseen.
"""

import json
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, Final, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from cloud_sync.broker.embedded import EmbeddedBroker
from edge_agent.contract.manifest import Input, Output
from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import BuiltModule, build_module

DEVICE: Final = "bench-1"
READY_S: Final = 30.0


class Device:
    """An agent on folders and brokers of its own.

    Args:
        folder: for everything it writes.
        broker: of the data: "mosquitto" or "nats".
        health_interval_s: seconds between two health reports.
    """

    def __init__(self, folder: Path, broker: str, health_interval_s: float = 1) -> None:
        self._folder = folder
        self._health_interval_s = health_interval_s
        self._control = EmbeddedBroker(folder / "control")
        self.broker: Broker = (
            EmbeddedBroker(folder / "data")
            if broker == "nats"
            else MosquittoBroker(folder / "data", is_durable=False)
        )
        self._cloud = FakeCloud()
        self._wanted: dict[str, Any] = {}  # Any: the cloud's own records, passed through
        self._agent: AgentProcess | None = None

    def __enter__(self) -> Self:
        self._control.start()
        self.broker.start()
        self._cloud.connect(self._control.host, self._control.port)
        self._agent = AgentProcess(
            self._folder / DEVICE,
            self._cloud.url,
            self._control.url,
            device=DEVICE,
            data_broker=self.broker.url,
            health_interval_s=self._health_interval_s,
        )
        self._agent.start()
        self._agent.await_status(READY_S)
        return self

    def __exit__(self, *_: object) -> None:
        if self._agent is not None:
            self._agent.stop()
        self._cloud.close()
        self.broker.stop()
        self._control.stop()

    @property
    def pid(self) -> int:
        """Of the agent."""
        process = self._agent.process if self._agent is not None else None
        return process.pid if process is not None else 0

    def worker_pid(self, slot: str) -> int:
        """Of a slot's worker; 0 while there is none."""
        worker = self._agent.status().slots[slot].worker if self._agent is not None else None
        return worker.pid if worker is not None and worker.state == "running" else 0

    def cut_off(self) -> None:
        """Take the way to the cloud away, for good."""
        self._control.stop()

    def reboot_offline(self) -> float:
        """End the agent as a power cut would, and start it with no cloud, neither HTTP nor broker.

        Returns:
            When it was started, seconds, monotonic.
        """
        if self._agent is None:
            raise RuntimeError("the device was not entered")
        self._agent.kill()
        self.cut_off()
        self._agent.cloud_url = "http://127.0.0.1:1"
        started = time.monotonic()
        self._agent.start()
        return started

    def build(self, slot: str, version: int = 1, *, uplink: str = "none") -> BuiltModule:
        """A linear module whose answers differ from version to version.

        Args:
            uplink: which of its results go to the cloud.
        """
        built = build_module(
            self._folder / f"{slot}-{version}",
            name=slot,
            bias=float(version),
            source=Input(topic=f"bench/{slot}/in"),
            output=Output(topic=f"bench/{slot}/out", uplink=uplink),
        )
        self._cloud.publish_module(built)
        return built

    def install(
        self, slot: str, version: int, built: BuiltModule, phase: Phase | None = None
    ) -> None:
        """Want a version in a slot; wait until it runs, and until a phase if one is given."""
        self._wanted[slot] = wanted(built, version)
        self._cloud.want(DEVICE, dict(self._wanted))
        self._cloud.await_slot(
            slot,
            lambda seen: seen.running == built.digest and phase in (None, seen.phase),
            READY_S,
        )


class NumberedLoad:
    """Rows at a steady rate with QoS 1, and what came back.

    Args:
        broker: of the data.
        slot: that answers.
        every_s: between two rows.
    """

    def __init__(self, broker: Broker, slot: str, every_s: float) -> None:
        self._topic = f"bench/{slot}/in"
        self._every_s = every_s
        self._stop = threading.Event()
        self._lock = threading.Condition()
        self._sent_at: list[float] = []
        self._answered: Counter[int] = Counter()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"load-{uuid.uuid4().hex[:8]}"
        )
        self._client.max_queued_messages_set(1_000_000)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe(f"bench/{slot}/out", qos=1)
        if not self._subscribed.wait(READY_S):
            raise TimeoutError("the load cannot subscribe")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def next_answer_s(self, after: float, timeout_s: float) -> float:
        """From an instant to the first answer to a row that was sent after it, seconds.

        Args:
            after: monotonic.
            timeout_s: how long to wait.
        """
        deadline = time.monotonic() + timeout_s

        def first() -> int | None:
            for number in range(len(self._sent_at) - 1, -1, -1):
                if self._sent_at[number] < after:
                    return None
                if self._answered[number]:
                    return number
            return None

        with self._lock:
            while first() is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no answer within {timeout_s:g} s")
                self._lock.wait(min(left, 0.01))
        return time.monotonic() - after

    def finish(self, wait_s: float) -> tuple[int, int, int]:
        """Stop sending and await the rest. Returns how many were sent, lost and doubled."""
        self._stop.set()
        self._thread.join(READY_S)
        sent = len(self._sent_at)
        deadline = time.monotonic() + wait_s
        with self._lock:
            while len(self._answered) < sent and time.monotonic() < deadline:
                self._lock.wait(0.1)
        self._client.disconnect()
        self._client.loop_stop()
        doubled = sum(count - 1 for count in self._answered.values() if count > 1)
        return sent, sent - len(+self._answered), doubled

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            number = len(self._sent_at)
            self._sent_at.append(time.monotonic())
            row = json.dumps({"id": number, "a": 1, "b": 1, "c": number % 900})
            self._client.publish(self._topic, row, qos=1)

    # Any: paho's callback.
    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        number = json.loads(message.payload)["id"]
        with self._lock:
            self._answered[number] += 1
            self._lock.notify_all()
