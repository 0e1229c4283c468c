"""A slab: where the rows, the states and the latest messages of one source topic lie in memory.

Written so that a process which is killed between any two instructions leaves what was there
before or what was written, never a mixture: data goes to places that nothing valid points to, and
the count of remembered messages, one aligned word, is written last.
"""

import math
import mmap
from typing import Final

import numpy as np
from msgspec import Struct

from edge_agent.contract.kept import Kept
from edge_agent.runtime.session import Array

REMEMBERED: Final = 128
"""Latest messages of a source that are known again; a broker has fewer on their way to us."""

_STATE_HISTORY_BYTES: Final = 64 * 1024
_LEAST_STATES: Final = 3
_HEAD_BYTES: Final = 64
_RECORD_WORDS: Final = 4
_ALIGNMENT: Final = 64
_MOST: Final = 2**62  # of anything that is counted up


class Plan(Struct, frozen=True):
    """Where things lie in a slab.

    Attributes:
        kept: what they are.
        capacity: rows that a tensor's ring holds: a window, and as many new rows as may be written
            before they are valid.
        states: how many states are there, of which the latest are valid.
        offsets: of the ring of each tensor, then of each state, bytes.
        size: of the slab, bytes.
    """

    kept: Kept
    capacity: int
    states: int
    offsets: tuple[int, ...]
    size: int


class Record(Struct, frozen=True, gc=False):
    """What is remembered of a message.

    Attributes:
        fingerprint: of its payload; 0 for none.
        rows: that had come from its source when it was done, since the beginning.
        written: of these, how many were written to the ring.
        stated: states that had been computed by then.
    """

    fingerprint: int = 0
    rows: int = 0
    written: int = 0
    stated: int = 0

    def is_sound(self, count: int) -> bool:
        """Whether these numbers can have come about.

        Args:
            count: of messages.
        """
        return count < _MOST and self.written <= self.rows < _MOST and self.stated <= count


def plan_of(kept: Kept) -> Plan:
    """Lay out a slab.

    Args:
        kept: what is kept of a source; its widths must be known.
    """
    capacity = 2 * kept.window.size + REMEMBERED if kept.window is not None else 0
    states = 0
    if kept.states:
        fitting = _STATE_HISTORY_BYTES // max(1, kept.state_bytes)
        states = max(_LEAST_STATES, min(REMEMBERED, fitting))
    sizes = [
        capacity * rows.width * np.dtype(_numpy(rows.dtype)).itemsize for rows in kept.rows
    ] + [states * math.prod(s.shape) * np.dtype(s.dtype).itemsize for s in kept.states]
    at = _aligned(_HEAD_BYTES + REMEMBERED * _RECORD_WORDS * 8)
    offsets = []
    for size in sizes:
        offsets.append(at)
        at = _aligned(at + size)
    return Plan(kept, capacity, states, tuple(offsets), at)


class Slab:
    """The memory of one source.

    Args:
        plan: how it is laid out.
        memory: at least `plan.size` bytes, the first word of which is right.

    Attributes:
        rows: ring of each tensor, [capacity, F].
        states: ring of each state, [states, *shape].
    """

    def __init__(self, plan: Plan, memory: memoryview) -> None:
        self._count = memory[:8].cast("Q")
        records_end = _HEAD_BYTES + REMEMBERED * _RECORD_WORDS * 8
        self._records = memory[_HEAD_BYTES:records_end].cast("Q")
        self.size_bytes = len(memory)
        kept, offsets = plan.kept, plan.offsets
        self.rows: list[Array] = []
        for part, at in zip(kept.rows, offsets, strict=False):
            if part.dtype == "string":
                self.rows.append(np.empty((plan.capacity, part.width), dtype=object))
                continue
            shape = (plan.capacity, part.width)
            self.rows.append(np.ndarray(shape, part.dtype, buffer=memory, offset=at))
        self.states: list[Array] = [
            np.ndarray((plan.states, *spec.shape), spec.dtype, buffer=memory, offset=at)
            for spec, at in zip(kept.states, offsets[len(kept.rows) :], strict=True)
        ]

    @property
    def count(self) -> int:
        """Messages that were remembered so far."""
        return self._count[0]

    def record(self, index: int) -> Record:
        """What is remembered of a message.

        Args:
            index: of the message, from 0; of the latest `REMEMBERED` - 1.
        """
        at = index % REMEMBERED * _RECORD_WORDS
        return Record(*self._records[at : at + _RECORD_WORDS])

    def fingerprint(self, index: int) -> int:
        """The fingerprint alone."""
        return self._records[index % REMEMBERED * _RECORD_WORDS]

    def remember(self, index: int, fingerprint: int, rows: int, written: int, stated: int) -> None:
        """Make a message valid, with all that was written before.

        Args:
            index: the count so far.
            fingerprint: see `Record`, as the other arguments.
        """
        at = index % REMEMBERED * _RECORD_WORDS
        records = self._records
        records[at] = fingerprint
        records[at + 1] = rows
        records[at + 2] = written
        records[at + 3] = stated
        self._count[0] = index + 1


def private_memory(plan: Plan) -> memoryview:
    """Memory of this process alone, all zeros, that costs nothing before it is used."""
    return memoryview(mmap.mmap(-1, plan.size))


def _numpy(dtype: str) -> str:
    # Texts lie outside of the slab.
    return "V0" if dtype == "string" else dtype


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
