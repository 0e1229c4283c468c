"""What a message says about itself: where its answer is wanted and with which mark, and its time.

MQTT 5 has properties for address and mark. On 3.1.1 they stand in the payload, as `reply_to` and
`correlation` of its object, so that every client can ask. Pure.
"""

from typing import Final

from msgspec import UNSET, Raw, UnsetType, json

from edge_agent.errors import MessageError

REPLY_TO: Final = "reply_to"
CORRELATION: Final = "correlation"

_EARLIEST_S: Final = 1e9
"""2001: a smaller number counts something else, such as seconds since a sensor was switched on."""
_LATEST_S: Final = 1e11
"""Beyond it, the number is taken for milliseconds, as JavaScript counts."""


def reply_of(value: object) -> str:
    """The topic that a payload names for its answer; empty if it names none.

    Raises:
        MessageError: `reply_refused`, it is no text.
    """
    found = value.get(REPLY_TO) if type(value) is dict else None
    if found is None:
        return ""
    if type(found) is not str:
        raise MessageError(
            f"{REPLY_TO} expected a topic, found {type(found).__name__}",
            code="reply_refused",
            hint="send the topic's name as a text, or leave the field out",
        )
    return found


def correlation_of(value: object) -> Raw | UnsetType:
    """The mark that a payload carries, as JSON; UNSET if it is no text and no number."""
    found = value.get(CORRELATION) if type(value) is dict else None
    if type(found) in (str, int, float):
        return Raw(json.encode(found))
    return UNSET


def correlation_text(correlation: bytes) -> Raw | UnsetType:
    """The mark of a property, as JSON; UNSET if it is no text: the property carries it anyway."""
    try:
        return Raw(json.encode(correlation.decode()))
    except UnicodeDecodeError:
        return UNSET


def seconds_of(input_time: Raw) -> float:
    """The time of a message, seconds since 1970; 0 if it is no such number.

    Args:
        input_time: as JSON; seconds or milliseconds since 1970.
    """
    try:
        value = float(bytes(input_time))
    except ValueError:
        return 0.0
    if value >= _LATEST_S:
        value /= 1e3
    return value if _EARLIEST_S <= value < _LATEST_S else 0.0
