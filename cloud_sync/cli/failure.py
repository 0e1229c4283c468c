"""How a command fails: two lines or JSON on standard error, and a status. Never a traceback."""

import os
import sys
from typing import Final, NoReturn

from msgspec import json

from cloud_sync.cli.output import clean
from cloud_sync.errors import ShoalError
from edge_agent.contract.failure import (
    Failure,
    UsageError,
    failure_of,
    failure_text,
    is_help,
    usage_failure,
)

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
TRACEBACK_VARIABLE: Final = "SHOAL_TRACEBACK"


def fail(error: Exception, *, as_json: bool) -> NoReturn:
    """Report an error and exit with 1, or with 2 if the command was typed wrongly.

    Args:
        as_json: whether the command was asked for JSON.

    Raises:
        SystemExit: always.
    """
    if isinstance(error, UsageError):
        if is_help(error):
            sys.stderr.write(f"{error.format_message()}\n")
        else:
            _write(failure_text(usage_failure(error), as_json=as_json))
        sys.exit(WRONG_USAGE)
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    _write(failure_text(describe(error), as_json=as_json))
    sys.exit(FAILED)


def describe(error: Exception) -> Failure:
    """What went wrong, and what to do about it."""
    if isinstance(error, ShoalError):
        return failure_of(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return Failure("system", f"{where}{error.strerror}")
    advice = f"this is a fault of shoal: run it again with {TRACEBACK_VARIABLE}=1 and report it"
    return Failure("internal", f"{type(error).__name__}: {error}", advice)


def warn(text: str, *, as_json: bool) -> None:
    """Say on standard error what a person should know although the command goes on.

    Args:
        as_json: whether the command was asked for JSON.
    """
    _write(json.encode({"warning": text}).decode() if as_json else f"warning: {text}")


def _write(line: str) -> None:
    # Texts of several lines (a build lists its faults) keep their lines, and nothing else.
    for part in line.split("\n"):
        sys.stderr.write(clean(part) + "\n")


def silence_output() -> None:
    """Point standard output at nothing: its reader has gone, and that is no error of ours."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
