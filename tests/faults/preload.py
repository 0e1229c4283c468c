"""The library that is put in front of libc: compiled here, and steered from the process under test.

Production code knows nothing of it. It must only ever be loaded into processes that tests start.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("faults.c")

_Observer = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_long)


class Action(IntEnum):
    """What happens at the chosen call; the numbers are those of the library."""

    NOTHING = 0
    KILL = 1
    TORN = 2
    FULL = 3
    FAIL = 4
    SHORT = 5
    STOP = 6

    @property
    def is_deadly(self) -> bool:
        """Whether the process is gone afterwards."""
        return self in (Action.KILL, Action.TORN)


def compiler() -> str | None:
    """The C compiler of this machine, or None."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def build(folder: Path) -> Path:
    """Compile the library.

    Args:
        folder: where it goes.

    Returns:
        The file for LD_PRELOAD.
    """
    found = compiler()
    assert found is not None, "no C compiler on this machine"
    library = folder / "faults.so"
    flags = ["-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([found, *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def environment(library: Path) -> dict[str, str]:
    """The environment of a process under test."""
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        # The cloud is on plain HTTP: to read the machine's certificates would take most of the
        # time.
        "SSL_CERT_FILE": os.devnull,
        "SSL_CERT_DIR": os.devnull,
    }


class Preload:
    """The library as it is loaded into this process.

    Args:
        library: the file that LD_PRELOAD names.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.faults_count.restype = ctypes.c_long
        self._library.faults_arm.argtypes = (ctypes.c_int, ctypes.c_long, ctypes.c_long)
        self._folder = b""
        # The library keeps a bare pointer to it.
        self._observer = _Observer()

    def watch(self, folder: Path) -> None:
        """See the calls below a folder; it need not exist yet."""
        self._folder = os.fsencode(folder)
        self._library.faults_watch(self._folder)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """See nothing of what is done in here."""
        self._library.faults_watch(b"")
        try:
            yield
        finally:
            self._library.faults_watch(self._folder)

    def arm(self, action: Action, at: int, *, every: int = 0) -> None:
        """Count from zero, and act at a call.

        Args:
            action: what to do.
            at: number of the call, from 1.
            every: act again after so many more; 0 for once.
        """
        self._library.faults_arm(int(action), at, every)

    def heal(self) -> None:
        """The disk has room again; a call that was chosen and has not come yet still fails."""
        self._library.faults_heal()

    @property
    def count(self) -> int:
        """Calls since `arm`."""
        return int(self._library.faults_count())

    def observe(self, told: Callable[[str, str, int], None], *, is_for_all: bool) -> None:
        """Be told of calls before they are made: their name, file and number.

        Args:
            told: must not raise. What it does to files itself is not counted.
            is_for_all: of every call, not only of those that are acted on.
        """

        def decode(call: bytes, path: bytes, number: int) -> None:
            told(call.decode(), os.fsdecode(path), number)

        self._observer = _Observer(decode)
        self._library.faults_observe(self._observer, int(is_for_all))
