"""What devices of a rollout wait for, as lines of text. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from cloud_sync.cli import words
from cloud_sync.rollout_waiting import WaitCount, Waiting

_EXPECTED: Final = frozenset({"paused", "room", "spread", "stage", "turn"})
"""What the states and the numbers of a rollout say already."""


def wait_text(waiting: Waiting, now: float) -> str:
    """Why one device waits, since when, and how long at most."""
    times = [
        f"since {words.since(waiting.since, now)}" if waiting.since is not None else "",
        _longest(waiting.until, now),
    ]
    return _with(waiting.text, times)


def waits_text(waits: Sequence[WaitCount], now: float) -> str:
    """What keeps devices from their turn that nobody would expect; empty if nothing does."""
    return "; ".join(
        f"{words.plural(each.devices, 'device')}: {_with(each.text, [_longest(each.until, now)])}"
        for each in unexpected(waits)
    )


def unexpected(waits: Iterable[WaitCount]) -> list[WaitCount]:
    """Those that a person wonders about."""
    return [each for each in waits if each.code not in _EXPECTED]


def _longest(until: float | None, now: float) -> str:
    if until is None:
        return ""
    return f"{words.duration(until - now)} more at most" if until > now else "ends now"


def _with(text: str, times: Iterable[str]) -> str:
    said = ", ".join(filter(None, times))
    return f"{text} ({said})" if said else text
