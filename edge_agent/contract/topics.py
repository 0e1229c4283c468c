"""MQTT topics: the control topics are built and parsed here and nowhere else.

Data topics are the user's own; this file knows how filters match, what the wildcards caught,
and how an output topic is made from them.
"""

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

from edge_agent.contract.names import check_name
from edge_agent.errors import ContractError

ROOT: Final = "shoal/v1"
MAX_TOPIC_BYTES: Final = 65_535

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_ID: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


class Channel(StrEnum):
    """The kinds of control topic; the value is the path below the device."""

    STATUS = "up/status"
    REPORTED = "up/reported"
    HEALTH = "up/health"
    TELEMETRY = "up/telemetry"
    RESULT = "up/result"
    LABELS = "up/labels"
    DESIRED = "down/desired"
    ACK = "down/ack"
    COMMAND = "down/command"


_WITH_ID: Final = frozenset({Channel.RESULT, Channel.COMMAND})
RETAINED: Final = frozenset({Channel.STATUS, Channel.DESIRED})
"""Channels whose last message the broker keeps for late subscribers."""


class ControlTopic(Struct, frozen=True):
    """A parsed control topic. `message_id` is set for commands and their results only."""

    device: str
    channel: Channel
    message_id: str = ""


def control(device: str, channel: Channel, message_id: str = "") -> str:
    """Build a control topic.

    Raises:
        ContractError: a bad device name, or an id that is missing, unwanted or malformed.
    """
    check_name("device", device)
    topic = f"{ROOT}/{device}/{channel.value}"
    if channel not in _WITH_ID:
        if message_id:
            raise ContractError(f"topic {channel.value} takes no message id, found {message_id!r}")
        return topic
    if _ID.match(message_id) is None:
        raise ContractError(
            f"topic {channel.value} expected a message id of 1-64 characters of "
            f"A-Z, a-z, 0-9, '_' and '-'; found {message_id[:80]!r}"
        )
    return f"{topic}/{message_id}"


def parse(topic: str) -> ControlTopic:
    """Parse a control topic.

    Raises:
        ContractError: not a control topic of version 1.
    """
    levels = topic.split("/")
    if levels[:2] != ROOT.split("/") or len(levels) not in (5, 6):
        raise ContractError(
            f"topic expected below {ROOT}/, found {topic[:120]!r}",
            hint="docs/reference/topics.md lists the control topics",
        )
    try:
        channel = Channel("/".join(levels[3:5]))
    except ValueError as error:
        raise ContractError(
            f"unknown control topic {topic[:120]!r}",
            hint="docs/reference/topics.md lists the control topics",
        ) from error
    message_id = levels[5] if len(levels) == 6 else ""
    parsed = ControlTopic(levels[2], channel, message_id)
    control(parsed.device, parsed.channel, parsed.message_id)  # raises on a bad name or id
    return parsed


def down_filters(device: str) -> tuple[str, ...]:
    """What a device subscribes to."""
    return (
        control(device, Channel.DESIRED),
        control(device, Channel.ACK),
        f"{ROOT}/{check_name('device', device)}/{Channel.COMMAND.value}/+",
    )


def up_filters() -> tuple[str, ...]:
    """What the cloud subscribes to."""
    plain = [c for c in Channel if c.value.startswith("up/")]
    return tuple(
        f"{ROOT}/+/{channel.value}" + ("/+" if channel in _WITH_ID else "") for channel in plain
    )


def data_prefix(device: str) -> str:
    """Where a device's data topics live on a broker that it shares with others."""
    return f"data/{check_name('device', device)}/"


def check_filter(value: str) -> str:
    """Return `value` if it is a valid MQTT topic filter outside the control tree.

    Raises:
        ContractError: empty, too long, misplaced wildcard, blanks, or below `shoal/`.
    """
    _check_common("filter", value)
    _check_portable("filter", value)
    levels = value.split("/")
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != len(levels) - 1):
            raise ContractError(
                f"filter {value!r}: '#' must be the whole last level",
                hint="put a '/' before it and nothing behind it, as in sensors/#",
            )
        if "+" in level and level != "+":
            raise ContractError(
                f"filter {value!r}: '+' must be a whole level",
                hint="put it between slashes, as in sensors/+/rows",
            )
    return value


def check_data_topic(value: str) -> str:
    """Return `value` if it is a valid MQTT topic name outside the control tree.

    Raises:
        ContractError: empty, too long, a wildcard in it, or below `shoal/`.
    """
    _check_common("topic", value)
    if "+" in value or "#" in value:
        raise ContractError(
            f"topic {value!r}: wildcards are for filters, not for topic names",
            hint="publish on a topic without '+' and '#'",
        )
    return value


