"""How fast the device downloads: one rate for all its downloads together.

Every read is paid for after it: whoever took bytes waits until they are due, so that reads of many
downloads take turns by themselves and no pause is saved up for a burst.
"""

import threading
from typing import Final

LEAST_READ: Final = 1024
MOST_READ: Final = 64 * 1024
READS_PER_S: Final = 10


def due_after(due: float, now: float, size: int, bytes_per_s: float) -> float:
    """When the next bytes may be taken.

    Args:
        due: when these might be taken, seconds, monotonic.
        now: when they were.
        size: how many they are, bytes.
        bytes_per_s: the rate.
    """
    return max(due, now) + size / bytes_per_s


def read_bytes(bytes_per_s: float) -> int:
    """How much is read at once: little enough for an even flow, and enough to be worth it."""
    if bytes_per_s <= 0:
        return MOST_READ
    return int(min(MOST_READ, max(LEAST_READ, bytes_per_s / READS_PER_S)))


class Pace:
    """The rate that all downloads of a device share. Any thread.

    Args:
        bytes_per_s: 0 for no bound.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._due = float("-inf")
        self._paying = threading.Lock()
        self.read_bytes = read_bytes(bytes_per_s)
        """Most bytes to take at once."""

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound."""
        return self._bytes_per_s > 0

    def wait_s(self, now: float, size: int) -> float:
        """Pay for bytes that were taken.

        Args:
            now: seconds, monotonic.
            size: how many.

        Returns:
            Seconds until more may be taken.
        """
        if not self.is_bounded:
            return 0.0
        with self._paying:
            self._due = due_after(self._due, now, size, self._bytes_per_s)
            return max(0.0, self._due - now)
