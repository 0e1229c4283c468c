"""The watchdog: fed only while everything that must go on in the agent makes progress.

A loop that hangs, or a worker that nobody looks after any more, would otherwise look alive for
ever. Here it lets the service manager's patience run out, which restarts the agent; what ran is
started again from the journal. A model that crashes or hangs alone never gets so far: that is the
supervisor's to deal with, and it is the supervisor that is watched.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from edge_agent.daemon.notify import ServiceManager
from edge_agent.errors import Unavailable

log: Final = logging.getLogger("edge_agent.daemon")

LONGEST_ROUND_S: Final = 40.0
"""A loop that has not gone round for this long hangs. Connecting to a broker takes up to 15 s, and
a commit on a bad SD card takes seconds."""

ENDED: Final = float("-inf")
"""When a thread that has ended made progress."""


class Sign(Struct, frozen=True):
    """A sign of life.

    Attributes:
        name: of what is watched.
        progress: when it last made progress, or when it should have: seconds, monotonic. In the
            future as long as it has its time.
        patience_s: how long after that it hangs.
    """

    name: str
    progress: float
    patience_s: float = LONGEST_ROUND_S


def hanging(now: float, signs: Iterable[Sign]) -> tuple[str, ...]:
    """What hangs, by name.

    Args:
        now: seconds, monotonic.
        signs: of everything that is watched.
    """
    return tuple(sorted(s.name for s in signs if now - s.progress > s.patience_s))


class Watchdog:
    """Feeds the service manager. Used by the main thread only.

    Args:
        manager: the service manager.
        look: gives the signs of life of all that is watched.
    """

    def __init__(self, manager: ServiceManager, look: Callable[[], Iterable[Sign]]) -> None:
        self._manager = manager
        self._look = look
        self._last_fed = float("-inf")
        self._last_status = ""
        self._was_hanging: tuple[str, ...] = ()

    def ready(self) -> None:
        """The agent is up: what is installed is loaded."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The agent is going down."""
        self._tell("STOPPING=1")

    def round(self, now: float, status: str) -> bool:
        """Feed if it is time and nothing hangs.

        Args:
            now: seconds, monotonic.
            status: one line for people, sent when it changes.

        Returns:
            Whether nothing hangs.
        """
        found = hanging(now, self._look())
        if found != self._was_hanging:
            self._was_hanging = found
            if found:
                log.error("event=hangs what=%s", ",".join(found))
            else:
                log.warning("event=hangs_no_more")
        if status != self._last_status:
            self._last_status = status
            self._tell(f"STATUS={status}")
        if found:
            return False
        if self._manager.watchdog_s and now - self._last_fed >= self._manager.watchdog_s / 4:
            self._last_fed = now
            self._tell("WATCHDOG=1")
        return True

    def _tell(self, line: str) -> None:
        try:
            self._manager.tell(line)
        except Unavailable as error:
            log.warning("event=notify_failed text=%r", error.text)
