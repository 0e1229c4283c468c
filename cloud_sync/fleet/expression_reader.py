"""Reading expressions: any text becomes an expression, or an error that points at the place. Pure.

    expression  = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | "(" expression ")" | term

Terms are in `expression`. Never looks at any device: whether somebody is meant is another question.
"""

import re
from typing import Final, Literal, NoReturn

from cloud_sync.errors import InvalidInput
from cloud_sync.fleet.expression import (
    ALL,
    ENDS_WORD,
    MODULE,
    PREFIXES,
    QUOTES,
    WILD,
    WORDS,
    And,
    Everything,
    Expression,
    Grouped,
    Labelled,
    Named,
    Not,
    Or,
    Running,
    Slotted,
    Tagged,
    Text,
)
from edge_agent.contract.names import NAME_PATTERN

MAX_LENGTH: Final = 2_000
MAX_DEPTH: Final = 50
CODE: Final = "target_invalid"

_SHOWN: Final = 60
"""Characters of a long expression that are shown on either side of the place."""
_FOUND: Final = 20
_NAME: Final = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"))
_MODULE: Final = re.compile(r"(?P<name>[^/]+)(?:/v?(?P<version>[0-9]{1,9}))?")
_SLOT_VERSION: Final = re.compile(r"v?([0-9]{1,9})")
_TERM: Final = "a device's name, KEY=VALUE, tag:KEY, group:NAME, module=NAME or all"


class ExpressionError(InvalidInput):
    """A text that is no expression.

    Attributes:
        position: of the first character that cannot be right, from 0.
    """

    default_code = CODE

    def __init__(self, text: str, source: str, position: int, hint: str) -> None:
        self.position = position
        super().__init__(f"{text}\n{pointed_at(source, position)}", hint=hint)


