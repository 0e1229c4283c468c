"""The worker's voice: events to the agent, one JSON line each, and the counters by the clock.

A thread of its own writes, so that an agent that does not read never holds up a message: the
queue is bounded, and what does not fit is dropped by whoever asked.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, Final

from msgspec import Struct

from edge_agent.runtime.protocol import WorkerStats, line

MAX_QUEUED: Final = 1000
_CLOSE_WAIT_S: Final = 1.0


class EventPipe:
    """Writes events in order.

    Args:
        stream: where to; a broken one is written to no more.
        stats: makes the counters; None for none.
        interval_s: between two of these.
    """

    def __init__(
        self, stream: BinaryIO, *, stats: Callable[[], WorkerStats] | None, interval_s: float
    ) -> None:
        self._stream = stream
        self._stats = stats
        self._interval_s = max(interval_s, 0.05)
        self._queue: queue.SimpleQueue[Struct | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="events", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def send(self, event: Struct) -> None:
        """Queue an event that must not be lost. These are few."""
        self._queue.put(event)

    def offer(self, event: Struct) -> bool:
        """Queue an event if there is room; returns whether there was."""
        if self._queue.qsize() >= MAX_QUEUED:
            return False
        self._queue.put(event)
        return True

    def send_stats(self) -> None:
        """Queue the counters as they are now."""
        if self._stats is not None:
            self._queue.put(self._stats())

    def close(self) -> None:
        """Write what is queued and end, within a second."""
        self._queue.put(None)
        self._thread.join(_CLOSE_WAIT_S)

    def _write_all(self) -> None:
        due = time.monotonic() + self._interval_s
        while True:
            try:
                event = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                due += self._interval_s
                event = self._stats() if self._stats is not None else None
                if event is None:
                    continue
            else:
                if event is None:
                    return
            # A broken pipe is an agent that is gone; the end of our standard input says so, too.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line(event))
                self._stream.flush()
