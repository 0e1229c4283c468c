"""Who gives way when the outbox is full, and how large a full outbox is. Pure decisions.

Four classes share one bound. A class that has its quota loses its own oldest rows; when the whole
is full, the lowest class that has rows loses its oldest, so that results never push out an alarm.
"""

from collections import Counter
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Literal

from msgspec import Struct

from edge_agent.contract.messages import Event

DropReason = Literal["quota", "full", "memory", "too_large", "disk_low", "damaged"]

PAGE_BYTES: Final = 4096
ROW_OVERHEAD_BYTES: Final = 160
"""What a row costs besides its data: its other columns, and its places in the indexes."""

SMALLEST_BYTES: Final = 2**20

_LIFECYCLE: Final = ("slot_", "desired_")


class Priority(IntEnum):
    """The class of a row; the lowest number is the last to go."""

    CONTROL = 0
    ALARM = 1
    RESULT = 2
    CAPTURE = 3

    @property
    def label(self) -> str:
        """As in messages and settings."""
        return self.name.lower()


Drops = Counter[tuple[Priority, str]]
"""Dropped rows by class and reason."""

QUOTAS: Final[Mapping[Priority, float]] = {
    Priority.CONTROL: 0.10,
    Priority.ALARM: 0.25,
    Priority.RESULT: 1.00,
    Priority.CAPTURE: 0.50,
}
"""The most that a class may take of the whole."""


class OutboxLimits(Struct, frozen=True, kw_only=True):
    """What a device's settings may say.

    Attributes:
        max_bytes: the most that the outbox's files take on the disk.
        max_in_flight: most rows that are sent and not acknowledged.
        overdue_s: a row that was sent is asked for after this, if no acknowledgement came.
        backlog_rows_per_s: rows a second of what gathered without a connection.
        flush_s: longest time until a row that is not urgent would survive a power cut.
    """

    max_bytes: int = 64 * 2**20
    max_in_flight: int = 256
    overdue_s: float = 30.0
    backlog_rows_per_s: float = 200.0
    flush_s: float = 5.0


USUAL_LIMITS: Final = OutboxLimits()


class Bounds(Struct, frozen=True, kw_only=True):
    """What an outbox may take.

    Attributes:
        file_pages: most pages of the database file: SQLite refuses more.
        used_pages: of these, the most that rows are left in; what is between the two is room for
            one transaction.
        log_pages: the write-ahead log is brought into the file when it is so long.
    """

    file_pages: int
    used_pages: int
    log_pages: int

    def quota_bytes(self, priority: Priority) -> int:
        """Most bytes of data and overhead of a class."""
        return int(QUOTAS[priority] * self.used_pages * PAGE_BYTES)


def bounds_of(max_bytes: int, longest_row_bytes: int) -> Bounds:
    """Divide a bound between the database file and its write-ahead log.

    The log grows up to its limit and by one transaction more, which may write every page of what
    it puts in and of what it pushes out.

    Args:
        max_bytes: of both files together.
        longest_row_bytes: the longest row that is taken.
    """
    pages = max(max_bytes, SMALLEST_BYTES) // PAGE_BYTES
    log = max(pages // 16, 16)
    transaction = min(longest_row_bytes // PAGE_BYTES, pages // 8) + 16
    file = pages - log - 3 * transaction
    return Bounds(file_pages=file, used_pages=file - transaction, log_pages=log)


def over_quota(bytes_by_class: Mapping[Priority, int], bounds: Bounds) -> tuple[Priority, ...]:
    """The classes that have more than their quota."""
    return tuple(
        priority
        for priority in Priority
        if bytes_by_class.get(priority, 0) > bounds.quota_bytes(priority)
    )


def gives_way(rows_by_class: Mapping[Priority, int]) -> Priority | None:
    """The class that loses a row when the whole is full; None if there are no rows."""
    return next((p for p in reversed(Priority) if rows_by_class.get(p, 0) > 0), None)


def event_priority(event: Event) -> Priority:
    """The class of an event.

    What became of an order of the cloud is control, whatever its level: without it the cloud
    does not know what its device does.
    """
    if event.name.startswith(_LIFECYCLE):
        return Priority.CONTROL
    return Priority.RESULT if event.level == "info" else Priority.ALARM
