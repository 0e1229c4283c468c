"""How a command fails: two lines on standard error and an exit code, never a traceback."""

import os
import sys
from typing import Final, NoReturn

from cloud_sync.cli.output import clean
from cloud_sync.errors import ShoalError

FAILED: Final = 1
INTERRUPTED: Final = 130
TRACEBACK_VARIABLE: Final = "SHOAL_TRACEBACK"


def fail(error: Exception) -> NoReturn:
    """Report an error and exit with 1.

    Raises:
        SystemExit: always.
    """
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    text, hint = describe(error)
    _write(f"error: {text}")
    if hint:
        _write(f"what to do: {hint}")
    sys.exit(FAILED)


def describe(error: Exception) -> tuple[str, str]:
    """What went wrong, and what to do about it."""
    if isinstance(error, ShoalError):
        return error.text, error.hint
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", ""
    advice = f"this is a fault of shoal: run it again with {TRACEBACK_VARIABLE}=1 and report it"
    return f"{type(error).__name__}: {error}", advice


def warn(text: str) -> None:
    """Say on standard error what a person should know although the command succeeded."""
    _write(f"warning: {text}")


def _write(line: str) -> None:
    # Texts of several lines (a build lists its faults) keep their lines, and nothing else.
    for part in line.split("\n"):
        sys.stderr.write(clean(part) + "\n")


def silence_output() -> None:
    """Point standard output at nothing: its reader has gone, and that is no error of ours."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
