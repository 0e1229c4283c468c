"""When a worker connects again, and whether another client uses its name.

A broker keeps one connection a name: whoever comes last throws the other out. Two devices with one
name, on a copied disk, would do that to each other for ever, and each would lose messages that the
other takes. On MQTT 5 a broker may say so ("session taken over"); else the connection just ends,
so that only several of them, each over soon after it was subscribed, tell. Then this worker comes
back more slowly, until a connection has held for longer than the other would have stayed away.
"""

import random
from collections.abc import Callable
from enum import Enum
from typing import Final

from msgspec import Struct

FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 15.0
RIVAL_RETRY_S: Final = 60.0
"""Longest pause when the broker has said that another client has the name."""
STEADY_S: Final = 5.0
"""A connection that held for this long was a good one."""
ALONE_S: Final = 120.0
"""A connection that held for this long has no rival any more."""
MOST_SHORT: Final = 3
"""Connections in a row that ended soon and without a word: not by chance."""


class Ending(Enum):
    """How a connection ended."""

    SAID = "with a reason, or it never was"
    SILENT = "the broker closed it"
    TAKEN_OVER = "the broker said that another client came under this name"


class Comeback(Struct, frozen=True, kw_only=True):
    """What is known after some connections.

    Attributes:
        attempt: connections that failed or ended soon, in a row.
        short: those in a row that ended soon after they were subscribed, without a word.
        is_told: whether the broker said that another client has the name.
    """

    attempt: int = 0
    short: int = 0
    is_told: bool = False

    @property
    def has_rival(self) -> bool:
        """Whether another client uses this name, as far as one can tell."""
        return self.is_told or self.short >= MOST_SHORT


def after_end(before: Comeback, held_s: float, ending: Ending) -> Comeback:
    """Take the end of another connection into account.

    Args:
        before: what was known.
        held_s: how long it was subscribed, seconds; 0 if it never was.
        ending: how it ended.
    """
    is_good = held_s >= (ALONE_S if before.has_rival else STEADY_S)
    if is_good:
        before = Comeback()
    is_told = before.is_told or ending is Ending.TAKEN_OVER
    is_short = ending is Ending.SILENT and held_s > 0 and not is_good
    return Comeback(
        attempt=before.attempt + (not is_good),
        short=before.short + is_short,
        is_told=is_told,
    )


def retry_delay_s(comeback: Comeback, luck: float) -> float:
    """Seconds before the next attempt: doubling, with full jitter.

    Args:
        comeback: what is known.
        luck: a random number from 0 to 1.
    """
    longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(comeback.attempt, 10))
    if comeback.is_told:
        longest = RIVAL_RETRY_S
    return longest * (0.1 + 0.9 * luck)


def rival_text(comeback: Comeback, client_id: str, broker: str) -> str:
    """What a person is told about the other client, and can do."""
    if comeback.is_told:
        seen = f"another client uses the name {client_id!r} on {broker}"
    else:
        seen = (
            f"{broker} closed {comeback.short} connections soon after they began: another client "
            f"seems to use the name {client_id!r}"
        )
    return (
        f"{seen}; give each device its own agent.device, and end the other; this one comes back "
        "more slowly"
    )


class Returning:
    """One worker's way back to its broker.

    Args:
        client_id: its name there.
        broker: where.
        on_rival: told once of another client under this name, while it is there.
    """

    def __init__(self, client_id: str, broker: str, on_rival: Callable[[str], None]) -> None:
        self._client_id = client_id
        self._broker = broker
        self._on_rival = on_rival
        self.known = Comeback()

    def ended(self, reason: str, held_s: float, ending: Ending) -> tuple[str, float]:
        """A connection has ended.

        Args:
            reason: why, as far as one sees.
            held_s: how long it was subscribed, seconds; 0 if it never was.
            ending: how.

        Returns:
            What a person is told, and how long to stay away, seconds.
        """
        had_rival = self.known.has_rival
        self.known = after_end(self.known, held_s, ending)
        if self.known.has_rival:
            reason = rival_text(self.known, self._client_id, self._broker)
            if not had_rival:
                self._on_rival(reason)
        return reason, retry_delay_s(self.known, random.random())  # noqa: S311 -- no secret