def read_expression(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: it is none; the text shows the place.
    """
    return _Reader(text).read()


def pointed_at(source: str, position: int) -> str:
    """Two lines: the text around a place, and a caret under it."""
    first = max(0, position - _SHOWN)
    around = source[first : position + _SHOWN]
    shown = "".join(character if character.isprintable() else " " for character in around)
    before, after = "..." if first else "", "..." if len(source) > position + _SHOWN else ""
    return f"  {before}{shown}{after}\n  {' ' * (len(before) + position - first)}^"


class _Reader:
    """One pass over a text, by recursive descent; depth is bounded."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def read(self) -> Expression:
        if len(self._source) > MAX_LENGTH:
            self._refuse(
                f"at most {MAX_LENGTH} characters",
                MAX_LENGTH,
                hint="make a group of the devices, and write group:NAME",
            )
        self._skip()
        expression = self._disjunction(0)
        if not self._is_over:
            self._refuse("'and', 'or' or the end")
        return expression

    def _disjunction(self, depth: int) -> Expression:
        parts = [self._conjunction(depth)]
        while self._takes_word("or"):
            parts.append(self._conjunction(depth))
        flat = [one for part in parts for one in (part.parts if isinstance(part, Or) else (part,))]
        return Or(tuple(flat)) if len(flat) > 1 else flat[0]

    def _conjunction(self, depth: int) -> Expression:
        parts = [self._negation(depth)]
        while self._takes_word("and"):
            parts.append(self._negation(depth))
        flat = [one for part in parts for one in (part.parts if isinstance(part, And) else (part,))]
        return And(tuple(flat)) if len(flat) > 1 else flat[0]

    def _negation(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            self._refuse(
                f"at most {MAX_DEPTH} levels", hint="leave out parentheses that are not needed"
            )
        if self._takes_word("not"):
            return Not(self._negation(depth + 1))
        if not self._takes("("):
            return self._term()
        opened = self._at
        expression = self._disjunction(depth + 1)
        if not self._takes(")"):
            self._refuse(f"'and', 'or' or the ')' that closes the one at character {opened}")
        return expression

    def _term(self) -> Expression:
        self._skip()
        begin = self._at
        word, is_quoted = self._word(ends_at_equals=True)
        prefix, colon, rest = word.partition(":")
        if not is_quoted and colon and prefix in PREFIXES:
            return self._prefixed(prefix, rest, begin + len(prefix) + 1)
        is_word = not is_quoted and word.lower() in WORDS
        sign = self._sign()
        if not sign:
            if is_word and word.lower() == ALL:
                return Everything()
            if is_word or not word:
                self._refuse(_TERM, begin)
            return Named(self._name(word, begin, is_quoted=is_quoted))
        if not word:
            self._refuse("a tag's name before '='", begin)
        if is_quoted or word != MODULE:
            if not is_quoted and WILD & set(word):
                self._refuse("a tag's name without '*' and '?'", begin)
            return _signed(sign, Labelled(word, self._value()))
        return _signed(sign, self._module())

    def _prefixed(self, prefix: str, rest: str, begin: int) -> Expression:
        """What stands behind `tag:`, `group:` or `slot:`."""
        if not rest and not self._is_over and self._source[self._at] in QUOTES:
            rest, _ = self._word(ends_at_equals=True)
        elif WILD & set(rest):
            self._refuse("a name without '*' and '?'", begin)
        if not rest or (prefix != "tag" and not _NAME.fullmatch(rest)):
            self._refuse(f"a {prefix}'s name behind '{prefix}:'", begin)
        if prefix == "group":
            return Grouped(rest)
        sign = self._sign()
        if prefix == "tag":
            return _signed(sign, Tagged(rest, self._value() if sign else None))
        return _signed(sign, Slotted(rest, self._slot_version() if sign else None))

    def _name(self, word: str, begin: int, *, is_quoted: bool) -> Text:
        if not is_quoted and WILD & set(word):
            return Text(word, is_pattern=True)
        if not _NAME.fullmatch(word):
            self._refuse("a device's name of a-z, 0-9 and '-', or KEY=VALUE", begin)
        return Text(word)

    def _value(self) -> Text:
        self._skip()
        begin = self._at
        word, is_quoted = self._word(ends_at_equals=False)
        if not is_quoted and not word:
            self._refuse("a value behind '='", begin)
        if not is_quoted and word.startswith("="):
            self._refuse("one '=' and a value", begin, hint="put a value that begins so in quotes")
        return Text(word, is_pattern=not is_quoted and bool(WILD & set(word)))

    def _module(self) -> Running:
        self._skip()
        begin = self._at
        value = self._value()
        found = _MODULE.fullmatch(value.text)
        if found is None or not (value.is_pattern or _NAME.fullmatch(found["name"])):
            self._refuse("a module's name, as module=wine or module=wine/3", begin)
        version = found["version"]
        name = Text(found["name"], is_pattern=bool(value.is_pattern and WILD & set(found["name"])))
        return Running(name, None if version is None else int(version))

    def _slot_version(self) -> int:
        self._skip()
        begin = self._at
        found = _SLOT_VERSION.fullmatch(self._value().text)
        if found is None:
            self._refuse("a version, as v3", begin)
        return int(found[1])

    def _word(self, *, ends_at_equals: bool) -> tuple[str, bool]:
        """The text up to the next character that ends a word, and whether it stood in quotes."""
        source, begin = self._source, self._at
        if not self._is_over and source[begin] in QUOTES:
            return self._quoted(), True
        while not self._is_over:
            character = source[self._at]
            is_sign = character == "=" or source.startswith("!=", self._at)
            if character.isspace() or character in ENDS_WORD or (ends_at_equals and is_sign):
                break
            self._at += 1
        return source[begin : self._at], False

    def _quoted(self) -> str:
        begin, quote = self._at, self._source[self._at]
        found: list[str] = []
        self._at += 1
        while not self._is_over:
            character = self._source[self._at]
            self._at += 1
            if character == quote:
                return "".join(found)
            if character == "\\" and not self._is_over:
                character = self._source[self._at]
                self._at += 1
            found.append(character)
        return self._refuse(f"the {quote} that closes the one at character {begin + 1}")

    def _sign(self) -> Literal["", "=", "!="]:
        self._skip()
        if self._source.startswith("!=", self._at):
            self._at += 2
            return "!="
        if self._source.startswith("=", self._at):
            self._at += 1
            return "="
        return ""

    def _takes_word(self, word: str) -> bool:
        """Go past a word of the language if it stands here, in capitals or not."""
        self._skip()
        end = self._at + len(word)
        behind = self._source[end : end + 1]
        is_here = self._source[self._at : end].lower() == word
        if is_here and (not behind or behind.isspace() or behind in ENDS_WORD):
            self._at = end
            return True
        return False

    def _takes(self, character: str) -> bool:
        self._skip()
        is_here = self._source.startswith(character, self._at)
        self._at += is_here
        return is_here

    @property
    def _is_over(self) -> bool:
        return self._at >= len(self._source)

    def _skip(self) -> None:
        while not self._is_over and self._source[self._at].isspace():
            self._at += 1

    def _refuse(self, expected: str, at: int | None = None, *, hint: str = "") -> NoReturn:
        if at is None:
            self._skip()
        position = self._at if at is None else at
        rest = self._source[position:].split(maxsplit=1)
        found = f"{rest[0][:_FOUND]!r}" if rest else "the end"
        raise ExpressionError(
            f"target expected {expected} at character {position + 1}, found {found}",
            self._source,
            position,
            hint or "for example: site=oslo and not tag:lab",
        )


def _signed(sign: Literal["", "=", "!="], term: Expression) -> Expression:
    return Not(term) if sign == "!=" else term
