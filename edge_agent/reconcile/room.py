"""Room for what is to be downloaded: looked for before the first byte, for all slots together.

Space is promised to one slot at a time, less what is promised to the others and has not arrived,
and never down to the last: a download that begins must not be what fills the disk.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from edge_agent.errors import StorageError
from edge_agent.store.blobs import BlobStore
from edge_agent.store.disk import DiskWatch
from edge_agent.store.space import DiskState, disk_low

NO_ROOM: Final = frozenset({"disk_low", "disk_full"})
"""Codes of failures that end when there is space again."""

Asks = Callable[[], bool]


class Room:
    """Promises of space. Any thread.

    Args:
        blobs: the device's files.
        disk: where they are.
        collect: removes what nothing needs, when there is too little.
    """

    def __init__(self, blobs: BlobStore, disk: DiskWatch, collect: Callable[[], None]) -> None:
        self._blobs = blobs
        self._disk = disk
        self._collect = collect
        self._lock = threading.Lock()
        self._promised: dict[int, Mapping[str, int]] = {}

    @contextmanager
    def promised(self, files: Mapping[str, int]) -> Iterator[Callable[[Asks], Asks]]:
        """Room for files while the block runs. What is here already needs none.

        Args:
            files: digest to size in bytes.

        Yields:
            What adds to a question that is asked between two pieces of a download, whether the
            disk got low meanwhile; then it raises `disk_low`.

        Raises:
            StorageError: there is too little (`disk_full`), or the disk is low (`disk_low`).
        """
        promise = id(files)
        with self._lock:
            if self._missing(files):
                self._find(files)
            self._promised[promise] = files
        try:
            yield self._watching
        finally:
            with self._lock:
                del self._promised[promise]

    def _watching(self, ask: Asks) -> Asks:
        def ask_and_look() -> bool:
            self._disk.check()
            return ask()

        return ask_and_look

    def _find(self, files: Mapping[str, int]) -> None:
        disk = self._disk.look()
        if self._error(disk, files) is not None:
            self._collect()
            disk = self._disk.look()
        error = self._error(disk, files)
        if error is not None:
            raise error

    def _error(self, disk: DiskState, files: Mapping[str, int]) -> StorageError | None:
        if disk.is_low:
            return disk_low(disk)
        # A file that two slots wait for arrives once.
        together = {
            digest: size for known in self._promised.values() for digest, size in known.items()
        }
        own = self._missing(files)
        others = self._missing(together | dict(files)) - own
        if own + others + disk.limit_bytes <= disk.free_bytes:
            return None
        promised = f", {others} for other slots" if others else ""
        return StorageError(
            f"free disk expected {own + others + disk.limit_bytes} bytes ({own} for this slot"
            f"{promised}, {disk.limit_bytes} in reserve), found {disk.free_bytes}",
            hint="free some space on this disk; it is tried again by itself",
            code="disk_full",
        )

    def _missing(self, files: Mapping[str, int]) -> int:
        return sum(self._blobs.missing_bytes(digest, size) for digest, size in files.items())
