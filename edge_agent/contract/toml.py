"""Settings files written by people: TOML text to a Struct, with errors that name the line.

Used for `agent.toml`, `cloud-sync.toml` and `module.toml`, so that all three complain in the same
words. Takes text, never a path: reading the file is the caller's.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, inspect

from edge_agent.contract.misfit import child, members, misfit, shown
from edge_agent.contract.names import choice_hint, did_you_mean
from edge_agent.contract.toml_lines import Path, key_lines
from edge_agent.errors import ShoalError

S = TypeVar("S", bound=Struct)

_PLACE: Final = re.compile(r"^(?P<what>.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$")
_AGAIN: Final = {"Cannot overwrite a value": "this key is given twice"}
"""tomllib's words for what people do most often."""


def read_toml(text: str, kind: type[S], *, source: str, error: type[ShoalError]) -> S:
    """Read a settings file into `kind`.

    Unknown keys are refused at every level, whatever `kind` says about unknown fields.

    Args:
        text: the file's text.
        kind: the Struct to make; nested Structs are tables, sequences of Structs are `[[tables]]`.
        source: the file's name, for errors.
        error: class of the error that is raised.

    Raises:
        ShoalError: of class `error`: malformed TOML (line and column), an unknown key (line and
            the closest known one), a missing key, or a value that does not fit (line, what was
            expected and what was found).
    """
    data, lines = _parse(text, source, error)
    return fitted(
        data, kind, place=lambda path: f"{source} line {line_of(lines, path)}", error=error
    )


def fitted(
    data: object, kind: type[S], *, place: Callable[[Path], str], error: type[ShoalError]
) -> S:
    """Make `kind` of what was read, with the errors of `read_toml`.

    Args:
        data: tables, lists and values.
        kind: the Struct to make.
        place: where a key stands, for errors.
        error: class of the error that is raised.

    Raises:
        ShoalError: of class `error`: an unknown key, a missing key, a value that does not fit.
    """
    top = inspect.type_info(kind)
    for path, known in _unknown_keys(data, top, ()):
        where = f"in {describe(path[:-1])}" if len(path) > 1 else "at the top level"
        raise error(
            f"{place(path)}: unknown key {path[-1]!r} {where}",
            hint=did_you_mean(str(path[-1]), known),
        )
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as refused:
        raise _misfit(str(refused), data, top, place, error) from refused


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of a key, or of the nearest table around it that has one; 1 if none does.

    Args:
        lines: as `key_lines` gives them.
        path: keys and list indices from the top.
    """
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


def describe(path: Path) -> str:
    """A path as people write it: `tensor[0].fields[2].min`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the file"


def _parse(
    text: str, source: str, error: type[ShoalError]
) -> tuple[dict[str, Any], dict[Path, int]]:  # Any: whatever a person wrote
    try:
        return tomllib.loads(text), key_lines(text)
    except tomllib.TOMLDecodeError as malformed:
        found = _PLACE.match(str(malformed))
        what = found["what"] if found else str(malformed)
        if found and found[2]:
            place = f"line {found[2]}, column {found[3]}"
        else:
            last = text.split("\n")
            place = f"line {len(last)}, column {len(last[-1]) + 1}"
        what = _AGAIN.get(what, what)
        raise error(
            f"{source} {place}: not TOML: {what}", hint="correct the file at this place"
        ) from malformed
    except RecursionError as deep:
        raise error(f"{source} line 1: nested too deeply") from deep


def _unknown_keys(
    value: object, kind: inspect.Type, path: Path
) -> Iterator[tuple[Path, list[str]]]:
    """Each key that no Struct at its place knows, with the keys that are known there."""
    if isinstance(value, dict):
        structs = [m for m in members(kind) if isinstance(m, inspect.StructType)]
        known = [field.encode_name for struct in structs for field in struct.fields]
        for key, inner in value.items():
            if structs and key not in known:
                yield (*path, key), known
            elif (below := child(kind, key)) is not None:
                yield from _unknown_keys(inner, below, (*path, key))
    elif isinstance(value, list) and (item := child(kind, 0)) is not None:
        for index, inner in enumerate(value):
            yield from _unknown_keys(inner, item, (*path, index))


def _misfit(
    message: str,
    data: object,
    kind: inspect.Type,
    place: Callable[[Path], str],
    error: type[ShoalError],
) -> ShoalError:
    """The error for a value that msgspec refused."""
    wrong = misfit(message, data, kind)
    where = f"{place(wrong.path)}: {describe(wrong.path)}"
    if wrong.missing:
        return error(f"{where} needs the key {wrong.missing!r}", hint="add it there")
    return error(
        f"{where} expected {wrong.expected}; found {shown(wrong.value)}",
        hint=choice_hint(str(wrong.value), wrong.choices) if wrong.choices else "correct it there",
    )
