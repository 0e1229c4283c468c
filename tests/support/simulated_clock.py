"""A clock that stands still until a test moves it: the real `Clock` interface, no machine's time.

clock = SimulatedClock()
clock.advance(30)          # half a minute passes, on both clocks
clock.step(-3600)          # somebody sets the wall clock; no time passes
clock.set_wall(0.0)        # to 1970
clock.synced = False       # as the kernel would say
"""

from typing import Final

from edge_agent.store.clock import ClockState, Moment

NOON: Final = 1_800_000_000.0
"""Some day in 2027, seconds since 1970."""


class SimulatedClock:
    """Time as the test says. Several threads may read it; one moves it.

    Args:
        wall: seconds since 1970.
        monotonic: seconds since some fixed instant.
        synced: whether the wall clock is right, as far as the machine knows.
    """

    def __init__(
        self, *, wall: float = NOON, monotonic: float = 1000.0, synced: bool = True
    ) -> None:
        self._wall = wall
        self._monotonic = self._began = monotonic
        self.synced = synced

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError(f"time expected to pass forwards, found {seconds} s")
        self._monotonic += seconds
        self._wall += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forwards or back."""
        self._wall += seconds

    def set_wall(self, wall: float) -> None:
        """Set the wall clock to seconds since 1970."""
        self._wall = wall

    def monotonic(self) -> float:
        """Seconds since some fixed instant."""
        return self._monotonic

    def wall(self) -> float:
        """Seconds since 1970."""
        return self._wall

    def is_synced(self) -> bool:
        """Whether the wall clock is right."""
        return self.synced

    def moment(self) -> Moment:
        """Now, by both clocks."""
        return Moment(
            time=self._wall, uptime_s=self._monotonic - self._began, clock_synced=self.synced
        )

    def state(self) -> ClockState:
        """What is known about the wall clock."""
        return ClockState(is_synced=self.synced, system=self._wall)
