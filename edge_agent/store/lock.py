"""The lock on a state directory: two agents never share one.

An flock belongs to the process: it ends with it, however it ends, so there is never a stale one.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_agent.errors import Conflict
from edge_agent.store.files import storage_error

LOCK_FILE: Final = "agent.lock"


class StateLock:
    """Exclusive use of a state directory, from entering to leaving the `with` block.

    Args:
        folder: the state directory; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._handle = -1

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            Conflict: another process has it; its pid is named.
            StorageError: the file cannot be opened.
        """
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error("cannot open", self._path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise Conflict(
                f"state directory {self._path.parent} is used by another agent, process {owner}",
                hint="stop that agent, or give this one its own agent.state_dir",
                code="state_dir_in_use",
            ) from error
        # The pid is for people. On a full disk they do without it.
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back. The file stays: removing it would race with the next owner."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
