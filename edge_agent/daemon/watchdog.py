"""The watchdog: fed only while every loop of the agent makes progress.

A loop that hangs would otherwise look alive for ever. Here it lets the service manager's patience
run out, which restarts the agent; what ran is started again from the journal.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from edge_agent.daemon.notify import ServiceManager
from edge_agent.errors import Unavailable

log: Final = logging.getLogger("edge_agent.daemon")

LONGEST_ROUND_S: Final = 40.0
"""A loop that has not gone round for this long hangs. Connecting to a broker takes up to
15 s, whatever its name and its addresses do, and a commit on a bad SD card takes seconds."""


def hanging(now: float, progress: Mapping[str, float]) -> tuple[str, ...]:
    """The loops that hang.

    Args:
        now: seconds, monotonic.
        progress: loop to when it last went round, seconds, monotonic.
    """
    return tuple(sorted(name for name, last in progress.items() if now - last > LONGEST_ROUND_S))


class Watchdog:
    """Feeds the service manager. Used by the main thread only.

    Args:
        manager: the service manager.
        loops: name of each loop to a function that says when it last went round.
    """

    def __init__(self, manager: ServiceManager, loops: Mapping[str, Callable[[], float]]) -> None:
        self._manager = manager
        self._loops = loops
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
            Whether no loop hangs.
        """
        found = hanging(now, {name: progress() for name, progress in self._loops.items()})
        if found != self._was_hanging:
            self._was_hanging = found
            if found:
                log.error("event=loop_hangs loops=%s", ",".join(found))
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
