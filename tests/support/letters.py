"""Messages as a device would send them, for tests of the service."""

import itertools
from typing import Any

import msgspec

from cloud_sync.broker.session import Received
from edge_agent.contract.messages import (
    CommandResult,
    Event,
    Health,
    Status,
    Telemetry,
    TelemetryRow,
)
from edge_agent.contract.state import AgentInfo, ReportedState
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode

NOW = 1_700_000_000.0
CHANNELS: dict[type[Any], Channel] = {
    Status: Channel.STATUS,
    ReportedState: Channel.REPORTED,
    Health: Channel.HEALTH,
    Telemetry: Channel.TELEMETRY,
    CommandResult: Channel.RESULT,
}
_numbers = itertools.count(1)


def topic_of(message: Any, message_id: str = "") -> str:
    """Where a device publishes a message."""
    return control(message.device, CHANNELS[type(message)], message_id)


def letter(message: Any, *, is_retained: bool = False, message_id: str = "") -> Received:
    """A message as it comes off the broker."""
    return raw(topic_of(message, message_id), encode(message), is_retained=is_retained)


def raw(topic: str, payload: bytes, *, is_retained: bool = False) -> Received:
    """Any bytes as they come off the broker."""
    return Received(topic, payload, is_retained, next(_numbers), 1, 1)


def status(device: str, *, state: str = "online", boot_id: str = "boot", host: str = "h") -> Status:
    return Status(
        device=device,
        state=state,  # type: ignore[arg-type]
        boot_id=boot_id,
        started=NOW,
        time=NOW,
        host=host,
    )


def reported(device: str, *, seq: int = 1, boot_id: str = "boot", **more: Any) -> ReportedState:
    values = {"revision_seen": 0, "revision_applied": 0, **more}
    return ReportedState(
        device=device, boot_id=boot_id, seq=seq, time=NOW, agent=AgentInfo(version="0"), **values
    )


def health(device: str, *, time: float = NOW, boot_id: str = "boot", **more: Any) -> Health:
    values = {"uptime_s": 1.0, "interval_s": 30.0, **more}
    return Health(device=device, boot_id=boot_id, time=time, **values)


def telemetry(device: str, *rows: TelemetryRow, boot_id: str = "boot") -> Telemetry:
    return Telemetry(device=device, boot_id=boot_id, rows=rows)


def event_row(seq: int, name: str = "swapped", **more: Any) -> TelemetryRow:
    data = msgspec.Raw(msgspec.json.encode(Event(name=name, **more)))
    return TelemetryRow(seq=seq, kind="event", time=NOW, data=data, slot="probe")


def result_row(seq: int, value: object) -> TelemetryRow:
    data = msgspec.Raw(msgspec.json.encode(value))
    return TelemetryRow(seq=seq, kind="result", time=NOW, data=data, slot="probe")
