"""How much the machine's clock can be believed: steps, and the time that has certainly passed.

Pure: readings go in, decisions come out. Never reads a clock or the disk itself.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

RELEASED: Final = 1_767_225_600.0
"""A time before this release, seconds since 1970 (2026-01-01): no right clock is behind it. Set
anew with a release, never to a time that is yet to come."""

STEP_S: Final = 2.0
"""A larger difference between two looks is a step. What an NTP client corrects without a step
stays below a millisecond a second."""

BELIEVED_S: Final = 600.0
"""A clock that was synchronized and had no step for so long raises the floor."""

DISPROVED_S: Final = 86_400.0
"""A clock that was synchronized and had no step for so long is right, also where the floor says
that it cannot be: then it is the floor that a wrong clock has raised, and it is lowered."""

KEEP_EVERY_S: Final = 3600.0
"""The floor is written to the disk when it has risen by so much."""


class Reading(Struct, frozen=True, kw_only=True):
    """One look at the machine's clocks.

    Attributes:
        elapsed: seconds since some fixed instant, counted while the machine sleeps, never set.
        wall: seconds since 1970, as the machine's clock has it.
        is_synced: whether the kernel believes that clock to be right.
    """

    elapsed: float
    wall: float
    is_synced: bool


class Step(Struct, frozen=True, kw_only=True):
    """The machine's clock was set while the agent ran.

    Attributes:
        before: what it would show without the step, seconds since 1970.
        after: what it shows.
    """

    before: float
    after: float

    @property
    def by_s(self) -> float:
        """How far, seconds; negative for a step back."""
        return self.after - self.before


class Timekeeping(Struct, frozen=True, kw_only=True):
    """What is known about the time.

    Attributes:
        floor: a time that has certainly passed, seconds since 1970.
        floor_at: when that was known, elapsed seconds.
        kept: the floor as it is on the disk.
        offset: of the machine's clock from the elapsed seconds, at the last look.
        steady_since: from when on the clock was synchronized and not stepped, elapsed seconds;
            None while it is not synchronized.
    """

    floor: float
    floor_at: float
    kept: float
    offset: float
    steady_since: float | None = None

    def least(self, elapsed: float) -> float:
        """The time that has certainly passed, seconds since 1970.

        Args:
            elapsed: now, elapsed seconds.
        """
        return self.floor + max(0.0, elapsed - self.floor_at)

    def wall(self, elapsed: float, wall: float) -> float:
        """What the time is taken to be: the machine's clock, unless that is certainly wrong.

        Args:
            elapsed: now, elapsed seconds.
            wall: the machine's clock, seconds since 1970.
        """
        return max(wall, self.least(elapsed))

    def is_behind(self, elapsed: float, wall: float) -> bool:
        """Whether the machine's clock shows a time that has certainly passed."""
        return wall < self.least(elapsed) - STEP_S

    @property
    def is_due(self) -> bool:
        """Whether the floor should be written to the disk: rarely, because that wears it out."""
        return self.floor >= self.kept + KEEP_EVERY_S or self.floor < self.kept


def begin(kept: float | None, reading: Reading) -> Timekeeping:
    """What is known when the agent starts.

    Args:
        kept: the floor that an earlier run has written, seconds since 1970; None if none has.
        reading: the first one.
    """
    floor = max(RELEASED, kept if kept is not None else RELEASED)
    return Timekeeping(
        floor=floor,
        floor_at=reading.elapsed,
        kept=floor,
        offset=reading.wall - reading.elapsed,
        steady_since=reading.elapsed if reading.is_synced else None,
    )


def look(known: Timekeeping, reading: Reading) -> tuple[Timekeeping, Step | None]:
    """Take in a reading.

    Returns:
        What is known now, and the step since the last reading if there was one.
    """
    elapsed = reading.elapsed
    offset = reading.wall - elapsed
    step = None
    if abs(offset - known.offset) > STEP_S:
        step = Step(before=known.offset + elapsed, after=reading.wall)
    since = known.steady_since
    if not reading.is_synced:
        since = None
    elif since is None or step is not None:
        since = elapsed
    known = replace(known, offset=offset, steady_since=since)
    steady_s = 0.0 if since is None else elapsed - since
    if known.is_behind(elapsed, reading.wall):
        is_new = steady_s >= DISPROVED_S
    else:
        is_new = steady_s >= BELIEVED_S
    if is_new:
        known = replace(known, floor=max(RELEASED, reading.wall), floor_at=elapsed)
    return known, step


def kept(known: Timekeeping, floor: float) -> Timekeeping:
    """The floor is on the disk now."""
    return replace(known, kept=floor)
