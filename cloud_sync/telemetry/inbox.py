"""The inbox: an MQTT message of a device becomes one of the contract's messages. Pure."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from cloud_sync.errors import ContractError
from edge_agent.contract.labels import Labels, check_label
from edge_agent.contract.messages import Ack, CommandResult, Health, Status, Telemetry
from edge_agent.contract.state import ReportedState
from edge_agent.contract.topics import Channel, ControlTopic, parse
from edge_agent.contract.wire import decode

Message = Status | ReportedState | Health | Telemetry | CommandResult | Labels

KINDS: Final[dict[Channel, type[Message]]] = {
    Channel.STATUS: Status,
    Channel.REPORTED: ReportedState,
    Channel.HEALTH: Health,
    Channel.TELEMETRY: Telemetry,
    Channel.RESULT: CommandResult,
    Channel.LABELS: Labels,
}


class Letter(Struct, frozen=True):
    """A message that was understood."""

    topic: ControlTopic
    message: Message
    is_retained: bool


# The bound is that of the devices' own database.
_Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Row(Struct):
    seq: _Seq


class _Batch(Struct):
    boot_id: str
    rows: tuple[_Row, ...]


class _Report(Struct):
    boot_id: str
    seq: _Seq


def open_letter(topic: str, payload: bytes, *, is_retained: bool) -> Letter | None:
    """Understand a message.

    Returns:
        The letter, or None for an empty retained message, which only clears the topic.

    Raises:
        ContractError: it does not follow the contract, or speaks for another device.
    """
    parsed = parse(topic)
    kind = KINDS.get(parsed.channel)
    if kind is None:
        raise ContractError(f"topic {topic[:120]!r} is not one that devices send on")
    if not payload and parsed.channel is Channel.STATUS:
        return None
    message = decode(kind, payload)
    if message.device != parsed.device:
        raise ContractError(
            f"{kind.__name__} on the topic of {parsed.device!r} speaks for {message.device!r}",
            code="device_mismatch",
        )
    if isinstance(message, Labels):
        for label in message.labels:
            check_label(label)
    return Letter(parsed, message, is_retained)


def rows_of(topic: str, payload: bytes) -> tuple[str, Ack] | None:
    """Which outbox rows a message brings that is refused for good.

    A device sends a row again until it is acknowledged, so one that nobody will ever take would
    be sent for ever, and hold up those behind it.

    Returns:
        Whose they are, and the acknowledgement that frees them; None if the message brings no
        rows, or not even their numbers can be read.
    """
    try:
        parsed = parse(topic)
        if parsed.channel is Channel.TELEMETRY:
            batch = decode(_Batch, payload, limit_bytes=len(payload))
            return parsed.device, Ack(
                boot_id=batch.boot_id, seqs=tuple(row.seq for row in batch.rows)
            )
        if parsed.channel is Channel.REPORTED:
            report = decode(_Report, payload, limit_bytes=len(payload))
            return parsed.device, Ack(boot_id=report.boot_id, seqs=(report.seq,))
    except ContractError:
        return None
    return None
