"""Expressions: which devices a person means, as a tree, and how it is written. Pure.

| written | means |
|---|---|
| `all` | every device |
| `line-1`, `line-*` | a device by its name, or by a pattern with `*` and `?` |
| `site=oslo`, `site!=os*` | devices with this tag, or without it |
| `slot=v2`, `slot!=v2` | devices whose slot of this name runs version 2; a tag of that name wins |
| `tag:lab`, `tag:lab=yes` | devices that have the tag at all, or with this value |
| `group:winter` | devices of a group |
| `module=wine`, `module=wine/3` | devices that run this module, or this version, in any slot |
| `slot:wine`, `slot:wine=v3` | devices whose slot of this name runs something, or version 3 |
| `not`, `and`, `or`, `( )` | as usual; `not` binds closest, `or` least |

Text in quotes is taken as it is: no pattern, no word of the language. Reading is done by
`expression_reader`, choosing by `selection`.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

ALL: Final = "all"
WORDS: Final = frozenset({"and", "or", "not", ALL})
"""Words of the language; in quotes they are names."""
PREFIXES: Final = ("tag", "group", "slot")
MODULE: Final = "module"

WILD: Final = frozenset("*?")
QUOTES: Final = frozenset("\"'")
ENDS_WORD: Final = frozenset("()") | QUOTES
"""Besides white space, and '=' and '!=' where a key may stand."""

_VERSION: Final = re.compile(r"v([0-9]{1,9})")


class Text(Struct, frozen=True):
    """A name or value to compare with: exactly, or as a pattern."""

    text: str
    is_pattern: bool = False

    def matcher(self) -> Callable[[str], bool]:
        """A function that tells whether a text is meant."""
        if not self.is_pattern:
            return self.text.__eq__
        matches = re.compile(_regex(self.text), re.DOTALL).fullmatch
        return lambda value: matches(value) is not None

    @property
    def version(self) -> int | None:
        """The version that is meant if it is written as one, `v2`."""
        found = None if self.is_pattern else _VERSION.fullmatch(self.text)
        return int(found[1]) if found else None


def _regex(pattern: str) -> str:
    """A pattern as a regular expression that never tries a text twice.

    What stands between two `*` is taken where it is found first, and that is not taken back
    (an atomic group): a rest that is not found after it is not found after a later place either.
    A plain `.*` for each would try all places of all of them, which takes hours.
    """
    first, *others = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    if not others:
        return first
    *between, last = others
    return first + "".join(f"(?>.*?{part})" for part in between if part) + f".*{last}"


class Everything(Struct, frozen=True):
    """All devices."""


class Named(Struct, frozen=True):
    """Devices of a name."""

    name: Text


class Labelled(Struct, frozen=True):
    """Devices with a tag; or, where a device has no such tag, a slot that runs a version."""

    key: str
    value: Text


class Tagged(Struct, frozen=True):
    """Devices with a tag; with any value if none is given."""

    key: str
    value: Text | None = None


class Grouped(Struct, frozen=True):
    """Devices of a group."""

    group: str


class Running(Struct, frozen=True):
    """Devices that run a module in any slot; any version if none is given."""

    module: Text
    version: int | None = None


class Slotted(Struct, frozen=True):
    """Devices whose slot of this name runs something; any version if none is given."""

    slot: str
    version: int | None = None


class Not(Struct, frozen=True):
    """Devices that are not meant by another expression."""

    inner: "Expression"


class And(Struct, frozen=True):
    """Devices that are meant by all of these, at least two, none of them an `And`."""

    parts: tuple["Expression", ...]


class Or(Struct, frozen=True):
    """Devices that are meant by any of these, at least two, none of them an `Or`."""

    parts: tuple["Expression", ...]


Term = Everything | Named | Labelled | Tagged | Grouped | Running | Slotted
Expression = Term | Not | And | Or


def write(expression: Expression) -> str:
    """An expression as text; reading it gives the same expression again."""
    match expression:
        case Or(parts):
            return " or ".join(map(write, parts))
        case And(parts):
            return " and ".join(_inner(part, Or) for part in parts)
        case Not(Labelled(key, value)):
            return f"{_key(key)}!={_value(value)}"
        case Not(inner):
            return f"not {_inner(inner, Or, And)}"
        case _:
            return _term(expression)


def _inner(part: Expression, *loose: type[Or] | type[And]) -> str:
    return f"({write(part)})" if isinstance(part, loose) else write(part)


def _term(term: Term) -> str:
    match term:
        case Everything():
            return ALL
        case Named():
            return term.name.text if term.name.is_pattern else _key(term.name.text)
        case Labelled():
            return f"{_key(term.key)}={_value(term.value)}"
        case Tagged():
            value = "" if term.value is None else f"={_value(term.value)}"
            return f"tag:{_bare_or_quoted(term.key)}{value}"
        case Grouped():
            return f"group:{term.group}"
        case Running():
            version = "" if term.version is None else f"/{term.version}"
            return f"{MODULE}={_value(term.module)}{version}"
        case Slotted():
            version = "" if term.version is None else f"=v{term.version}"
            return f"slot:{term.slot}{version}"


def _key(key: str) -> str:
    """A tag's or a device's name where a term begins."""
    is_special = key.lower() in WORDS or key == MODULE or key.partition(":")[0] in PREFIXES
    return _quoted(key) if is_special else _bare_or_quoted(key)


def _bare_or_quoted(text: str) -> str:
    is_plain = text and not any(
        character.isspace() or character in ENDS_WORD or character in WILD or character in "=!"
        for character in text
    )
    return text if is_plain else _quoted(text)


def _value(value: Text) -> str:
    return value.text if value.is_pattern else _bare_or_quoted(value.text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
