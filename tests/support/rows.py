"""A sensor and a reader: sends rows, keeps the answers."""

import json
import threading
import tomllib
import uuid
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.mqtt import leave
from tests.support.waiting import wait_for


def sample(folder: Path) -> tuple[str, dict[str, object]]:
    """A topic that a module's folder reads on device line-1, and a message of its golden cases."""
    source = tomllib.loads((folder / "module.toml").read_text())
    topic = str(source["input"]["topic"]).replace("+", "a").replace("{device}", "line-1")
    case = json.loads(next((folder / "golden").glob("*.json")).read_text())
    first = case[0] if isinstance(case, list) else case
    return f"data/line-1/{topic}", first["payload"]


class Stream:
    """Rows that are sent one after the other until `stop`."""

    def __init__(self, client: "RowsClient", topic: str, every_s: float) -> None:
        self._stop = threading.Event()
        self._count = 0
        self._client = client
        self._topic = topic
        self._every_s = every_s
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._client.send(self._topic, {"id": self._count, "a": 1, "b": 1, "c": 1})
            self._count += 1

    def stop(self) -> int:
        """How many were sent."""
        self._stop.set()
        self._thread.join(10)
        return self._count


class RowsClient:
    """Connected from the start."""

    def __init__(self, host: str, port: int) -> None:
        self.answers: list[dict[str, Any]] = []
        self._granted = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"rows-{uuid.uuid4().hex[:8]}"
        )
        self._client.max_queued_messages_set(100_000)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._granted.set()
        self._client.connect(host, port)
        self._client.loop_start()

    def close(self) -> None:
        leave(self._client)

    def listen(self, topic_filter: str) -> None:
        self._granted.clear()
        self._client.subscribe(topic_filter, qos=1)
        assert self._granted.wait(10)

    def send(self, topic: str, row: dict[str, Any], qos: int = 1) -> None:
        self._client.publish(topic, json.dumps(row), qos=qos)

    def stream(self, topic: str, every_s: float) -> Stream:
        return Stream(self, topic, every_s)

    def next_answer(self, timeout_s: float = 15) -> dict[str, Any]:
        """Wait for an answer, and take it."""
        wait_for(lambda: self.answers, timeout_s)
        return self.answers.pop(0)

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        self.answers.append(json.loads(message.payload))
