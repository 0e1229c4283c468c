"""When something really happened on a device whose clock was wrong. Pure.

A device says when a row was made by its wall clock and by the seconds since its agent started,
which nobody can set. As soon as the same run of the agent sends anything with a clock that is
synchronized, the second of the two tells the true time of every row of that run.
"""

from msgspec import Struct

from edge_agent.contract.messages import Telemetry, TelemetryRow
from edge_agent.contract.state import ReportedState


class Anchor(Struct, frozen=True):
    """A moment of one run of an agent that is known by both clocks.

    Attributes:
        time: seconds since 1970, by a synchronized clock.
        uptime_s: since the agent started.
    """

    time: float
    uptime_s: float

    @property
    def began(self) -> float:
        """When the run began, seconds since 1970."""
        return self.time - self.uptime_s


def anchor(message: Telemetry | ReportedState) -> Anchor | None:
    """What a message says about the time of its run; None if its clock is not to be trusted."""
    if not message.clock_synced or message.uptime_s is None:
        return None
    return Anchor(message.time, message.uptime_s)


def is_doubtful(row: TelemetryRow) -> bool:
    """Whether a row's time comes from a clock that was not synchronized, and can be corrected."""
    return not row.clock_synced and row.uptime_s is not None


def true_time(row: TelemetryRow, known: Anchor | None) -> float | None:
    """The corrected time of a row, seconds since 1970; None if its own is right or none is known.

    Args:
        row: as the device sent it.
        known: an anchor of the same run of the agent.
    """
    if known is None or row.clock_synced or row.uptime_s is None:
        return None
    return known.began + row.uptime_s
