"""JSON payloads to Python values.

Strict JSON: NaN and Infinity are not part of it. Depth is bounded by the parser, size before it
starts; numbers outside float64 are refused and never become infinite.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Final, NoReturn

import msgspec
from msgspec import Raw

from edge_agent.errors import MessageError
from edge_agent.runtime.codecs.codec import JSON_TYPE, AnswerFormat, check_size

_NOT_A_NUMBER: Final = re.compile(rb"(?:^|[\s:,\[])(NaN|-?Infinity|nan|-?inf)\s*(?:[,}\]]|$)")
# Pairs and other escapes are stepped over, so that what the group catches stands alone.
_LONE_SURROGATE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)

_decode: Final = msgspec.json.Decoder().decode


class JsonCodec:
    """Decodes JSON.

    Args:
        max_bytes: longest payload.
    """

    content_type = JSON_TYPE
    answers: AnswerFormat | None = None

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def decode(self, payload: bytes) -> object:
        """Dicts, lists, strings, numbers, booleans and None.

        Raises:
            MessageError: `too_large`, `not_json`, `not_finite`, `out_of_range` or `too_deep`.
        """
        if len(payload) > self._max_bytes:
            check_size(payload, self._max_bytes)
        return read_json(payload)


def read_json(payload: bytes | Raw) -> object:
    """Any JSON as dicts, lists, strings, numbers, booleans and None.

    Raises:
        MessageError: `not_json`, `not_finite`, `out_of_range` or `too_deep`.
    """
    try:
        return _decode(payload)
    except RecursionError as error:
        raise MessageError(
            "JSON is nested too deeply", code="too_deep", hint="send a flatter message"
        ) from error
    except msgspec.ValidationError as error:
        raise MessageError(
            f"JSON expected numbers that a float64 can hold, found {_too_large(bytes(payload))}",
            code="out_of_range",
            hint="send numbers below 1.8e308; a text field keeps others",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refuse_json(bytes(payload), error)


def refuse_json(payload: bytes, error: Exception) -> NoReturn:
    """Say what is wrong with a payload that the decoder refused.

    The decoder counts positions within one string, and calls a lone surrogate a truncated end.
    """
    try:
        payload.decode()
    except UnicodeDecodeError as wrong:
        raise MessageError(
            f"payload is not JSON: expected UTF-8, found byte 0x{payload[wrong.start]:02x} "
            f"at position {wrong.start}",
            code="not_json",
            hint="encode the text as UTF-8",
        ) from error
    found = _NOT_A_NUMBER.search(payload)
    if found is not None:
        raise MessageError(
            f"JSON expected finite numbers, found {found[1].decode()}",
            code="not_finite",
            hint="send null, or leave the value out, and choose a `missing` rule",
        ) from error
    for escape in _LONE_SURROGATE.finditer(payload):
        if escape[1] is not None:
            raise MessageError(
                f"payload is not JSON: found half a character, \\{escape[1].decode()}, "
                f"at position {escape.start()}",
                code="not_json",
                hint="a surrogate is written as a pair, \\ud83d\\ude00",
            ) from error
    raise MessageError(
        f"payload is not JSON: {error}",
        code="not_json",
        hint="send one JSON value a message, encoded by a JSON library",
    ) from error


def _too_large(payload: bytes) -> str:
    """Where the first number is that no float64 holds: the decoder hides the keys of its path."""
    try:
        # Python reads such a number as an infinity; the constants are not what is looked for.
        value = json.loads(payload, parse_constant=lambda _: None)
    except (ValueError, RecursionError):  # something else is wrong further on
        return "a larger one"
    path = next(_infinities(value, ""), "")
    return f"a larger one at {path!r:.100}" if path else "a larger one"


def _infinities(value: object, path: str) -> Iterator[str]:
    if isinstance(value, float):
        if math.isinf(value):
            yield path
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _infinities(inner, f"{path}.{key}" if path else str(key))
