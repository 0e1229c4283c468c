"""A worker process that a zygote forked, as the agent holds it: await its end, signal it.

By its pidfd and never by its number: a number may be another program's by the time it is used.
"""

import contextlib
import os
import select
import signal
import threading
from typing import Final

from edge_agent.runtime.launch import UNSEEN

_SEEN_S: Final = 2.0


class Child:
    """A process that a zygote forked. Any thread.

    Args:
        pid: of the process.
        process: a pidfd, which becomes this object's own.
    """

    def __init__(self, pid: int, process: int) -> None:
        self.pid = pid
        self._process = process
        self._returncode: int | None = None
        self._is_told = threading.Event()
        self._is_orphan = False
        self._lock = threading.Lock()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the end.

        Returns:
            The return code, as of `subprocess`, or `UNSEEN`; None if it still lives.
        """
        if not self._is_told.is_set() and not self._has_ended(timeout_s):
            return None
        # The kernel says so before the zygote can have said how.
        if not self._is_told.wait(0.0 if self._is_orphan else _SEEN_S):
            self.told(UNSEEN)
        return self._returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it, if it still lives. Never reaches a process that got its number later."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._process >= 0:
                signal.pidfd_send_signal(self._process, number)

    def told(self, returncode: int) -> None:
        """Someone knows how it ended. The first to know is right."""
        if not self._is_told.is_set():
            self._returncode = returncode
            self._is_told.set()

    def orphaned(self) -> None:
        """The zygote is gone: how this process ends, nobody will say."""
        self._is_orphan = True

    def close(self) -> None:
        """Give the descriptor back. It can be neither awaited nor signalled any more."""
        with self._lock:
            process, self._process = self._process, -1
        if process >= 0:
            os.close(process)

    def _has_ended(self, timeout_s: float) -> bool:
        with self._lock:
            if self._process < 0:
                return True
            process = os.dup(self._process)
        try:
            poller = select.poll()
            poller.register(process, select.POLLIN)
            return bool(poller.poll(max(0.0, timeout_s) * 1000))
        finally:
            os.close(process)
