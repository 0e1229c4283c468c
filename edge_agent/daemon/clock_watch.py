"""Watching the machine's clock: tells when it was set, and when it begins or ceases to be right.

Called by the main thread. It changes nothing: whatever waits does so by the clock nobody sets.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from edge_agent.contract.messages import Event
from edge_agent.store.clock import ClockState
from edge_agent.store.timekeeping import Step

log: Final = logging.getLogger("edge_agent.clock")


class Watched(Protocol):
    """A clock that can be looked after."""

    def look(self) -> Step | None:
        """See whether it was set."""

    def state(self) -> ClockState:
        """What is known about it."""


class ClockWatch:
    """Looks at one clock again and again.

    Args:
        clock: the machine's.
        on_event: told what a person may ask about later.
        on_change: told when the clock begins or ceases to be synchronized.
    """

    def __init__(
        self,
        clock: Watched,
        *,
        on_event: Callable[[Event], None],
        on_change: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._on_event = on_event
        self._on_change = on_change
        self._was_synced: bool | None = None
        self._was_behind = False

    def tick(self) -> None:
        """To be called every second or so."""
        step = self._clock.look()
        if step is not None:
            self._on_event(step_event(step))
        state = self._clock.state()
        if state.is_behind and not self._was_behind:
            self._on_event(behind_event(state))
        if state.is_synced != self._was_synced:
            log.info("event=clock_%s", "synced" if state.is_synced else "not_synced")
            if self._was_synced is not None:
                self._on_change()
        self._was_synced, self._was_behind = state.is_synced, state.is_behind


def step_event(step: Step) -> Event:
    """The event of a clock that was set."""
    return Event(
        name="clock_stepped",
        level="warning",
        text=f"the clock was set from {shown(step.before)} to {shown(step.after)}, by "
        f"{step.by_s:+.1f} s; what runs and what waits goes on",
        detail={
            "from": f"{step.before:.3f}",
            "to": f"{step.after:.3f}",
            "by_s": f"{step.by_s:.3f}",
        },
    )


def behind_event(state: ClockState) -> Event:
    """The event of a clock that shows what has certainly passed."""
    return Event(
        name="clock_behind",
        level="warning",
        text=f"the clock shows {shown(state.system)}, and it is at least {shown(state.floor)}: "
        "times are counted on from there until the clock is set",
        detail={"shows": f"{state.system:.3f}", "floor": f"{state.floor:.3f}"},
    )


def shown(moment: float) -> str:
    """A time as people read it, UTC.

    Args:
        moment: seconds since 1970.
    """
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, OSError, ValueError):  # beyond the calendar
        return f"{moment:.0f} s since 1970"
