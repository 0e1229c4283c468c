"""How much room the state directory's disk has, and whether that is so little that we hold back.

Pure: the figures are handed in.
"""

from typing import Final

from msgspec import Struct

from edge_agent.errors import StorageError

MIB: Final = 2**20
RECOVERED_AT: Final = 1.2
"""Low is left at so many times the limit, so that a disk at the limit does not come and go."""

FEWEST_FILES: Final = 128
"""A disk that can take so few more files is low, whatever room it has."""


class SpaceRule(Struct, frozen=True, kw_only=True):
    """When a disk is low: both must be true.

    Attributes:
        low_percent: less than this share of it is free.
        low_bytes: less than this is free.
    """

    low_percent: float = 5.0
    low_bytes: int = 1024 * MIB

    def limit_bytes(self, total_bytes: int) -> int:
        """Free bytes below which a disk of this size is low."""
        return min(int(total_bytes * self.low_percent / 100), self.low_bytes)


class Usage(Struct, frozen=True, kw_only=True):
    """A disk's figures, for the agent's user.

    Attributes:
        total_bytes: its size.
        free_bytes: what may still be written.
        free_files: how many files it can still take; None if it has no such bound.
    """

    total_bytes: int
    free_bytes: int
    free_files: int | None = None


class DiskState(Struct, frozen=True, kw_only=True):
    """What follows from the figures.

    Attributes:
        is_low: nothing is downloaded and nothing is captured; models go on.
        limit_bytes: free bytes below which it is low: nobody may plan to use the last of them.
    """

    total_bytes: int = 0
    free_bytes: int = 0
    limit_bytes: int = 0
    is_low: bool = False

    @property
    def free_mb(self) -> float:
        """MiB that may still be written."""
        return self.free_bytes / MIB


def judge(usage: Usage, rule: SpaceRule, *, was_low: bool) -> DiskState:
    """Whether a disk is low.

    Args:
        usage: its figures.
        rule: the limits.
        was_low: as it was judged before; it must have risen well above the limit since.
    """
    limit = rule.limit_bytes(usage.total_bytes)
    enough = limit * RECOVERED_AT if was_low else limit
    has_files = usage.free_files is None or usage.free_files >= FEWEST_FILES
    return DiskState(
        total_bytes=usage.total_bytes,
        free_bytes=usage.free_bytes,
        limit_bytes=limit,
        is_low=usage.free_bytes < enough or not has_files,
    )


def disk_low(state: DiskState) -> StorageError:
    """The error for what is not begun on a disk that is low."""
    return StorageError(
        f"expected at least {state.limit_bytes / MIB:.0f} of {state.total_bytes / MIB:.0f} MB of "
        f"the disk free, found {state.free_mb:.0f}: nothing is downloaded",
        hint="free some space on this disk; it goes on by itself",
        code="disk_low",
    )
