"""The memories of all source topics. Bounded: the topic that was silent for longest goes first.

Private to this process until a region is attached; from then on everything is in the region and
outlives the process. Never decides what a memory is for.
"""

from collections import OrderedDict
from typing import Final

from edge_agent.contract.kept import Kept, KeptRows
from edge_agent.contract.signature import DYNAMIC
from edge_agent.errors import MessageError, StorageError
from edge_agent.runtime.binding.memory import SourceMemory, States
from edge_agent.runtime.binding.slab import Plan, Slab, plan_of, private_memory
from edge_agent.runtime.binding.window import Rows
from edge_agent.runtime.region import Region, key_of, paged

MAX_SOURCES: Final = 1024
MAX_BYTES: Final = 256 * 2**20
BEGAN_EMPTY: Final = (
    "windows and states began empty: this version declares others than the one before"
)


def own_bytes(kept: Kept) -> int:
    """Memory of the process's own that a store can come to need.

    What has a fixed size lies in mappings that are shared with a successor, and is none of it.

    Args:
        kept: what it keeps.
    """
    return 0 if kept.is_fixed else MAX_BYTES


class SourceStore:
    """What a module keeps, topic by topic.

    Args:
        kept: what that is.
        initial: the states of a source that was never heard.
    """

    def __init__(self, kept: Kept, initial: States) -> None:
        self._kept = kept
        self._initial = initial
        self._plan: Plan | None = plan_of(kept) if kept.is_fixed else None
        self._sources: OrderedDict[str, SourceMemory] = OrderedDict()
        self._bytes = 0
        self._forgotten = 0
        self._region: Region | None = None

    @property
    def forgotten(self) -> int:
        """Topics that were dropped to stay within the bounds."""
        return self._forgotten + (self._region.forgotten if self._region is not None else 0)

    def attach(self, fd: int) -> str:
        """Go on with what a region holds, and keep everything in it from now on.

        Args:
            fd: of the region's memory file; stays the caller's.

        Returns:
            What a person should know, one sentence; empty if there is nothing.
        """
        if self._plan is None:
            return (
                "windows begin anew at each restart: rows of text, or of a length that the model "
                "leaves open, are kept in the worker only"
            )
        size = self._plan.size
        try:
            region = Region(
                fd,
                fingerprint=self._kept.fingerprint(),
                slab_bytes=size,
                slabs=_slabs(size),
            )
        except StorageError as error:
            return f"windows and states begin anew at each restart: {error.text}"
        self.clear()
        self._region = region
        if region.was_emptied:
            return BEGAN_EMPTY
        return ""

    def clear(self) -> None:
        """Forget all that is private to this process."""
        self._sources.clear()
        self._bytes = 0

    def of(self, topic: str, rows: Rows) -> SourceMemory:
        """The memory of a topic, which is now the one that was heard last.

        Args:
            topic: of the source.
            rows: that have come from it; the first ones of a source give its widths.

        Raises:
            MessageError: `wrong_shape`, rows of another length than this topic's earlier ones.
            MemoryError: no room for another source.
        """
        source = self._sources.get(topic)
        if source is None:
            return self._add(topic, rows)
        self._sources.move_to_end(topic)
        if self._plan is None and not source.fits(rows):
            raise MessageError(
                "rows expected the same length as earlier rows of this topic, found another",
                code="wrong_shape",
                hint="send rows of one length on a topic, other ones on another",
            )
        return source

    def _add(self, topic: str, rows: Rows) -> SourceMemory:
        plan = self._plan or plan_of(_measured(self._kept, rows))
        slab = Slab(plan, self._memory(topic, plan))
        source = self._sources[topic] = SourceMemory(self._kept, slab, self._initial)
        self._bytes += source.size_bytes
        while len(self._sources) > 1 and (
            len(self._sources) > MAX_SOURCES or self._bytes > MAX_BYTES
        ):
            self._forget_oldest()
        return source

    def _memory(self, topic: str, plan: Plan) -> memoryview:
        if self._region is None:
            return private_memory(plan)
        while True:
            taken = self._region.take(key_of(topic))
            if taken is not None:
                return taken[0]
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        topic, source = self._sources.popitem(last=False)
        self._bytes -= source.size_bytes
        self._forgotten += 1
        if self._region is not None:
            self._region.give(key_of(topic))


def _slabs(size: int) -> int:
    """How many sources of that many bytes each there may be."""
    return max(1, min(MAX_SOURCES, MAX_BYTES // paged(size)))


def _measured(kept: Kept, rows: Rows) -> Kept:
    """What is kept of a source whose first rows are these."""
    widths = [
        KeptRows(part.name, part.dtype, array.shape[1] if part.width == DYNAMIC else part.width)
        for part, array in zip(kept.rows, rows, strict=True)
    ]
    return Kept(kept.window, tuple(widths), kept.states)
