"""What waits in memory for the outbox, bounded: a disk that takes nothing must not fill it.

Safe to use from any thread; never touches the disk.
"""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from edge_agent.store.outbox_policy import Priority
from edge_agent.store.outbox_row import OutboxItem

MAX_ROWS: Final = 10_000
MAX_BYTES: Final = 4 * 2**20


class Gathering:
    """Items by class. When there are too many, the oldest of the lowest class go.

    Args:
        max_rows: most items.
        max_bytes: most bytes of their data; one item alone may have more.
    """

    def __init__(self, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._items: dict[Priority, deque[OutboxItem]] = {p: deque() for p in Priority}
        self._rows = 0
        self._bytes = 0

    def add(self, item: OutboxItem) -> list[OutboxItem]:
        """Take an item; returns those that had to go for it."""
        with self._lock:
            self._items[item.priority].append(item)
            self._count(item, 1)
            return self._surplus()

    def take(self, *, max_rows: int, max_bytes: int) -> list[OutboxItem]:
        """The oldest items, the highest class first, out of here.

        Args:
            max_rows: most items.
            max_bytes: most bytes of their data, but always at least one item.
        """
        taken: list[OutboxItem] = []
        size = 0
        with self._lock:
            for waiting in self._items.values():
                while waiting and len(taken) < max_rows:
                    size += len(waiting[0].data)
                    if taken and size > max_bytes:
                        return taken
                    item = waiting.popleft()
                    self._count(item, -1)
                    taken.append(item)
        return taken

    def put_back(self, items: Sequence[OutboxItem]) -> list[OutboxItem]:
        """The disk did not take these; returns those that had to go for them."""
        with self._lock:
            for item in reversed(items):
                self._items[item.priority].appendleft(item)
                self._count(item, 1)
            return self._surplus()

    def _surplus(self) -> list[OutboxItem]:
        gone: list[OutboxItem] = []
        for priority in reversed(Priority):
            waiting = self._items[priority]
            while waiting and self._rows > 1 and self._is_over():
                gone.append(waiting.popleft())
                self._count(gone[-1], -1)
        return gone

    def _is_over(self) -> bool:
        return self._rows > self._max_rows or self._bytes > self._max_bytes

    def _count(self, item: OutboxItem, rows: int) -> None:
        self._rows += rows
        self._bytes += rows * len(item.data)
