"""Addresses of Unix sockets that are short enough, whatever the folder is called."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LONGEST_ADDRESS: Final = 107
"""Bytes that the kernel has room for."""


@contextmanager
def short_address(path: str) -> Iterator[str]:
    """An address for a socket's path, to bind or connect to while the context is open.

    Raises:
        OSError: its folder cannot be opened.
    """
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield path
        return
    place = Path(path)
    handle = os.open(place.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{place.name}"
    finally:
        os.close(handle)
