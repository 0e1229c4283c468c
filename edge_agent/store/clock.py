"""The agent's clock: intervals that no step disturbs, and a wall time that never falls below what
is known to have passed.

Everything that waits, counts or times out asks `monotonic`; only what people and the cloud read
asks `wall`. Nothing else in the agent reads a clock of the machine.
"""

import ctypes
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from edge_agent.errors import StorageError
from edge_agent.store.files import write_atomic
from edge_agent.store.timekeeping import RELEASED, Reading, Step, begin, kept, look

log: Final = logging.getLogger("edge_agent.clock")

CLOCK_FILE: Final = "clock.json"
_FARTHEST: Final = RELEASED + 100 * 365.25 * 86_400
_AT_ONCE_S: Final = 0.2
_MOST_READINGS: Final = 10
_TIMEX_BYTES: Final = 256
_TIME_ERROR: Final = 5


class Moment(Struct, frozen=True, kw_only=True):
    """An instant by both clocks, as messages carry it.

    Attributes:
        time: seconds since 1970.
        uptime_s: since this run of the agent began, by the clock that is never set.
        clock_synced: whether `time` came from a clock that was synchronized.
    """

    time: float
    uptime_s: float
    clock_synced: bool

    def before(self, seconds: float) -> "Moment":
        """So many seconds earlier, by the clock as it is set now."""
        return replace(self, time=self.time - seconds, uptime_s=self.uptime_s - seconds)


class ClockState(Struct, frozen=True, kw_only=True):
    """What is known about the machine's clock, for people.

    Attributes:
        is_synced: whether the machine believes it to be right, and it can be.
        system: what it shows, seconds since 1970.
        floor: the time that has certainly passed, seconds since 1970.
        is_behind: whether it shows an earlier time than that.
        steps: how often it was set since the agent started.
        stepped_s: how far the last time, seconds; 0 if it was not.
    """

    is_synced: bool = False
    system: float = 0.0
    floor: float = 0.0
    is_behind: bool = False
    steps: int = 0
    stepped_s: float = 0.0


class Clock(Protocol):
    """Where time comes from. Safe to ask from any thread; never waits."""

    def monotonic(self) -> float:
        """Seconds since some fixed instant. Never set, so it is for every wait and interval."""

    def wall(self) -> float:
        """Seconds since 1970, never below the floor. It may jump: for people, and for nothing
        that waits."""

    def is_synced(self) -> bool:
        """Whether `wall` comes from a clock that the machine believes to be right."""

    def moment(self) -> Moment:
        """Now, by both clocks."""

    def state(self) -> ClockState:
        """What is known about the machine's clock, for people."""


class SystemClock:
    """The machine's clocks, with the floor kept in the state directory.

    `look` and `close` are called by one thread; everything else by any.

    Args:
        folder: the state directory.
        is_kernel_synced: whether the kernel believes its clock to be right.
    """

    def __init__(self, folder: Path, *, is_kernel_synced: Callable[[], bool] | None = None) -> None:
        self._path = folder / CLOCK_FILE
        self._is_kernel_synced = is_kernel_synced or kernel_sync()
        self._began = time.monotonic()
        self._known = begin(read_floor(self._path), self._read())
        self._steps = 0
        self._stepped_s = 0.0

    def monotonic(self) -> float:
        """Seconds, as every process of this machine counts them."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970: the machine's clock, or the floor where that is later."""
        return self._known.wall(_elapsed(), time.time())

    def is_synced(self) -> bool:
        """Whether the kernel believes its clock to be right, and it is not behind the floor."""
        return self._is_kernel_synced() and not self._known.is_behind(_elapsed(), time.time())

    def moment(self) -> Moment:
        """Now, by both clocks."""
        return Moment(
            time=self.wall(),
            uptime_s=time.monotonic() - self._began,
            clock_synced=self.is_synced(),
        )

    def state(self) -> ClockState:
        """What is known about the machine's clock."""
        elapsed, wall = _elapsed(), time.time()
        is_behind = self._known.is_behind(elapsed, wall)
        return ClockState(
            is_synced=self._is_kernel_synced() and not is_behind,
            system=wall,
            floor=self._known.least(elapsed),
            is_behind=is_behind,
            steps=self._steps,
            stepped_s=self._stepped_s,
        )

    def look(self) -> Step | None:
        """See whether the clock was set, and whether it is right enough to raise the floor.

        To be called every second or so.

        Returns:
            The step since the last look, or None.
        """
        self._known, step = look(self._known, self._read())
        if step is not None:
            self._steps += 1
            self._stepped_s = step.by_s
        if self._known.is_due:
            self.keep()
        return step

    def close(self) -> None:
        """Keep the floor for the next start."""
        if self._known.floor != self._known.kept:
            self.keep()

    def _read(self) -> Reading:
        # The two clocks are read one after the other: a process that is stopped in between would
        # see a step that never was.
        elapsed, wall = _elapsed(), time.time()
        for _ in range(_MOST_READINGS):
            if _elapsed() - elapsed < _AT_ONCE_S:
                break
            elapsed, wall = _elapsed(), time.time()
        return Reading(elapsed=elapsed, wall=wall, is_synced=self._is_kernel_synced())

    def keep(self) -> None:
        """Write the floor. A disk that refuses is told of in the log, and no more."""
        floor = self._known.floor
        try:
            write_atomic(self._path, msgspec.json.encode(_Kept(floor=floor)))
        except StorageError as error:
            # Without it the next start knows less. It is tried again when it has risen again.
            log.warning("event=clock_not_kept code=%s text=%r", error.code, error.text)
        self._known = kept(self._known, floor)


class _Kept(Struct, frozen=True, kw_only=True):
    floor: float
    v: int = 1


def read_floor(path: Path) -> float | None:
    """The floor that was kept, seconds since 1970; None if there is none that makes sense."""
    try:
        floor = msgspec.json.decode(path.read_bytes(), type=_Kept).floor
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("event=clock_file_ignored path=%s text=%r", path, str(error))
        return None
    return floor if math.isfinite(floor) and floor < _FARTHEST else None


def kernel_sync() -> Callable[[], bool]:
    """What asks the kernel whether it believes its clock to be right (by NTP, PTP or the like)."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return lambda: False

    def is_synced() -> bool:
        buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only look
        return int(adjtimex(buffer)) not in (-1, _TIME_ERROR)

    return is_synced


def _elapsed() -> float:
    """Seconds since the machine started, its sleep included: a sleep is no step of the clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