def _check_common(what: str, value: str) -> None:
    if not value or len(value.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        raise ContractError(
            f"{what} expected 1-{MAX_TOPIC_BYTES} bytes, found {len(value)}",
            hint="use a shorter topic that is not empty",
        )
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ContractError(
            f"{what} {value!r}: NUL and lone surrogates are not allowed",
            hint="use plain text in topics",
        )
    if value.startswith("$"):
        raise ContractError(
            f"{what} {value!r}: topics beginning with '$' belong to the broker",
            hint="choose a topic that begins otherwise",
        )
    if value == "shoal" or value.startswith("shoal/"):
        raise ContractError(
            f"{what} {value!r}: topics below shoal/ are the control plane's",
            hint="choose a topic outside of shoal/, such as sensors/{device}/...",
        )


def _check_portable(what: str, value: str) -> None:
    """MQTT allows blanks, but some brokers end the connection of whoever uses them."""
    bad = next((c for c in value if c.isspace() or not c.isprintable()), None)
    if bad is not None:
        raise ContractError(
            f"{what} {value!r}: blanks and control characters are refused by some brokers, "
            f"the embedded one among them; found {bad!r}",
            hint="use letters, digits, '-' and '_' between the slashes",
        )


def captures(topic_filter: str, topic: str) -> tuple[str, ...] | None:
    """What each wildcard of `topic_filter` caught in `topic`, or None if it does not match.

    A `+` catches its level; a final `#` catches the rest, joined by '/'.
    """
    wanted = topic_filter.split("/")
    found = topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return None  # MQTT 3.1.1, 4.7.2: a leading wildcard never matches $-topics
    caught: list[str] = []
    for index, level in enumerate(wanted):
        if level == "#":
            return (*caught, "/".join(found[index:]))
        if index >= len(found):
            return None
        if level == "+":
            caught.append(found[index])
        elif level != found[index]:
            return None
    return tuple(caught) if len(found) == len(wanted) else None


def expand_device(template: str, device: str) -> str:
    """Replace `{device}` in a topic or filter of a manifest."""
    return template.replace("{device}", device)


def check_output_template(template: str, topic_filter: str) -> str:
    """Return `template` if every placeholder is `{device}` or a wildcard of `topic_filter`.

    Raises:
        ContractError: unknown placeholder, a number that no wildcard answers to, or blanks.
    """
    wildcards = sum(level in ("+", "#") for level in topic_filter.split("/"))
    for name in _PLACEHOLDER.findall(template):
        if name == "device":
            continue
        if not name.isdecimal() or not 1 <= int(name) <= wildcards:
            raise ContractError(
                f"output topic {template!r}: {{{name}}} expected {{device}} or a number from 1 to "
                f"{wildcards} (the wildcards of {topic_filter!r})",
                hint="count the '+' and '#' of the input topic from the left, beginning with 1",
            )
    check_data_topic(_PLACEHOLDER.sub("x", template))
    _check_portable("output topic", template)
    return template


def expand_output(template: str, caught: tuple[str, ...], device: str) -> str:
    """Fill an output template: `{1}` is what the first wildcard caught, `{device}` the device."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return device if name == "device" else caught[int(name) - 1]

    return _PLACEHOLDER.sub(value, template)


def template_as_filter(template: str, topic_filter: str = "") -> str:
    """The narrowest filter that matches every topic an output template can produce.

    Args:
        template: the output topic of a manifest.
        topic_filter: the input filter whose wildcards it names. A final `#` may catch several
            levels, so a template that uses it can be of any length.
    """
    levels = topic_filter.split("/")
    wildcards = sum(level in ("+", "#") for level in levels)
    open_end = f"{{{wildcards}}}" if levels[-1] == "#" else None
    narrow: list[str] = []
    for level in template.split("/"):
        if open_end is not None and open_end in level:
            return "/".join([*narrow, "#"])
        narrow.append("+" if "{" in level else level)
    return "/".join(narrow)


def filters_overlap(left: str, right: str) -> bool:
    """Whether some topic matches both filters. Used to find cycles between modules."""
    a, b = left.split("/"), right.split("/")
    for x, y in zip(a, b, strict=False):
        if "#" in (x, y):
            return True
        if "+" not in (x, y) and x != y:
            return False
    if len(a) == len(b):
        return True
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    # "a/#" also matches its parent "a".
    return longer[len(shorter)] == "#" and len(longer) == len(shorter) + 1
