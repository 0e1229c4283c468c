"""A state directory in memory, for a device whose disk takes no writes any more.

Storage that wears out, or finds its file system damaged, is mounted read-only, mostly at the next
boot. What is installed can be read all the same: the small files are copied, the large ones linked,
and the agent works in memory until the disk is mended. Nothing here changes the disk.
"""

import errno
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from edge_agent.errors import StorageError
from edge_agent.store.ballast import BALLAST_FILE
from edge_agent.store.damage import set_aside_in
from edge_agent.store.files import make_folder, storage_error
from edge_agent.store.lock import LOCK_FILE
from edge_agent.store.outbox_file import OUTBOX_FILE

log: Final = logging.getLogger("edge_agent.daemon")

PLACES: Final = (Path("/run/shoal"), Path("/dev/shm"))  # noqa: S108  # looked at for their owner
"""Folders in memory, the best first: the service manager's for this agent, and everybody's."""

BLOBS: Final = "blobs"
NOTE_FILE: Final = "refuge-of"
"""In a refuge: the path of the state directory that it stands for."""

LARGEST_COPY_BYTES: Final = 16 * 2**20
"""The journal and its copy take a few kilobytes; memory is not for more than that."""


def is_read_only(folder: Path) -> bool:
    """Whether a folder's disk takes no writes. A folder that is not there, or may not be written
    to for another reason, is no such case."""
    probe = folder / f".probe.{uuid.uuid4().hex}.tmp"  # one that is left is swept away
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno == errno.EROFS
    with suppress(OSError):
        probe.unlink()
    return False


def current_folder(state_dir: Path, places: Sequence[Path] = PLACES) -> Path:
    """Where a state directory is now: itself, or its refuge while an agent has one.

    For those that ask the agent or read what it left; they write nothing.
    """
    return next(_refuges(state_dir, places), state_dir)


def take_refuge(state_dir: Path, places: Sequence[Path] = PLACES) -> Path:
    """Have a state directory in memory, with all that is installed; the one that is there already.

    Args:
        state_dir: on the disk that takes no writes.
        places: folders in memory; the first that may be written to is taken.

    Raises:
        StorageError: none of them may, or the disk cannot be read.
    """
    found = next(_refuges(state_dir, places), None)
    if found is not None:
        return found
    place = next((one for one in places if os.access(one, os.W_OK | os.X_OK)), None)
    if place is None:
        raise StorageError(
            f"the disk of {state_dir} is read-only, and so is every folder in memory: "
            f"{', '.join(map(str, places))}",
            hint="mend the disk, or mount /dev/shm",
            code="not_writable",
        )
    refuge = place / _name(state_dir)
    # Whole or not at all: an agent that finds it goes by what is in it.
    draft = make_folder(place / f"{refuge.name}-{uuid.uuid4().hex}")
    try:
        _fill(draft, state_dir)
        draft.rename(refuge)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise storage_error("cannot copy to memory", state_dir, error) from error
    log.error("event=state_read_only state_dir=%s refuge=%s", state_dir, refuge)
    return refuge


def leave_refuges(state_dir: Path, places: Sequence[Path] = PLACES) -> None:
    """The disk takes writes again: what was in memory is gone, and comes again from the cloud."""
    for refuge in _refuges(state_dir, places):
        log.warning("event=refuge_left refuge=%s", refuge)
        shutil.rmtree(refuge, ignore_errors=True)


def refuge_of(folder: Path) -> str:
    """Which state directory a folder stands for; empty if it is no refuge."""
    try:
        return (folder / NOTE_FILE).read_text()
    except OSError:
        return ""


def _refuges(state_dir: Path, places: Sequence[Path]) -> Iterator[Path]:
    """Those that belong to who owns the state directory: anybody may make names in memory."""
    with suppress(OSError):
        owner = state_dir.stat().st_uid
        for place in places:
            refuge = place / _name(state_dir)
            with suppress(OSError):
                found = refuge.lstat()
                if S_ISDIR(found.st_mode) and found.st_uid in (owner, os.geteuid()):
                    yield refuge


def _name(state_dir: Path) -> str:
    digest = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()
    return f"shoal-{digest[:16]}"


def _fill(refuge: Path, state_dir: Path) -> None:
    (refuge / NOTE_FILE).write_text(str(state_dir))
    left = {BALLAST_FILE, LOCK_FILE, *(path.name for path in set_aside_in(state_dir))}
    for path in state_dir.iterdir():
        # Rows that wait stay for when the disk is mended; an index is made anew.
        is_left = path.name in left or path.name.startswith(OUTBOX_FILE)
        if is_left or path.name.endswith("-shm") or not path.is_file():
            continue
        if path.stat().st_size <= LARGEST_COPY_BYTES:
            shutil.copyfile(path, refuge / path.name)
    blobs = make_folder(refuge / BLOBS)
    with suppress(FileNotFoundError):
        for blob in (state_dir / BLOBS).iterdir():
            (blobs / blob.name).symlink_to(blob)
