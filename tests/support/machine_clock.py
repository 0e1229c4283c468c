"""A machine's wall clock that a test sets while real processes run: libfaketime, steered by files.

Only the wall clock is faked: intervals stay what they are, as when somebody sets a clock.
"""

import time
from pathlib import Path
from typing import Final

from tests.support.compiler import build_library

SOURCE: Final = Path(__file__).with_name("kernel_clock.c")


class MachineClock:
    """The clock of every process that is started with `environment`.

    Args:
        folder: for its files.
        wall: what it shows at first, seconds since 1970; None for the right time.
        is_synced: whether the kernel calls it right.
    """

    def __init__(self, folder: Path, *, wall: float | None = None, is_synced: bool = True) -> None:
        folder.mkdir(parents=True)
        self._offset = folder / "offset"
        self._synced = folder / "synced"
        self._library = folder / "kernel_clock.so"
        build_library(SOURCE, self._library)
        self.set(time.time() if wall is None else wall, is_synced=is_synced)

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that is to live by this clock."""
        (faketime,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        return {
            "LD_PRELOAD": f"{self._library}:{faketime}",
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            # Older and newer versions call it by other names.
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TEST_CLOCK_SYNCED": str(self._synced),
        }

    def set(self, wall: float, *, is_synced: bool) -> None:
        """Set it.

        Args:
            wall: seconds since 1970.
            is_synced: whether the kernel calls it right from now on.
        """
        if is_synced:
            self._synced.touch()
        else:
            # First: nothing must see the new time and call it right.
            self._synced.unlink(missing_ok=True)
        new = self._offset.with_suffix(".new")
        new.write_text(f"{wall - time.time():+.3f}")
        new.replace(self._offset)

    def mend(self) -> None:
        """A time server sets it right."""
        self.set(time.time(), is_synced=True)
