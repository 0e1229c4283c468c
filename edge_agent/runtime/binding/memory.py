"""What is remembered of one source topic: its rows, its state, and its latest messages.

A message that the broker sends again after a crash is known by the fingerprint of its payload:
its rows are in, so they are not added a second time, and its answer is computed from the rows and
the state of then. Knows no topics and no model.
"""

import zlib
from collections.abc import Sequence

from edge_agent.contract.kept import Kept
from edge_agent.runtime.binding.slab import REMEMBERED, Record, Slab
from edge_agent.runtime.binding.window import Rows, WindowRing
from edge_agent.runtime.session import Array

States = Sequence[Array]
"""One array for each state tensor."""


def fingerprint_of(payload: bytes) -> int:
    """A number that other payloads of the same source hardly share; never 0."""
    return (len(payload) + 1) << 32 | zlib.crc32(payload)


class SourceMemory:
    """The memory of one source.

    Args:
        kept: what it is.
        slab: where it is; goes on with what is in it.
        initial: the states of a source that was never heard.
    """

    def __init__(self, kept: Kept, slab: Slab, initial: States) -> None:
        self._slab = slab
        self._initial = initial
        self._count = slab.count
        last = slab.record(self._count - 1) if self._count else Record()
        if not last.is_sound(self._count):
            # A model may write anywhere in its process. Better nothing than this, for ever.
            self._count, last = 0, Record()
        self._stated = last.stated
        self._kept_rows = last.rows
        self._window = (
            WindowRing(kept.window, slab.rows, last.rows, last.written)
            if kept.window is not None
            else None
        )
        self._repeated: set[int] = set()
        self.size_bytes = slab.size_bytes

    def fits(self, rows: Rows) -> bool:
        """Whether rows are as long as this source's first ones were."""
        return self._window is None or self._window.fits(rows)

    def push(self, rows: Rows) -> list[Rows]:
        """Add rows; they are not valid before the message is kept. See `WindowRing.push`."""
        window = self._window
        if window is None:
            return []
        if window.rows != self._kept_rows:
            # The message before failed in the model: its rows are real, its state is not.
            self.keep(0)
        return window.push(rows)

    def keep(self, fingerprint: int, states: States | None = None) -> None:
        """A message is done: what it changed is valid from here on.

        Args:
            fingerprint: of its payload; 0 if it will not be known again.
            states: that the next message begins with; None leaves them as they are.
        """
        if states is not None:
            stated = self._stated + 1
            for ring, state in zip(self._slab.states, states, strict=True):
                ring[stated % len(ring)] = state
            self._stated = stated
        window = self._window
        if window is None:
            self._slab.remember(self._count, fingerprint, 0, 0, self._stated)
        else:
            self._slab.remember(self._count, fingerprint, window.rows, window.written, self._stated)
            self._kept_rows = window.rows
        self._count += 1
        if self._repeated:
            self._repeated.clear()

    def find(self, fingerprint: int) -> int | None:
        """The number of the message that comes again; None if it was never done.

        Of several with the same payload each is found once, the oldest first.
        """
        slab, count = self._slab, self._count
        for index in range(max(0, count - REMEMBERED + 1), count):
            if slab.fingerprint(index) == fingerprint and index not in self._repeated:
                self._repeated.add(index)
                return index
        return None

    def windows_again(self, index: int) -> list[Rows] | None:
        """The windows that became full by an earlier message, or None if they cannot be had."""
        before = self._record_before(index)
        if self._window is None or before is None:
            return None
        after = self._slab.record(index)
        return self._window.windows_again(
            (before.rows, before.written), (after.rows, after.written)
        )

    def state(self) -> States:
        """The states that the next message begins with. A copy."""
        return self._state(self._stated)

    def state_before(self, index: int) -> States | None:
        """The states that an earlier message began with, or None if they cannot be had."""
        before = self._record_before(index)
        if before is None:
            return None
        depth = len(self._slab.states[0]) if self._slab.states else 0
        # The one that is written next takes the place of the oldest.
        if before.stated and before.stated + depth <= self._stated + 1:
            return None
        return self._state(before.stated)

    def _record_before(self, index: int) -> Record | None:
        if index == 0:
            return Record()
        if index - 1 < self._count - REMEMBERED + 1:
            return None
        return self._slab.record(index - 1)

    def _state(self, stated: int) -> States:
        if stated == 0:
            return self._initial
        return [ring[stated % len(ring)].copy() for ring in self._slab.states]
