"""The one atomic write of a file, and what the disk's refusals are called.

A file that is replaced any other way can be empty after a power cut: the bytes, the name and the
folder each need their own fsync.
"""

import errno
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_agent.errors import StorageError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LEFTOVER: Final = re.compile(r"^\..+\.tmp$")


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

    Two writers of one file do not disturb each other: the one that comes last wins.

    Raises:
        StorageError: the disk refused. The old file is untouched; or, if only its folder could not
            be flushed, the new one is there and a power cut may bring the old one back.
    """
    # A name of its own for each write, so that nobody writes into what another one renames.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # what stays is removed at the next start
            part.unlink(missing_ok=True)
        raise storage_error("cannot write", path, error) from error


def remove_leftovers(folder: Path) -> tuple[str, ...]:
    """Remove what atomic writes left when they were cut off. Nobody may be writing there.

    Args:
        folder: whose lock is held; the folders in it are left alone.

    Returns:
        Names of what was removed, sorted. What the disk refuses to remove stays.
    """
    return _remove(folder, lambda path: _LEFTOVER.match(path.name) is not None)


def remove_files(folder: Path) -> tuple[str, ...]:
    """Remove everything in a folder but the folders in it.

    Returns:
        Names of what was removed, sorted. What the disk refuses to remove stays.
    """
    return _remove(folder, lambda path: not path.is_dir())


def _remove(folder: Path, is_unwanted: Callable[[Path], bool]) -> tuple[str, ...]:
    removed = []
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            with suppress(OSError):
                if is_unwanted(path):
                    path.unlink()
                    removed.append(path.name)
    return tuple(removed)


def make_folder(folder: Path) -> Path:
    """Create a folder for this user only, and its parents; fine if it is there.

    A power cut takes none away that was created: what is put in it would go with it.

    Raises:
        StorageError: it cannot be created or written to.
    """
    try:
        missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in missing:
            fsync_folder(place.parent)
    except OSError as error:
        raise storage_error("cannot create the folder", folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"folder {folder} expected to be writable, found it is not",
            hint="give it to the agent's user, or set agent.state_dir to another",
            code="not_writable",
        )
    return folder
