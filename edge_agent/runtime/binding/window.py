"""Sliding windows over the rows of one source, in rings that may be in memory shared with no one.

A row that is written stays invalid until its message is remembered (see `slab`): writing never
touches the rows that the remembered ones still need.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from edge_agent.contract.manifest import Window
from edge_agent.runtime.session import Array

Rows = list[Array]
"""For each tensor the same number of rows, [n, F]."""


class WindowRing:
    """The latest rows of one source, of all tensors in step.

    Args:
        window: size and step.
        rings: one for each tensor, [capacity, F], capacity at least twice the size.
        rows: that have come so far.
        written: of these, that are or were in the rings.

    Attributes:
        rows: as above, counted up.
        written: as above, counted up.
    """

    def __init__(self, window: Window, rings: Rows, rows: int, written: int) -> None:
        self._size = window.size
        self._step = window.step
        self._rings = rings
        self._capacity = len(rings[0])
        self.rows = rows
        self.written = written

    def fits(self, rows: Rows) -> bool:
        """Whether rows are as long as the first ones were."""
        return all(r.shape[1] == a.shape[1] for r, a in zip(self._rings, rows, strict=True))

    def push(self, rows: Rows) -> list[Rows]:
        """Add rows.

        Args:
            rows: one or more.

        Returns:
            The windows that became full, oldest first; each [size, F] for each tensor.
        """
        count = len(rows[0])
        if count == 1:
            at = self.written % self._capacity
            for ring, array in zip(self._rings, rows, strict=True):
                ring[at] = array[0]
            self.written += 1
            self.rows += 1
            beyond = self.rows - self._size
            return [] if beyond < 0 or beyond % self._step else [self._window(self.written)]
        before = self.rows
        if count > self._capacity - self._size:
            windows = self._push_many(rows)
        else:
            offset = self.written - before
            self._write(rows)
            windows = [self._window(end + offset) for end in self._ends(before, before + count)]
        self.rows = before + count
        return windows

    def windows_again(self, before: tuple[int, int], after: tuple[int, int]) -> list[Rows] | None:
        """The windows that became full by an earlier message.

        Args:
            before: rows and written rows before it.
            after: the same after it.

        Returns:
            The windows as `push` gave them, or None if their rows are not there any more.
        """
        first, last = before[0], after[0]
        first_end = next(self._ends(first, last), None)
        if first_end is None:
            return []
        is_whole = after[1] - before[1] == last - first
        offset = before[1] - first
        oldest = first_end - self._size + offset
        if not is_whole or self.written - oldest > self._capacity:
            return None
        return [self._window(end + offset) for end in self._ends(first, last)]

    def _push_many(self, rows: Rows) -> list[Rows]:
        """More rows than may be written at once: windows come from a copy, the rest is left out."""
        tail = min(self.rows, self._size - 1)
        joined = rows
        if tail:
            joined = [
                np.concatenate([ring, array])
                for ring, array in zip(self._part(self.written, tail), rows, strict=True)
            ]
        first = self.rows - tail
        windows = [
            [array[end - self._size - first : end - first] for array in joined]
            for end in self._ends(self.rows, self.rows + len(rows[0]))
        ]
        most = self._capacity - self._size
        self._write([array[-most:] for array in rows])
        return windows

    def _ends(self, before: int, after: int) -> Iterator[int]:
        """Counts of rows, above `before` up to `after`, at which a window is full."""
        first = self._size
        if before >= first:
            first += ((before - first) // self._step + 1) * self._step
        yield from range(first, after + 1, self._step)

    def _write(self, rows: Rows) -> None:
        start = self.written % self._capacity
        count = len(rows[0])
        head = min(count, self._capacity - start)
        for ring, array in zip(self._rings, rows, strict=True):
            ring[start : start + head] = array[:head]
            ring[: count - head] = array[head:]
        self.written += count

    def _window(self, written: int) -> Rows:
        """A copy: the next row may take the place of the first before the model has run."""
        return self._part(written, self._size)

    def _part(self, written: int, count: int) -> Rows:
        start = (written - count) % self._capacity
        end = start + count
        if end <= self._capacity:
            return [ring[start:end].copy() for ring in self._rings]
        return [np.concatenate(_halves(ring, start, end)) for ring in self._rings]


def _halves(ring: Array, start: int, end: int) -> Sequence[Array]:
    return ring[start:], ring[: end - len(ring)]
