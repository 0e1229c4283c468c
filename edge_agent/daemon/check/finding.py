"""The outcome of one check, and how a person is shown it. Values only."""

import textwrap
from collections.abc import Callable, Iterator
from typing import Final, Literal

from msgspec import Struct

from edge_agent.daemon.status_text import COLUMNS
from edge_agent.errors import ShoalError

State = Literal["ok", "warn", "fail"]

_NAME_WIDTH: Final = 18
_INDENT: Final = " " * (6 + _NAME_WIDTH)


class Finding(Struct, frozen=True, kw_only=True):
    """The outcome of one check.

    Attributes:
        name: what was looked at.
        state: "fail" stands in the way of the agent or of a module; "warn" may do so later.
        text: what was found.
        hint: what to do; empty if nothing needs doing.
    """

    name: str
    state: State
    text: str
    hint: str = ""


def attempt(name: str, if_not: State, check: Callable[[], str]) -> Finding:
    """Try something.

    Args:
        name: of the finding.
        if_not: its state if it raises.
        check: what is tried; returns what was found.
    """
    try:
        return Finding(name=name, state="ok", text=check())
    except ShoalError as error:
        return Finding(name=name, state=if_not, text=error.text, hint=error.hint)


def finding_lines(finding: Finding) -> Iterator[str]:
    """What a person is shown: aligned with all others, at most 100 columns wide."""
    yield _filled(finding.text, f"{finding.state:5} {finding.name:{_NAME_WIDTH}}")
    if finding.hint and finding.state != "ok":
        yield _filled(f"what to do: {finding.hint}", _INDENT)


def _filled(text: str, start: str) -> str:
    return textwrap.fill(
        text,
        COLUMNS,
        initial_indent=start,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
