"""The last lines of the agent's log: from the service manager's journal, or from a file.

The agent writes to its standard error and does not know where that ends, so both are looked at.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

from edge_agent.errors import NotFound

MAX_BYTES: Final = 2 * 2**20
JOURNALCTL_S: Final = 20.0


def from_file(path: Path, lines: int) -> str:
    """The end of a log file.

    Raises:
        NotFound: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_BYTES))
            data = file.read(MAX_BYTES)
    except OSError as error:
        raise NotFound(
            f"log file {path} cannot be read: {error.strerror}",
            hint="name the file that the agent's standard error goes to",
        ) from error
    return _last(data, lines)


def from_journal(unit: str, lines: int) -> str:
    """The end of a unit's log in systemd's journal.

    Raises:
        NotFound: there is no such journal, or it has nothing of the unit.
    """
    command = ["journalctl", f"--unit={unit}", f"--lines={lines}", "--no-pager", "--quiet"]
    try:
        done = subprocess.run(
            [*command, "--output=short-iso-precise"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=JOURNALCTL_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise _none(unit, "journalctl is not installed here") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _none(unit, f"journalctl did not answer: {error}") from error
    if done.returncode or not done.stdout.strip():
        said = done.stderr.decode("utf-8", "replace").strip()
        raise _none(unit, said[:300] or "it has no line of it that this user may read")
    return _last(done.stdout, lines)


def _last(data: bytes, lines: int) -> str:
    kept = data[-MAX_BYTES:].decode("utf-8", "replace").splitlines()[-lines:]
    return "\n".join(kept) + "\n" if kept else ""


def _none(unit: str, reason: str) -> NotFound:
    return NotFound(
        f"systemd's journal has no log of {unit}: {reason}",
        hint="run this as root, name the unit with --unit, or a log file with --log",
    )
