"""The one atomic write of a file, and what the disk's refusals are called.

A file that is replaced any other way can be empty after a power cut: the bytes, the name and the
folder each need their own fsync.
"""

import errno
import os
from pathlib import Path
from typing import Final

from edge_agent.errors import StorageError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def storage_error(action: str, path: Path, cause: OSError) -> StorageError:
    """The error for an operation that the disk refused; `disk_full` if it is out of space.

    Args:
        action: what was tried, as in "cannot write".
        path: on what.
        cause: what the system said.
    """
    reason = cause.strerror or str(cause)
    if cause.errno in _FULL:
        return StorageError(
            f"{action} {path}: {reason}",
            hint="free some space on this disk; it is tried again by itself",
            code="disk_full",
        )
    return StorageError(f"{action} {path}: {reason}", hint="check the disk and its permissions")


def fsync_folder(folder: Path) -> None:
    """Make names that were added to or taken from a folder survive a power cut.

    Raises:
        OSError: as the system says.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file: after a power cut it has the old bytes or the new ones, whole.

    Raises:
        StorageError: the disk refused; the old file is untouched.
    """
    part = path.with_name(f".{path.name}.tmp")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise storage_error("cannot write", path, error) from error


def make_folder(folder: Path) -> Path:
    """Create a folder for this user only, and its parents; fine if it is there.

    Raises:
        StorageError: it cannot be created or written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error("cannot create the folder", folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"folder {folder} expected to be writable, found it is not",
            hint="give it to the agent's user, or set agent.state_dir to another",
            code="not_writable",
        )
    return folder
