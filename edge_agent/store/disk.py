"""The state directory's disk as it is now: its figures are read here, and judged by `space`.

Writes nothing and waits for nothing.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from edge_agent.store.space import DiskState, SpaceRule, Usage, disk_low, judge


def read_usage(folder: Path) -> Usage | None:
    """The figures of a folder's disk; None if it does not tell."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Usage(
        total_bytes=found.f_blocks * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
        free_files=found.f_favail if found.f_files else None,
    )


class DiskWatch:
    """Looks at the disk of a folder. Any thread.

    Args:
        folder: the state directory.
        rule: the limits.
        read: gives the figures.
    """

    def __init__(
        self,
        folder: Path,
        rule: SpaceRule | None = None,
        *,
        read: Callable[[Path], Usage | None] = read_usage,
    ) -> None:
        self._folder = folder
        self._rule = rule or SpaceRule()
        self._read = read
        self._lock = threading.Lock()
        self._state = DiskState()
        self.look()

    @property
    def state(self) -> DiskState:
        """As it was at the last look."""
        return self._state

    def look(self) -> DiskState:
        """Look now. A disk that does not tell keeps its last state."""
        with self._lock:
            usage = self._read(self._folder)
            if usage is not None:
                self._state = judge(usage, self._rule, was_low=self._state.is_low)
            return self._state

    def check(self) -> None:
        """Look now.

        Raises:
            StorageError: the disk is low (`disk_low`).
        """
        state = self.look()
        if state.is_low:
            raise disk_low(state)
