"""Databases that cannot be trusted any more: set aside under another name, never repaired in place.

What is set aside is for people to look at. One a database is kept, and it is the first thing to go
when the disk is short of space. Nothing of the agent reads it.
"""

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from edge_agent.store.files import fsync_folder

log: Final = logging.getLogger("edge_agent.store")

DATABASE_DAMAGED: Final = "database_damaged"
"""Code of the error for a database whose bytes make no sense."""

_BESIDE: Final = ("", "-wal", "-shm")
_MARK: Final = ".damaged-"


class Damage(Struct, frozen=True, kw_only=True):
    """A database that was set aside.

    Attributes:
        file: its name.
        kept_as: the name that it has now; empty if it could not be kept.
        reason: what was found.
    """

    file: str
    kept_as: str
    reason: str


def set_aside(path: Path, reason: str, wall: float) -> Damage:
    """Move a database, its log and its index out of the way. Nobody may have it open.

    A crash in the middle leaves no file of the old database that a new one could take for its
    own: see `clear_remains`.

    Args:
        path: of the database.
        reason: why.
        wall: seconds since 1970, for the name.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(max(0.0, wall)))
    name = f"{path.name}{_MARK}{stamp}"
    with suppress(OSError):
        for old in sorted(path.parent.glob(f"{path.name}{_MARK}*")):
            with suppress(OSError):
                old.unlink()
    is_kept = True
    for suffix in _BESIDE:
        part = path.with_name(path.name + suffix)
        try:
            part.replace(path.with_name(name + suffix))
        except FileNotFoundError:
            continue
        except OSError:
            # A disk that takes no new name: what cannot be kept must at least be gone.
            is_kept = False
            with suppress(OSError):
                part.unlink()
    with suppress(OSError):
        fsync_folder(path.parent)
    damage = Damage(file=path.name, kept_as=name if is_kept else "", reason=reason)
    log.error(
        "event=database_damaged file=%s kept_as=%s reason=%r",
        damage.file,
        damage.kept_as or "-",
        reason,
    )
    return damage


def clear_remains(path: Path) -> None:
    """Remove a log and an index whose database is gone, before another one is made in its place."""
    with suppress(OSError):
        if not path.exists():
            for suffix in _BESIDE[1:]:
                with suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).unlink()


def set_aside_in(folder: Path) -> tuple[Path, ...]:
    """Every database that was set aside and kept; none where the folder cannot be read."""
    with suppress(OSError):
        return tuple(sorted(folder.glob(f"*{_MARK}*")))
    return ()


def remove_set_aside(folder: Path) -> int:
    """Make room: remove every database that was set aside.

    Returns:
        Bytes that were freed.
    """
    freed = 0
    for path in set_aside_in(folder):
        with suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            freed += size
    return freed
