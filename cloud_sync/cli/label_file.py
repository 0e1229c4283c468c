"""A file of labels that a person gives: CSV or JSON, read and checked row by row. Bounded."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from cloud_sync.errors import InvalidInput
from cloud_sync.label_resources import DeviceLabel
from edge_agent.contract.labels import check_label
from edge_agent.contract.misfit import in_words

MAX_BYTES: Final = 64 * 2**20
_TRUE: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_labels(path: Path, *, device: str = "", slot: str = "") -> list[DeviceLabel]:
    """Read labels.

    Args:
        path: `.csv` with a header of the columns device, slot, id, and value or right; otherwise
            a list of objects in JSON with the same keys.
        device: of rows that name none.
        slot: likewise.

    Raises:
        InvalidInput: unreadable, too large, malformed, or a row that is no label, by its number.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            f"labels {path} cannot be read: {error.strerror}",
            hint="check its name and its permissions",
        ) from error
    if len(data) > MAX_BYTES:
        raise InvalidInput(
            f"labels {path} expected at most {MAX_BYTES} bytes, found more",
            hint="give them in several files",
        )
    try:
        rows = list(_table(data) if path.suffix.lower() == ".csv" else _objects(data))
    except (msgspec.DecodeError, UnicodeDecodeError, csv.Error, RecursionError) as error:
        raise InvalidInput(
            f"labels {path}: {error}",
            hint="write a CSV file with a header, or a list of objects in JSON",
        ) from error
    labels = []
    for number, row in enumerate(rows, 1):
        try:
            labels.append(as_label({"device": device, "slot": slot} | row))
        except InvalidInput as error:
            text = f"labels {path}, row {number}: {error.text}"
            raise InvalidInput(text, hint=error.hint, code=error.code) from error
    return labels


def as_label(row: dict[str, Any]) -> DeviceLabel:  # Any: as in JSON
    """A label from its parts; a value that reads as a number is one.

    Raises:
        InvalidInput: it is none.
    """
    found = {name: value for name, value in row.items() if value not in (None, "")}
    if isinstance(found.get("value"), str):
        found["value"] = _number(found["value"])
    try:
        label = msgspec.convert(found, DeviceLabel)
        check_label(label)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"a label {in_words(str(error))}",
            hint="a label has a device, a slot, an id, and either a value or right",
            code="label_invalid",
        ) from error
    return label


def _table(data: bytes) -> Iterator[dict[str, Any]]:  # Any: as in JSON
    for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig"))):
        # A cell that is empty says nothing.
        found: dict[str, Any] = {name: cell for name, cell in row.items() if name and cell}
        if "tolerance" in found:
            found["tolerance"] = _number(found["tolerance"])
        if "right" in found:
            found["right"] = _TRUE.get(str(found["right"]).strip().lower(), found["right"])
        yield found


def _objects(data: bytes) -> Iterator[dict[str, Any]]:  # Any: what a person wrote
    yield from msgspec.json.decode(data, type=list[dict[str, Any]])


def _number(cell: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell
