"""A region: memory that outlives the worker which writes it, one slab for each source topic.

A memory file of the agent. Its head says for which layout it is, and its directory which slab
belongs to which source; what a slab holds is its user's business. Whoever writes may be killed
between any two instructions: what makes something valid is always written last. It never keeps a
topic, only its hash, and it is never read by two processes at the same time: a successor attaches
when its predecessor has ended.
"""

import hashlib
import mmap
import os
from typing import Final

from edge_agent.errors import StorageError

KEY_BYTES: Final = 16
FINGERPRINT_BYTES: Final = 32

_MAGIC: Final = int.from_bytes(b"shoalrg1", "little")
"""Ends with the number of this format."""

# Words of the head, 8 bytes each; the fingerprint follows them.
_MAGIC_AT, _SLAB_BYTES_AT, _SLABS_AT, _CLOCK_AT = range(4)
_FINGERPRINT_AT: Final = 64
_HEAD_BYTES: Final = 128
# Of an entry of the directory: the key, and when its source was last taken up.
_ENTRY_BYTES: Final = 32
_USED_AT: Final = 16


def key_of(topic: str) -> bytes:
    """A topic's key in the directory: never all zeros, which stands for a free slab."""
    return hashlib.blake2b(topic.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def paged(size: int) -> int:
    """Bytes rounded up to whole pages."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def region_bytes(slabs: int, slab_bytes: int) -> int:
    """Size of a region.

    Args:
        slabs: how many there are.
        slab_bytes: size of each.
    """
    return paged(_HEAD_BYTES + slabs * _ENTRY_BYTES) + slabs * paged(slab_bytes)


class Region:
    """A region, attached by the one process that may use it now.

    Args:
        fd: of the memory file; stays the caller's.
        fingerprint: of the layout of a slab; one that differs from what is there empties it.
        slab_bytes: size of a slab.
        slabs: how many there are at most.

    Attributes:
        was_emptied: whether another layout was there.
        forgotten: sources whose slab was given to another.

    Raises:
        StorageError: the file cannot be mapped.
    """

    def __init__(self, fd: int, *, fingerprint: bytes, slab_bytes: int, slabs: int) -> None:
        self._fd = fd
        self._slab_bytes = paged(slab_bytes)
        self._slabs = slabs
        size = region_bytes(slabs, slab_bytes)
        self._slabs_at = size - slabs * self._slab_bytes
        try:
            found = os.fstat(fd).st_size
            is_same = found == size and self._is_mine(fingerprint)
            if not is_same:
                # A new file: what is freed here is zero when it is read again.
                os.ftruncate(fd, 0)
                os.ftruncate(fd, size)
            self._memory = mmap.mmap(fd, self._slabs_at)
        except (OSError, ValueError) as error:
            raise StorageError(
                f"the memory of windows and states cannot be used: {error}",
                code="region_unusable",
                hint="free memory of the machine; until then windows and states begin empty",
            ) from error
        self._words = memoryview(self._memory)[:_FINGERPRINT_AT].cast("Q")
        if not is_same:
            self._format(fingerprint)
        self.was_emptied = found > 0 and not is_same
        self.forgotten = 0
        self._index: dict[bytes, int] = {}
        self._free: list[int] = []
        self._stale: list[bytes] = []
        self._read_directory()

    def take(self, key: bytes) -> tuple[memoryview, bool] | None:
        """The slab of a source.

        Args:
            key: of its topic.

        Returns:
            The slab, and whether something of this source may be in it; a slab that was another's
            is zero in its first word only. None if every slab is taken by this process.

        Raises:
            MemoryError: it cannot be mapped.
        """
        index = self._index.get(key)
        is_known = index is not None
        if index is None:
            if self._free:
                index = self._free[-1]
            elif self._stale:
                index = self._index[self._stale[0]]
            else:
                return None
        # Before anything is given to anyone: it may fail.
        slab = self._map(index)
        if is_known:
            if key in self._stale:
                self._stale.remove(key)
        else:
            if self._free:
                self._free.pop()
            else:
                del self._index[self._stale.pop(0)]
                self.forgotten += 1
            # The first word first: a slab never says that it holds what is another source's.
            slab[:8] = bytes(8)
            self._index[key] = index
        self._write_entry(index, key)
        return slab, is_known

    def give(self, key: bytes) -> None:
        """Take a source's slab from it."""
        index = self._index.pop(key, None)
        if index is not None:
            self._free.append(index)

    def _is_mine(self, fingerprint: bytes) -> bool:
        head = os.pread(self._fd, _HEAD_BYTES, 0)
        words = memoryview(head)[:_FINGERPRINT_AT].cast("Q")
        return (
            words[_MAGIC_AT] == _MAGIC
            and words[_SLAB_BYTES_AT] == self._slab_bytes
            and words[_SLABS_AT] == self._slabs
            and head[_FINGERPRINT_AT : _FINGERPRINT_AT + FINGERPRINT_BYTES] == fingerprint
        )

    def _format(self, fingerprint: bytes) -> None:
        self._words[_SLAB_BYTES_AT] = self._slab_bytes
        self._words[_SLABS_AT] = self._slabs
        self._memory[_FINGERPRINT_AT : _FINGERPRINT_AT + FINGERPRINT_BYTES] = fingerprint
        self._words[_MAGIC_AT] = _MAGIC

    def _read_directory(self) -> None:
        used: dict[bytes, int] = {}
        for index in range(self._slabs):
            at = _HEAD_BYTES + index * _ENTRY_BYTES
            key = self._memory[at : at + KEY_BYTES]
            if key == bytes(KEY_BYTES) or key in self._index:
                self._free.append(index)
                continue
            self._index[key] = index
            stamp = self._memory[at + _USED_AT : at + _USED_AT + 8]
            used[key] = int.from_bytes(stamp, "little")
        self._free.reverse()
        self._stale = sorted(used, key=used.__getitem__)

    def _write_entry(self, index: int, key: bytes) -> None:
        clock = self._words[_CLOCK_AT] = self._words[_CLOCK_AT] + 1
        at = _HEAD_BYTES + index * _ENTRY_BYTES
        self._memory[at : at + KEY_BYTES] = key
        self._memory[at + _USED_AT : at + _USED_AT + 8] = clock.to_bytes(8, "little")

    def _map(self, index: int) -> memoryview:
        offset = self._slabs_at + index * self._slab_bytes
        try:
            return memoryview(mmap.mmap(self._fd, self._slab_bytes, offset=offset))
        except OSError as error:
            raise MemoryError("no memory for another source topic") from error
