"""The inbox: an MQTT message of a device becomes one of the contract's messages. Pure."""

from typing import Final

from msgspec import Struct

from cloud_sync.errors import ContractError
from edge_agent.contract.messages import CommandResult, Health, Status, Telemetry
from edge_agent.contract.state import ReportedState
from edge_agent.contract.topics import Channel, ControlTopic, parse
from edge_agent.contract.wire import decode

Message = Status | ReportedState | Health | Telemetry | CommandResult

KINDS: Final[dict[Channel, type[Message]]] = {
    Channel.STATUS: Status,
    Channel.REPORTED: ReportedState,
    Channel.HEALTH: Health,
    Channel.TELEMETRY: Telemetry,
    Channel.RESULT: CommandResult,
}


class Letter(Struct, frozen=True):
    """A message that was understood."""

    topic: ControlTopic
    message: Message
    is_retained: bool


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
    return Letter(parsed, message, is_retained)
