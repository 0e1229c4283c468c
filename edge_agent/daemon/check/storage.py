"""Checks of the state directory: can it be written, has it room, do its databases make sense?

Writes nothing but a probe file, which it removes again, and makes no folder.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.config import DiskSection
from edge_agent.daemon.check.finding import Finding, attempt
from edge_agent.daemon.refuge import is_read_only
from edge_agent.errors import StorageError
from edge_agent.store.ballast import BALLAST_FILE
from edge_agent.store.damage import set_aside_in
from edge_agent.store.disk import read_usage
from edge_agent.store.files import make_folder, write_atomic
from edge_agent.store.journal import JOURNAL_FILE
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.remains import DATABASE_MISSING, check_database
from edge_agent.store.space import MIB, SpaceRule, Usage, judge

_DATABASES: Final = (JOURNAL_FILE, OUTBOX_FILE)


def check_storage(folder: Path, section: DiskSection) -> Iterator[Finding]:
    """Look at the state directory.

    Args:
        folder: the state directory.
        section: when its disk is low.
    """
    yield attempt("state directory", "fail", lambda: _writable(folder))
    yield check_disk(folder, section, read_usage(_nearest(folder)))
    yield _databases(folder)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest above it that is there: on its disk it will be made."""
    return next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)


def _writable(folder: Path) -> str:
    above = _nearest(folder)
    if above != folder:
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return f"{folder} is not there; it is made at the first start"
        raise StorageError(
            f"{folder} is not there, and cannot be made in {above}",
            hint="make it for the agent's user, or set agent.state_dir to another",
            code="not_writable",
        )
    if is_read_only(folder):
        raise StorageError(
            f"the disk of {folder} is read-only",
            hint="replace or mend it; until then what is installed runs, from memory",
            code="not_writable",
        )
    # Only looks: the folder is there.
    probe_file = make_folder(folder) / f"probe-{uuid.uuid4().hex}"
    try:
        write_atomic(probe_file, b"probe")
    finally:
        probe_file.unlink(missing_ok=True)
    return f"{folder} is writable"


def check_disk(folder: Path, section: DiskSection, usage: Usage | None) -> Finding:
    """Judge the disk of the state directory.

    Args:
        folder: the state directory.
        section: when it is low.
        usage: its figures; None if it does not tell them.
    """
    if usage is None or not usage.total_bytes:
        return Finding(
            name="disk",
            state="fail",
            text=f"the free space of {folder} cannot be read",
            hint="check agent.state_dir, and that its disk is mounted",
        )
    rule = SpaceRule(low_percent=section.low_percent, low_bytes=section.low_mb * MIB)
    disk = judge(usage, rule, was_low=False)
    share = 100 * usage.free_bytes / usage.total_bytes
    files = "" if usage.free_files is None else f", room for {usage.free_files} files"
    text = (
        f"{disk.free_mb:.0f} of {usage.total_bytes / MIB:.0f} MB free ({share:.0f} %){files}; low "
        f"below {disk.limit_bytes / MIB:.0f} MB; {_ballast(folder, section)}"
    )
    return Finding(
        name="disk",
        state="warn" if disk.is_low else "ok",
        text=f"low: {text}" if disk.is_low else text,
        hint="free some space: until then nothing is downloaded or captured" if disk.is_low else "",
    )


def _ballast(folder: Path, section: DiskSection) -> str:
    if not section.ballast_mb:
        return "no ballast (disk.ballast_mb = 0)"
    try:
        return f"{(folder / BALLAST_FILE).stat().st_size / MIB:.1f} MB of ballast held back"
    except OSError:
        return "no ballast held back now"


def _databases(folder: Path) -> Finding:
    told: list[str] = []
    hints: list[str] = []
    for name in _DATABASES:
        try:
            is_whole = check_database(folder / name)
            told.append(f"{name} is sound" if is_whole else f"{name} is sound as far as looked at")
        except StorageError as error:
            if error.code == DATABASE_MISSING:
                told.append(f"{name} is not there yet")
                continue
            told.append(error.text)
            hints.append(error.hint)
    aside = [path.name for path in set_aside_in(folder)]
    if aside:
        told.append(f"set aside as damaged: {', '.join(aside)}")
    if hints:
        hint = "; ".join(dict.fromkeys(hints))  # all damaged ones have the same
        return Finding(name="databases", state="fail", text="; ".join(told), hint=hint)
    return Finding(
        name="databases",
        state="warn" if aside else "ok",
        text="; ".join(told),
        hint="check the disk (kernel log, SD card); remove what was set aside once it was looked at"
        if aside
        else "",
    )
