"""Observed messages: a file of samples that a person gives, as the messages they stand for.

Reads one file of JSON or CSV; bounded, because only a handful is used.
"""

import csv
import io
import math
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cloud_sync.authoring.samples import Json
from cloud_sync.errors import ModuleError

MAX_BYTES: Final = 64 * 2**20
MAX_MESSAGES: Final = 20


class Observed(Struct, frozen=True):
    """Sample messages.

    Attributes:
        messages: the first of the file, `MAX_MESSAGES` at most.
        names: keys of the first message that hold single values, in order; empty if it is no
            object.
    """

    messages: tuple[Json, ...]
    names: tuple[str, ...]


def read_observed(path: Path) -> Observed:
    """Read sample messages.

    Args:
        path: `.csv` with a header line, otherwise JSON: a message, or a list of messages that are
            objects.

    Raises:
        ModuleError: no such file, too large, malformed, or empty.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModuleError(f"sample {path} expected at most {MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ModuleError(f"sample {path} cannot be read: {error.strerror}") from error
    try:
        messages = _read_csv(data) if path.suffix.lower() == ".csv" else _read_json(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, csv.Error) as error:
        raise ModuleError(f"sample {path} is malformed: {error}") from error
    if not messages:
        raise ModuleError(f"sample {path} holds no message")
    first = messages[0]
    names: tuple[str, ...] = ()
    if isinstance(first, dict):
        names = tuple(key for key, value in first.items() if not isinstance(value, dict | list))
    return Observed(tuple(messages), names)


def _read_json(data: bytes) -> list[Json]:
    value: Json = msgspec.json.decode(data)
    # A list of objects is many messages; any other list is one that holds an array.
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[:MAX_MESSAGES]
    return [value]


def _read_csv(data: bytes) -> list[Json]:
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig")))
    header = next(rows, [])
    messages: list[Json] = []
    for row in rows:
        if row:
            values = {key: _value(text) for key, text in zip(header, row, strict=False)}
            messages.append(values)
        if len(messages) == MAX_MESSAGES:
            break
    return messages


def _value(text: str) -> Json:
    """What a cell of a table means: a number where it reads as one, nothing where it is empty."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return {"": None, "true": True, "false": False}.get(text.strip().lower(), text)
    return number if math.isfinite(number) else None
