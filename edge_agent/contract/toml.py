"""Settings files written by people: TOML text to a Struct, with errors that name the line.

Used for `agent.toml`, `cloud-sync.toml` and `module.toml`, so that all three complain in the same
words. Takes text, never a path: reading the file is the caller's.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, inspect

from edge_agent.contract.names import did_you_mean
from edge_agent.contract.toml_lines import Path, key_lines
from edge_agent.errors import ShoalError

S = TypeVar("S", bound=Struct)

_PLACE: Final = re.compile(r"^(?P<what>.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$")
_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?(?P<path>.*?)`)?$", re.DOTALL)
_PART: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_GOT: Final = re.compile(r"^Expected (?P<expected>.*?)(?:, got (?P<found>.*))?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(?P<key>.*)`$")


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
    top = inspect.type_info(kind)
    for path, known in _unknown_keys(data, top, ()):
        place = f"in {describe(path[:-1])}" if len(path) > 1 else "at the top level"
        raise error(
            f"{source} line {line_of(lines, path)}: unknown key {path[-1]!r} {place}",
            hint=did_you_mean(str(path[-1]), known),
        )
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as misfit:
        raise _misfit(str(misfit), data, top, lines, source, error) from misfit


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
        raise error(
            f"{source} {place}: not TOML: {what}", hint="correct the file at this place"
        ) from malformed
    except RecursionError as deep:
        raise error(f"{source} line 1: nested too deeply") from deep


def _members(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The alternatives of a union, or the type itself, without wrappers."""
    if isinstance(kind, inspect.Metadata):
        yield from _members(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from _members(member)
    else:
        yield kind


def _child(kind: inspect.Type, key: str | int) -> inspect.Type | None:
    """The type that belongs at `key` below `kind`, or None if nothing does."""
    for member in _members(kind):
        if isinstance(key, int):
            if isinstance(member, inspect.ListType | inspect.VarTupleType | inspect.SetType):
                return member.item_type
        elif isinstance(member, inspect.StructType):
            for field in member.fields:
                if field.encode_name == key:
                    return field.type
        elif isinstance(member, inspect.DictType):
            return member.value_type
    return None


def _unknown_keys(
    value: object, kind: inspect.Type, path: Path
) -> Iterator[tuple[Path, list[str]]]:
    """Each key that no Struct at its place knows, with the keys that are known there."""
    if isinstance(value, dict):
        structs = [m for m in _members(kind) if isinstance(m, inspect.StructType)]
        known = [field.encode_name for struct in structs for field in struct.fields]
        for key, inner in value.items():
            if structs and key not in known:
                yield (*path, key), known
            elif (below := _child(kind, key)) is not None:
                yield from _unknown_keys(inner, below, (*path, key))
    elif isinstance(value, list) and (item := _child(kind, 0)) is not None:
        for index, inner in enumerate(value):
            yield from _unknown_keys(inner, item, (*path, index))


def _misfit(
    message: str,
    data: object,
    kind: inspect.Type,
    lines: dict[Path, int],
    source: str,
    error: type[ShoalError],
) -> ShoalError:
    """The error for a value that msgspec refused."""
    matched = _AT.match(message)
    what = matched["what"] if matched else message
    path, value, at = _follow((matched["path"] if matched else None) or "", data, kind)
    where = f"{source} line {line_of(lines, path)}"
    missing = _MISSING.match(what)
    if missing:
        return error(f"{where}: {describe(path)} needs the key {missing['key']!r}")
    literals = _literals(at)
    if what.startswith("Invalid enum value") and literals:
        expected = ", ".join(repr(word) for word in literals)
        return error(
            f"{where}: {describe(path)} expected one of {expected}; found {value!r:.100}",
            hint=did_you_mean(str(value), map(str, literals)),
        )
    misfit = _GOT.match(what)
    expected = misfit["expected"].replace("`", "") if misfit else what
    return error(f"{where}: {describe(path)} expected {expected}; found {_shown(value)}")


def _follow(path: str, data: object, kind: inspect.Type) -> tuple[Path, object, inspect.Type]:
    """Walk msgspec's `$.a[0].b` as far as it names keys (a dict's key is written `[...]`)."""
    parts: list[str | int] = []
    for match in _PART.finditer(path):
        if match[1] is None and match[2] is None:
            break
        key: str | int = match[1] if match[1] is not None else int(match[2])
        below = _child(kind, key)
        try:
            data = data[key]  # type: ignore[index]  # a wrong kind of key raises TypeError
        except (KeyError, IndexError, TypeError):
            break
        parts.append(key)
        if below is None:
            break
        kind = below
    return tuple(parts), data, kind


def _literals(kind: inspect.Type) -> list[object]:
    found: list[object] = []
    for member in _members(kind):
        if isinstance(member, inspect.LiteralType):
            found.extend(member.values)
        elif isinstance(member, inspect.EnumType):
            found.extend(item.value for item in member.cls)
    return found


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"{type(value).__name__} {value!r:.100}"
