"""The machine's own clocks, for tests that wait for real processes: nothing is kept on a disk."""

import time

from edge_agent.store.clock import ClockState, Moment


class RealClock:
    """The `Clock` of a machine that has no state directory."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def monotonic(self) -> float:
        """Seconds, as every process of this machine counts them."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def is_synced(self) -> bool:
        """Tests take their machine's clock as it is."""
        return True

    def moment(self) -> Moment:
        """Now, by both clocks."""
        return Moment(time=time.time(), uptime_s=time.monotonic() - self._began, clock_synced=True)

    def state(self) -> ClockState:
        """What is known about the machine's clock."""
        return ClockState(is_synced=True, system=time.time())
