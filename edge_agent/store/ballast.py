"""Space held back on the disk, given up when a write that must not fail finds no room.

A full disk would stop the journal, and with it every order from the cloud, the one to remove what
fills it included. The ballast is never made when the disk is short, and never larger than a small
share of it: it must not cause what it is there to survive.
"""

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_agent.store.space import RECOVERED_AT, DiskState

log: Final = logging.getLogger("edge_agent.store")

BALLAST_FILE: Final = "ballast"
LARGEST_SHARE: Final = 0.02
"""Of the disk."""


def ballast_bytes(wanted_bytes: int, total_bytes: int) -> int:
    """How large the ballast of a disk is: as wanted, within its share of the disk."""
    return min(wanted_bytes, int(total_bytes * LARGEST_SHARE))


class Ballast:
    """One file whose bytes mean nothing. Any thread.

    Args:
        folder: the state directory.
        wanted_bytes: how large it should be; 0 for none.
    """

    def __init__(self, folder: Path, wanted_bytes: int) -> None:
        self._path = folder / BALLAST_FILE
        self._wanted_bytes = wanted_bytes
        self._lock = threading.Lock()
        self._is_whole = False

    def release(self) -> bool:
        """Give the space up.

        Returns:
            Whether there was any.
        """
        with self._lock:
            self._is_whole = False
            freed = self._size()
            with suppress(OSError):
                # Emptied first: some filesystems need room to remove a name.
                os.truncate(self._path, 0)
                self._path.unlink()
            if freed:
                log.warning("event=ballast_released bytes=%d", freed)
            return freed > 0

    def make(self, disk: DiskState) -> None:
        """Hold space back again, if there is plenty. For every few seconds; does not raise.

        Args:
            disk: as it is now.
        """
        with self._lock:
            wanted = ballast_bytes(self._wanted_bytes, disk.total_bytes)
            if self._is_whole or disk.is_low or not wanted:
                return
            missing = wanted - self._size()
            if missing <= 0:
                self._is_whole = True
                return
            if disk.free_bytes - missing < disk.limit_bytes * RECOVERED_AT:
                return
            try:
                handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(handle, 0, wanted)
                finally:
                    os.close(handle)
            except OSError as error:
                log.warning("event=ballast_not_made reason=%r", str(error))
                with suppress(OSError):
                    self._path.unlink()
                return
            self._is_whole = True
            log.info("event=ballast_made bytes=%d", wanted)

    def _size(self) -> int:
        """Bytes that removing it would free; a file with holes frees less than its length."""
        try:
            found = self._path.stat()
        except OSError:
            return 0
        return min(found.st_size, found.st_blocks * 512)
