"""The deadline of every run: a thread beside the one that runs the model, which may hang in it,
or in the library that decodes its pictures.

First the run is asked to end; a model that does not listen holds its thread for ever, and only the
end of the process is left.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_log = logging.getLogger("shoal.worker")

GRACE_S: Final = 2.0
"""How long a run that was asked to end may take to do so."""

_SHORTEST_LOOK_S: Final = 0.02
_LONGEST_LOOK_S: Final = 1.0


class Running(Protocol):
    """What can be watched: a `ModelSession`, or a codec that leaves its work to a library."""

    @property
    def began_s(self) -> float:
        """When the run that is under way began, seconds, monotonic; 0 between two runs."""
        ...

    def terminate(self, began_s: float) -> None:
        """End the run that began then."""
        ...


class RunWatch:
    """Watches the runs of one model for as long as the process lives.

    Args:
        session: whose runs are watched.
        timeout_s: a run that takes longer is asked to end. It is noticed up to a quarter of this
            later, a second at most.
        on_stuck: called once, on the watch's thread, if the run does not end; should end the
            process.
        grace_s: how long a run that was asked may take to end.
    """

    def __init__(
        self,
        session: Running,
        timeout_s: float,
        on_stuck: Callable[[], None],
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        self._session = session
        self._timeout_s = timeout_s
        self._on_stuck = on_stuck
        self._grace_s = grace_s
        self._look_s = min(max(timeout_s / 4, _SHORTEST_LOOK_S), _LONGEST_LOOK_S)
        self._is_over = threading.Event()
        self._asked_s = 0.0

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="run-watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._is_over.set()

    def _watch(self) -> None:
        while not self._is_over.wait(self._look_s):
            if self.look(time.monotonic()):
                self._on_stuck()
                return

    def look(self, now: float) -> bool:
        """Ask a run that is late to end; returns whether it was asked and is still there.

        Args:
            now: seconds, monotonic.
        """
        began_s = self._session.began_s
        if not began_s or now - began_s <= self._timeout_s:
            return False
        if began_s != self._asked_s:
            self._asked_s = began_s
            _log.warning("run_terminated after_s=%.3f", now - began_s)
            self._session.terminate(began_s)
            return False
        return now - began_s > self._timeout_s + self._grace_s


@contextmanager
def deadline(session: Running, timeout_s: float) -> Iterator[None]:
    """Runs in the `with` block are asked to end after this; what does not is left to the caller's
    own deadline.

    Args:
        session: whose runs.
        timeout_s: of each run.
    """
    watch = RunWatch(session, timeout_s, lambda: None)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
