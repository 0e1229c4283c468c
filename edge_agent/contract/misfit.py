"""msgspec's refusals in the words of people: what was expected of a setting, and what was found.

Knows msgspec's texts and nothing of files: whoever asks puts the place in front.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct, inspect

from edge_agent.contract.toml_lines import Path

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?(?P<path>.*?)`)?$", re.DOTALL)
_PART: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_GOT: Final = re.compile(r"^Expected (?P<expected>.*?)(?:, got (?P<found>.*))?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(?P<key>.*)`$")
_KIND: Final = re.compile(r"`([^`]*)`")
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
}


class Misfit(Struct, frozen=True, kw_only=True):
    """A value that does not fit.

    Attributes:
        path: where it stands.
        value: what stands there.
        missing: the key that a table needs and has not; then the rest says nothing.
        expected: in words.
        choices: the values that there are, if they are few.
    """

    path: Path
    value: object
    missing: str = ""
    expected: str = ""
    choices: tuple[str, ...] = ()


def misfit(message: str, data: object, kind: inspect.Type) -> Misfit:
    """What a ValidationError says.

    Args:
        message: its text.
        data: what was converted.
        kind: what to.
    """
    matched = _AT.match(message)
    what = matched["what"] if matched else message
    path, value, at = _follow((matched["path"] if matched else None) or "", data, kind)
    missing = _MISSING.match(what)
    if missing:
        return Misfit(path=path, value=value, missing=missing["key"])
    literals = _literals(at)
    if what.startswith("Invalid enum value") and literals:
        return Misfit(
            path=path,
            value=value,
            expected=f"one of {', '.join(repr(word) for word in literals)}",
            choices=tuple(map(str, literals)),
        )
    got = _GOT.match(what)
    expected = _KIND.sub(_worded, got["expected"]) if got else what
    if " matching regex " in expected:
        described = _description(at)
        expected = described or expected.replace("matching regex", "that matches")
    return Misfit(path=path, value=value, expected=expected)


def in_words(message: str) -> str:
    """What a ValidationError says, where neither the data nor its type is at hand.

    Args:
        message: its text, without the place.

    Returns:
        What is said behind the place: `expected a number >= 1`.
    """
    missing = _MISSING.match(message)
    if missing:
        return f"needs the key {missing['key']!r}"
    got = _GOT.match(message)
    if got is None:
        return message[:1].lower() + message[1:]
    expected = _KIND.sub(_worded, got["expected"]).replace("matching regex", "that matches")
    found = f", found {_KIND.sub(_worded, got['found'])}" if got["found"] else ""
    return f"expected {expected}{found}"


def shown(value: object) -> str:
    """A value of a settings file, as a person would call it."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value!r:.100}"
    return f"the text {value!r:.100}" if isinstance(value, str) else f"{value!s:.100}"


def members(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The alternatives of a union, or the type itself, without wrappers."""
    if isinstance(kind, inspect.Metadata):
        yield from members(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from members(member)
    else:
        yield kind


def child(kind: inspect.Type, key: str | int) -> inspect.Type | None:
    """The type that belongs at `key` below `kind`, or None if nothing does."""
    for member in members(kind):
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


def _worded(kind: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(word, word) for word in kind[1].split(" | "))


def _follow(path: str, data: object, kind: inspect.Type) -> tuple[Path, object, inspect.Type]:
    """Walk msgspec's `$.a[0].b` as far as it names keys (a dict's key is written `[...]`)."""
    parts: list[str | int] = []
    for match in _PART.finditer(path):
        if match[1] is None and match[2] is None:
            break
        key: str | int = match[1] if match[1] is not None else int(match[2])
        below = child(kind, key)
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
    for member in members(kind):
        if isinstance(member, inspect.LiteralType):
            found.extend(member.values)
        elif isinstance(member, inspect.EnumType):
            found.extend(item.value for item in member.cls)
    return found


def _description(kind: inspect.Type) -> str:
    """The `description` of a type's Meta: what a pattern means."""
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", ""))
    if isinstance(kind, inspect.UnionType):
        return next(filter(None, map(_description, kind.types)), "")
    return ""
