"""Memory files for windows and states, and what a kill at any instruction leaves in them."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


@contextmanager
def region_file() -> Iterator[int]:
    """The descriptor of an empty memory file."""
    fd = os.memfd_create("region", os.MFD_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def region_copy(data: bytes) -> Iterator[int]:
    """The descriptor of a memory file that holds these bytes."""
    with region_file() as fd:
        os.pwrite(fd, data, 0)
        yield fd


def contents(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


READERS = frozenset({"_read_directory"})
"""Functions of many lines that only read."""


def snapshots(fd: int, work: Callable[[], object], *files: str) -> list[bytes]:
    """Do some work; what the file held before each line of these source files, and at the end.

    A process that is killed leaves one of these states: whatever writes to the file is one call
    of one line.
    """
    found: list[bytes] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if Path(code.co_filename).name not in files or code.co_name in READERS:
            return None
        if event == "line":
            now = contents(fd)
            if not found or now != found[-1]:
                found.append(now)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return [*found, contents(fd)]
