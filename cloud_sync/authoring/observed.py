"""Observed messages: a file of samples that a person gives, as the messages they stand for.

Reads one file of JSON or CSV; bounded, and what is not used is said.
"""

import csv
import io
import math
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cloud_sync.authoring.samples import Json, put
from cloud_sync.errors import ModuleError

MAX_BYTES: Final = 64 * 2**20
MAX_MESSAGES: Final = 20
"""Unless somebody needs more: golden cases travel to every device, so a handful has to do."""


class Observed(Struct, frozen=True, kw_only=True):
    """Sample messages.

    Attributes:
        file: as the person named it.
        names: what can be a field, in order: the columns of a table, or the keys of the first
            message that hold single values; empty if it is no object.
        messages: the first of a JSON file.
        rows: the same of a table, its cells by column as text.
        notes: what of the file is not used and why, one sentence each.
    """

    file: Path
    names: tuple[str, ...]
    messages: tuple[Json, ...] = ()
    rows: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def typed(self, texts: AbstractSet[str] = frozenset()) -> tuple[Json, ...]:
        """The messages; the cells of a table become what they read as.

        Args:
            texts: columns whose cells stay text, whatever they look like.
        """
        if not self.rows:
            return self.messages
        messages = []
        for row in self.rows:
            message: dict[str, Json] = {}
            for name, cell in row.items():
                # A binding reads "a.b" as b inside of a.
                put(message, name, (cell or None) if name in texts else _value(cell))
            messages.append(message)
        return tuple(messages)


def read_observed(path: Path, *, most: int = MAX_MESSAGES) -> Observed:
    """Read sample messages.

    Args:
        path: `.csv` with a header line, otherwise JSON: a message, or a list of messages that are
            objects.
        most: messages that are used, the first ones.

    Raises:
        ModuleError: no such file, too large, malformed, or empty.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModuleError(
                f"sample {path} expected at most {MAX_BYTES} bytes, found more",
                hint="keep fewer messages; a few hundred are enough",
            )
        data = path.read_bytes()
    except OSError as error:
        raise ModuleError(
            f"sample {path} cannot be read: {error.strerror}",
            hint="check its name and its permissions",
        ) from error
    try:
        is_table = path.suffix.lower() == ".csv"
        observed = _read_csv(path, data, most) if is_table else _read_json(path, data, most)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, csv.Error) as error:
        raise ModuleError(
            f"sample {path} is malformed: {error}", hint="write one JSON message a line"
        ) from error
    if not observed.messages and not observed.rows:
        raise ModuleError(
            "; ".join((f"sample {path} holds no message", *observed.notes)),
            hint="record messages into it, one a line",
        )
    return observed


def _read_json(path: Path, data: bytes, most: int) -> Observed:
    value: Json = msgspec.json.decode(data)
    messages: list[Json] = [value]
    # A list of objects is many messages; any other list is one that holds an array.
    if isinstance(value, list) and value and isinstance(value[0], dict):
        messages = value
    first = messages[0]
    names: tuple[str, ...] = ()
    if isinstance(first, dict):
        # A '.' goes into objects, so no path finds a key that has one.
        names = tuple(
            key for key, value in first.items()
            if key and "." not in key and not isinstance(value, dict | list)
        )  # fmt: skip
    notes = _too_many(path, len(messages), most)
    return Observed(file=path, names=names, messages=tuple(messages[:most]), notes=notes)


def _read_csv(path: Path, data: bytes, most: int) -> Observed:
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig")))
    header = [cell.strip() for cell in next(reader, [])]
    rows: list[dict[str, str]] = []
    uneven: list[int] = []
    count = 0
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            uneven.append(reader.line_num)
            continue
        count += 1
        if count <= most:
            # A column without a name, as the index of a data frame, is no field.
            rows.append({name: cell for name, cell in zip(header, row, strict=True) if name})
    notes = list(_too_many(path, count, most))
    if uneven:
        notes.append(
            f"sample {path}: rows dropped: {len(uneven)}, the first in line {uneven[0]}, for not "
            f"having as many cells as the header, {len(header)}"
        )
    names = tuple(dict.fromkeys(name for name in header if name))
    return Observed(file=path, names=names, rows=tuple(rows), notes=tuple(notes))


def _too_many(path: Path, count: int, most: int) -> tuple[str, ...]:
    if count <= most:
        return ()
    return (f"sample {path}: the first {most} of {count} messages are used",)


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
