"""Starts the worker processes of an agent, through a zygote of which it always keeps one.

A zygote is started when it is first needed and started again when it dies. The agent's control
process imports this file, so it imports no numpy, onnxruntime or MQTT.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from edge_agent.errors import StorageError, Unavailable
from edge_agent.runtime.child import Child
from edge_agent.runtime.zygote_process import LAUNCH_S, USABLE_S, ZygoteProcess, broken

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0

_SOON_S: Final = 10.0
"""A zygote that is killed is replaced at once, but not more often than this."""
_log = logging.getLogger("shoal.launcher")


def pause_s(failures: int) -> float:
    """How long no other zygote is tried after some that could not be used: 0.5 s to a minute.

    Args:
        failures: in a row, from 1.
    """
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(max(failures, 1) - 1, 16)))


class Launcher:
    """Starts worker processes. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zygote: ZygoteProcess | None = None
        self._failures = 0
        self._not_before = 0.0
        self._why = ""
        self._replaced = float("-inf")
        self._is_closed = False

    @property
    def zygote_pid(self) -> int:
        """Process id of the zygote, 0 if there is none."""
        zygote = self._zygote
        return zygote.pid if zygote is not None and zygote.is_alive else 0

    def warm_up(self) -> None:
        """Start a zygote that is going to be needed soon. Does not wait for it."""
        with self._lock, contextlib.suppress(Unavailable, StorageError):
            self._current()

    def launch(self, title: str, handles: Sequence[int]) -> Child:
        """Start a process; takes milliseconds once the zygote runs.

        Args:
            title: what `ps` shows.
            handles: what the process has as descriptors 0, 1, 2 ...; the caller keeps its own.

        Raises:
            Unavailable: `runtime_broken`: onnxruntime cannot be loaded on this machine;
                `launch_timeout`: no answer in time. Worth trying again later.
            StorageError: `spawn_failed`: no room for another process.
        """
        try:
            return self._launch(title, handles)
        except Unavailable as error:
            if error.code != "launch_failed":
                raise
            # Killed under our hands. Another one is there in less than a second.
            return self._launch(title, handles)

    def close(self) -> None:
        """End the zygote. Workers that run are not touched. Nothing can be launched any more."""
        with self._lock:
            self._is_closed = True
            zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()

    def _launch(self, title: str, handles: Sequence[int]) -> Child:
        with self._lock:
            zygote = self._current()
        try:
            zygote.await_usable(time.monotonic() + USABLE_S)
        except Unavailable as error:
            with self._lock:
                self._failed(zygote, error)
            raise
        with self._lock:
            self._failures = 0
        return zygote.launch(title, handles, time.monotonic() + LAUNCH_S)

    def _gone(self, zygote: ZygoteProcess) -> None:
        """A zygote ended: the next crash of a worker shall not have to wait for another."""
        with self._lock:
            now = time.monotonic()
            if zygote.was_usable and not self._is_closed and now - self._replaced > _SOON_S:
                self._replaced = now
                with contextlib.suppress(Unavailable, StorageError):
                    self._current()

    def _current(self) -> ZygoteProcess:
        if self._is_closed:
            raise Unavailable("the agent is stopping", code="launcher_closed")
        if self._zygote is not None and self._zygote.is_alive:
            return self._zygote
        if time.monotonic() < self._not_before:
            raise broken(self._why)
        if self._zygote is not None:
            _log.warning("event=zygote_restarted pid=%d", self._zygote.pid)
        self._zygote = ZygoteProcess(self._gone)
        return self._zygote

    def _failed(self, zygote: ZygoteProcess, error: Unavailable) -> None:
        """Several may wait for one zygote: it counts once."""
        if self._zygote is not zygote:
            return
        zygote.kill()
        self._zygote = None
        self._failures += 1
        self._why = error.text
        self._not_before = time.monotonic() + pause_s(self._failures)
        _log.error("event=zygote_failed code=%s text=%r", error.code, error.text)
