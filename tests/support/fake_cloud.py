"""A minimal cloud for tests of the agent: blobs over HTTP, desired state and acks over MQTT.

It speaks the contract and keeps what it heard; it decides nothing.
"""

import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.contract.messages import (
    Ack,
    Command,
    CommandResult,
    Event,
    Health,
    Status,
    Telemetry,
    TelemetryRow,
)
from edge_agent.contract.state import (
    AgentSettings,
    DesiredState,
    ReportedSlot,
    ReportedState,
    WantedSlot,
)
from edge_agent.contract.topics import Channel, control, parse, up_filters
from edge_agent.contract.wire import decode, encode
from tests.support.models import BuiltModule
from tests.support.mqtt import leave
from tests.support.waiting import wait_for

_RANGE = re.compile(r"^bytes=(\d+)-$")


class FakeCloud:
    """The HTTP side is up from the start; `connect` joins a broker."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.statuses: list[Status] = []
        self.reports: list[ReportedState] = []
        self.healths: list[Health] = []
        self.rows: dict[tuple[str, int], TelemetryRow] = {}
        self.results: dict[str, CommandResult] = {}
        self.is_acknowledging = True
        self.hold: set[str] = set()
        """Downloads of these digests stop half way until `release` is set."""
        self.cuts: dict[str, int] = {}
        """Downloads of these digests break off after so many bytes, unless they ask for the
        rest."""
        self.release = threading.Event()
        self.held = threading.Event()
        self._revision = 0
        self._wanted: dict[str, DesiredState] = {}
        self._client: mqtt.Client | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, host: str, port: int) -> None:
        ready = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="cloud")

        def connected(client: mqtt.Client, *_: Any) -> None:
            client.subscribe([(topic, 1) for topic in up_filters()])

        client.on_connect = connected
        client.on_subscribe = lambda *_: ready.set()
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 1)
        client.connect(host, port)
        client.loop_start()
        self._client = client
        assert ready.wait(10)

    def close(self) -> None:
        self.release.set()
        if self._client is not None:
            leave(self._client)
            self._client = None
        self._server.shutdown()
        self._server.server_close()

    def publish_module(self, built: BuiltModule) -> None:
        self.blobs[built.digest] = built.manifest_file.read_bytes()
        for digest, path in built.blob_files.items():
            self.blobs[digest] = Path(path).read_bytes()

    def want(
        self, device: str, slots: dict[str, WantedSlot], settings: AgentSettings | None = None
    ) -> int:
        """Publish a desired state with the next revision."""
        self._revision += 1
        desired = DesiredState(
            device=device,
            revision=self._revision,
            slots=slots,
            settings=settings or AgentSettings(),
        )
        self._wanted[device] = desired
        self.send(control(device, Channel.DESIRED), encode(desired), retain=True)
        return self._revision

    def command(self, device: str, message_id: str, command: Command) -> None:
        self.send(control(device, Channel.COMMAND, message_id), encode(command))

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        assert self._client is not None
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def slot(self, name: str) -> ReportedSlot | None:
        """A slot as last reported."""
        return self.reports[-1].slots.get(name) if self.reports else None

    def events(self, name: str = "") -> list[Event]:
        import msgspec

        found = [
            msgspec.json.decode(row.data, type=Event)
            for row in list(self.rows.values())
            if row.kind == "event"
        ]
        return [event for event in found if name in ("", event.name)]

    def await_slot(
        self, name: str, is_there: Callable[[ReportedSlot], bool], timeout_s: float = 30
    ) -> ReportedSlot:
        """Wait until a report says that a slot has arrived."""

        def found() -> ReportedSlot | None:
            slot = self.slot(name)
            return slot if slot is not None and is_there(slot) else None

        return wait_for(found, timeout_s, lambda: f"slot {name}: {self.slot(name)}")

    def await_event(self, name: str, timeout_s: float = 30) -> Event:
        return wait_for(
            lambda: next(iter(self.events(name)), None),
            timeout_s,
            lambda: f"events: {self.events()}",
        )

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        topic = parse(message.topic)
        payload = bytes(message.payload)
        match topic.channel:
            case Channel.STATUS:
                self.statuses.append(decode(Status, payload))
            case Channel.HEALTH:
                self.healths.append(decode(Health, payload))
            case Channel.REPORTED:
                report = decode(ReportedState, payload)
                self.reports.append(report)
                self._acknowledge(client, topic.device, report.boot_id, (report.seq,))
                self._tell_again(client, report)
            case Channel.TELEMETRY:
                telemetry = decode(Telemetry, payload)
                for row in telemetry.rows:
                    self.rows[telemetry.boot_id, row.seq] = row
                seqs = tuple(row.seq for row in telemetry.rows)
                if telemetry.question:
                    here = tuple(s for s in telemetry.asks if self._has(telemetry.boot_id, s))
                    answer = Ack(
                        boot_id=telemetry.boot_id,
                        seqs=here,
                        answers=telemetry.question,
                        time=time.time(),
                    )
                    client.publish(control(topic.device, Channel.ACK), encode(answer), qos=1)
                else:
                    self._acknowledge(client, topic.device, telemetry.boot_id, seqs)
            case Channel.RESULT:
                self.results[topic.message_id] = decode(CommandResult, payload)

    def _acknowledge(
        self, client: mqtt.Client, device: str, boot_id: str, seqs: tuple[int, ...]
    ) -> None:
        if self.is_acknowledging:
            client.publish(
                control(device, Channel.ACK),
                encode(Ack(boot_id=boot_id, seqs=seqs, time=time.time())),
                qos=1,
            )

    def _has(self, boot_id: str, seq: int) -> bool:
        return self.is_acknowledging and (
            (boot_id, seq) in self.rows
            or any((report.boot_id, report.seq) == (boot_id, seq) for report in list(self.reports))
        )

    def _tell_again(self, client: mqtt.Client, report: ReportedState) -> None:
        """As the service does: a broker may give a retained message that is published while its
        reader subscribes neither as new nor as kept (NATS does so, some times in a hundred)."""
        desired = self._wanted.get(report.device)
        if desired is not None and report.revision_seen < desired.revision:
            topic = control(report.device, Channel.DESIRED)
            client.publish(topic, encode(desired), qos=1, retain=True)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                digest = self.path.removeprefix("/v1/blobs/")
                cloud.requests.append(digest)
                body = cloud.blobs.get(digest)
                if body is None:
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start = 0
                asked = _RANGE.match(self.headers.get("Range", ""))
                if asked and self.headers.get("If-Range", "") == f'"{digest}"':
                    start = int(asked[1])
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.send_header("Content-Length", str(len(body) - start))
                self.send_header("ETag", f'"{digest}"')
                self.end_headers()
                if digest in cloud.cuts and not start:
                    self.wfile.write(body[: cloud.cuts[digest]])
                    self.close_connection = True
                    return
                half = start + (len(body) - start) // 2
                self.wfile.write(body[start:half])
                self.wfile.flush()
                if digest in cloud.hold:
                    cloud.held.set()
                    cloud.release.wait(60)
                try:
                    self.wfile.write(body[half:])
                except OSError:
                    self.close_connection = True

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    """The agent was killed, which some tests are about."""

            def log_message(self, *args: object) -> None:
                pass

        return Handler


def wanted(built: BuiltModule, version: int = 1, **options: Any) -> WantedSlot:
    return WantedSlot(module=built.manifest.name, version=version, digest=built.digest, **options)


def soon(seconds: float = 60) -> float:
    return time.time() + seconds
