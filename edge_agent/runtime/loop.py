"""The worker's one thread: it waits for sockets, timers and calls, and then for work.

Knows nothing of MQTT, HTTP or models. Each turn it takes what has arrived and then runs at most
one piece of work, so that work finds together what arrived while the piece before it ran. When
nothing is to be done it sleeps in the kernel. A callback must not raise and must not wait.
"""

import collections
import contextlib
import heapq
import itertools
import select
import socket
import time
from collections.abc import Callable
from typing import Final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
_EITHER: Final = READ | WRITE

OnReady = Callable[[int], None]
"""Told which of READ and WRITE a file descriptor is ready for; all that is watched if it is broken,
because reading or writing finds out how."""


class Timer:
    """A call at a time; `cancel` takes it back."""

    __slots__ = ("call", "due_s")

    def __init__(self, due_s: float, call: Callable[[], None]) -> None:
        self.due_s = due_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never call it. May be called twice, and after the call."""
        self.call = None


class Work:
    """Something that is done piece by piece between two looks at the sockets.

    Args:
        due: seconds until the next piece must run; None if there is none.
        run: runs one piece.
    """

    __slots__ = ("due", "run")

    def __init__(self, due: Callable[[], float | None], run: Callable[[], None]) -> None:
        self.due = due
        self.run = run


class Loop:
    """Callbacks by file descriptor, timers, calls from elsewhere, and work.

    Everything belongs to the thread that runs it, but `call_soon` and `stop`.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, OnReady] = {}
        self._watched: dict[int, int] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._calls: collections.deque[Callable[[], None]] = collections.deque()
        self._work: list[Work] = []
        self._is_stopped = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self.add(self._wake_read.fileno(), READ, self._awake)

    def add(self, fd: int, events: int, on_ready: OnReady) -> None:
        """Watch a file descriptor for READ, WRITE or both, until `remove`."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = on_ready
        self._watched[fd] = events

    def modify(self, fd: int, events: int) -> None:
        """Watch it for something else."""
        self._epoll.modify(fd, events)
        self._watched[fd] = events

    def remove(self, fd: int) -> None:
        """Watch it no more. Call this before the file descriptor is closed."""
        self._epoll.unregister(fd)
        del self._callbacks[fd], self._watched[fd]

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call something once, in a while."""
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, (timer.due_s, next(self._order), timer))
        return timer

    def add_work(self, work: Work) -> None:
        """Ask for work in every turn from now on."""
        self._work.append(work)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call something in the loop's thread. From any thread, and from a signal handler."""
        self._calls.append(call)
        with contextlib.suppress(OSError):  # full: it is awake; closed: it has ended
            self._wake_write.send(b"\0")

    def stop(self) -> None:
        """Have `run` return after this turn. From any thread, and from a signal handler."""
        self.call_soon(self._end)

    def run(self) -> None:
        """Turn until `stop`."""
        while not self._is_stopped:
            self._turn()

    def close(self) -> None:
        """Give the loop's own file descriptors back; after `run` has returned."""
        self._epoll.close()
        self._wake_read.close()
        self._wake_write.close()

    def _end(self) -> None:
        self._is_stopped = True

    def _turn(self) -> None:
        callbacks = self._callbacks
        for fd, events in self._epoll.poll(self._sleep_s(), len(callbacks)):
            on_ready = callbacks.get(fd)
            if on_ready is not None:  # a callback before this one may have removed it
                on_ready(events if events <= _EITHER else self._watched[fd])
        if self._timers:
            self._run_timers()
        for work in self._work:
            seconds = work.due()
            if seconds is not None and seconds <= 0:
                work.run()

    def _sleep_s(self) -> float | None:
        """Seconds until something must be done; None if nothing is known that must be."""
        if self._calls or self._is_stopped:
            return 0.0
        least: float | None = None
        if self._timers:
            least = self._timers[0][0] - time.monotonic()
        for work in self._work:
            seconds = work.due()
            if seconds is not None and (least is None or seconds < least):
                least = seconds
        return None if least is None else max(0.0, least)

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()

    def _awake(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        for _ in range(len(self._calls)):
            self._calls.popleft()()
