"""How a command of `shoal` or `edge-agent` says that it failed: two lines, or JSON. Pure.

People get `error:` and `what to do:`. Whoever asked for JSON gets one line of it, in which the
error has the names that the HTTP API gives it. Must never print or exit; that is the programs' own.
"""

import re
from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from edge_agent.errors import ShoalError

USAGE: Final = "usage"
"""The code of a command that was typed wrongly."""

_JSON_OPTION: Final = "--json"
_END_OF_OPTIONS: Final = "--"


_MISFITS: Final = (
    (re.compile(r": Input should be greater than or equal to (.*)$"), r" expected at least \1"),
    (re.compile(r": Input should be less than or equal to (.*)$"), r" expected at most \1"),
    (re.compile(r": Input should be a valid integer, .*$"), " expected a whole number"),
    (re.compile(r": Input should be a valid ([^,]*).*$"), r" expected a \1"),
    (re.compile(r": Input should be (.*)$"), r" expected \1"),
)
"""What the library's checks write of a value that does not fit, and how people say it."""


class Failure(Struct, frozen=True):
    """What went wrong.

    Attributes:
        code: stable snake_case identifier.
        text: what was expected and what was found.
        hint: what to do next; may be empty.
    """

    code: str
    text: str
    hint: str = ""


class _Context(Protocol):
    """What the library of the command line knows about a command."""

    command_path: str


@runtime_checkable
class UsageError(Protocol):
    """The library's error for a command that was typed wrongly; its class is not public."""

    exit_code: int
    ctx: _Context | None

    def format_message(self) -> str:
        """What is wrong, as a sentence."""
        ...


def failure_of(error: ShoalError) -> Failure:
    """An error of the tree as a failure."""
    return Failure(error.code, error.text, error.hint)


def is_help(error: UsageError) -> bool:
    """Whether it is no error but the help that a bare command shows."""
    return error.format_message().startswith("Usage:")


def usage_failure(error: UsageError) -> Failure:
    """A command that was typed wrongly, as a failure."""
    text = error.format_message().strip().removesuffix(".")
    for opening in ("Invalid value for ", "Invalid value: "):
        text = text.removeprefix(opening)
    for written, meant in _MISFITS:
        text = written.sub(meant, text)
    if text[1:2].islower():  # a sentence, and no name in capitals
        text = text[0].lower() + text[1:]
    context = error.ctx
    if context is None:
        return Failure(USAGE, text)
    return Failure(USAGE, text, f"`{context.command_path} --help` says what it takes")


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command was asked for JSON, also if it was typed wrongly otherwise."""
    options = arguments
    if _END_OF_OPTIONS in arguments:
        options = arguments[: arguments.index(_END_OF_OPTIONS)]
    return _JSON_OPTION in options


def failure_text(failure: Failure, *, as_json: bool) -> str:
    """What is written to standard error, without the last line's end."""
    if as_json:
        return msgspec.json.encode({"error": failure}).decode()
    return f"error: {failure.text}" + (f"\nwhat to do: {failure.hint}" if failure.hint else "")
