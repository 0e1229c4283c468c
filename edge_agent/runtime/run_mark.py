"""A page of memory that a worker and the agent share: what is being run, and since when.

A worker that hangs or dies cannot say so any more; the page still does. It outlives the process:
the agent makes one for a slot's version and hands it to each process in turn, so that a successor
knows what its predecessors died of. Written by the worker while there is one, read by both; it
never grows.

Layout, in the machine's byte order:
    0  float64  a run is going on since this instant, seconds, monotonic; 0 for none. Messages that
                are taken together may have a run each; then it is the latest
    8  float64  longest time of a run, seconds; 0 until the model is loaded
   16  uint64   turns that came to an end since the process started: messages taken together
   24  uint64   messages in the turn that is going on
   32  uint64   [MOST_RUNNING] their fingerprints
 8224  uint64   [MOST_SUSPECTS, 2] fingerprint, deaths during a run of it
"""

import mmap
import os
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

MOST_RUNNING: Final = 1024
MOST_SUSPECTS: Final = 512

_HEAD: Final = 4
_SUSPECTS: Final = _HEAD + MOST_RUNNING
_BYTES: Final = 8 * (_SUSPECTS + 2 * MOST_SUSPECTS)
_ENDED: Final = 2
_COUNT: Final = 3


class Running(Struct, frozen=True):
    """What a worker is at.

    Attributes:
        since: when the run that is going on began, seconds, monotonic; None if none is.
        limit_s: how long a run may take; 0 while that is not known.
        ended: turns that came to an end since the process started.
    """

    since: float | None
    limit_s: float
    ended: int


def make_run_mark() -> int:
    """A new page, empty. Returns its descriptor.

    Raises:
        OSError: no memory, or no descriptor left.
    """
    handle = os.memfd_create("shoal-run-mark", os.MFD_CLOEXEC)
    try:
        os.ftruncate(handle, _BYTES)
    except OSError:
        os.close(handle)
        raise
    return handle


class RunMark:
    """A view of a page.

    Args:
        handle: its descriptor; may be closed afterwards.
    """

    def __init__(self, handle: int) -> None:
        self._memory = mmap.mmap(handle, _BYTES)
        view = memoryview(self._memory)
        self._times = view.cast("d")
        self._words = view.cast("Q")
        self._deaths: dict[int, int] = {}

    def take_over(self) -> dict[int, int]:
        """Begin as the next process on this page: what was being run counts as one more death.

        Returns:
            Fingerprint to the number of processes that ended while it was being run.
        """
        words = self._words
        deaths: dict[int, int] = {}
        for at in range(_SUSPECTS, _SUSPECTS + 2 * MOST_SUSPECTS, 2):
            if words[at + 1]:
                deaths[words[at]] = words[at + 1]
        if self._times[0]:
            count = min(words[_COUNT], MOST_RUNNING)
            for fingerprint in set(words[_HEAD : _HEAD + count]):
                deaths[fingerprint] = deaths.get(fingerprint, 0) + 1
        # Too many to keep: those that were there most often are the likely ones.
        kept = sorted(deaths.items(), key=lambda item: -item[1])[:MOST_SUSPECTS]
        self._deaths = dict(kept)
        self._store()
        self._times[0] = self._times[1] = 0.0
        words[_ENDED] = words[_COUNT] = 0
        return dict(self._deaths)

    def limit(self, seconds: float) -> None:
        """Say how long a run may take."""
        self._times[1] = seconds

    def begin(self, fingerprints: Sequence[int], now: float) -> None:
        """A run of these messages begins, or several.

        Args:
            fingerprints: of the messages; those beyond the first `MOST_RUNNING` are not noted.
            now: seconds, monotonic.
        """
        words = self._words
        at = _HEAD
        for fingerprint in fingerprints[:MOST_RUNNING]:
            words[at] = fingerprint
            at += 1
        words[_COUNT] = at - _HEAD
        self._times[0] = now

    def begin_another(self, now: float) -> None:
        """Another run of the same messages begins: each has its own time.

        Args:
            now: seconds, monotonic.
        """
        self._times[0] = now

    def end(self) -> None:
        """The run came to an end; how does not matter."""
        self._times[0] = 0.0
        self._words[_ENDED] += 1

    def acquit(self, fingerprint: int) -> None:
        """A message that was suspected was run, and the process lives."""
        if self._deaths.pop(fingerprint, None) is not None:
            self._store()

    def forget_runs(self) -> None:
        """Count runs from nothing: for the agent, before it starts another process."""
        self._words[_ENDED] = 0

    def running(self) -> Running:
        """What is going on."""
        return Running(self._times[0] or None, self._times[1], self._words[_ENDED])

    def close(self) -> None:
        """Let go of the memory."""
        self._times.release()
        self._words.release()
        self._memory.close()

    def _store(self) -> None:
        words, at = self._words, _SUSPECTS
        for fingerprint, deaths in self._deaths.items():
            words[at], words[at + 1] = fingerprint, deaths
            at += 2
        for rest in range(at, _SUSPECTS + 2 * MOST_SUSPECTS, 2):
            words[rest + 1] = 0
