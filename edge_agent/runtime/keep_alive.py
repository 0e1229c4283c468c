"""How long a broker may be silent: after a connection is made, and while it is kept.

Two limits, one after the other: the broker has `ACCEPT_TIMEOUT_S` to accept the connection and the
subscription; then it is asked for a sign of life whenever the interval has passed, and twice
without one is the end. Knows when to ask and when to give up, not how; sends and closes nothing.
"""

from collections.abc import Callable
from typing import Final

from edge_agent.runtime.loop import Loop, Timer

ACCEPT_TIMEOUT_S: Final = 10.0
"""For the broker's word to CONNECT and SUBSCRIBE."""
KEEPALIVE_S: Final = 30
"""The longest silence between two packets of ours that the broker is told of."""


class KeepAlive:
    """The patience with the broker of one connection at a time.

    Args:
        loop: that calls. All methods belong to its thread.
        ask: asks the broker for a sign of life.
        on_late: called when the broker has not accepted the connection in time.
        on_silent: called when it gave no sign of life since it was asked for one.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        ask: Callable[[], None],
        on_late: Callable[[], None],
        on_silent: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._on_late = on_late
        self._on_silent = on_silent
        self._timer: Timer | None = None
        self._interval_s = KEEPALIVE_S / 2
        self._has_news = True

    def connecting(self) -> None:
        """A connection was made: the broker has a while to accept it."""
        self._wait(ACCEPT_TIMEOUT_S, self._on_late)

    def agreed(self, broker_s: int | None) -> None:
        """The broker has accepted the connection, and may want another interval.

        Args:
            broker_s: the longest silence that it allows, seconds; None or 0 for what we said.
        """
        self._interval_s = min(broker_s or KEEPALIVE_S, KEEPALIVE_S) / 2

    def subscribed(self) -> None:
        """From now on the broker is asked."""
        self._has_news = True
        self._wait(self._interval_s, self._look)

    def heard(self) -> None:
        """The broker has sent something."""
        self._has_news = True

    def stop(self) -> None:
        """The connection is over: nothing is asked any more, until the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if not self._has_news:
            self._on_silent()
            return
        self._has_news = False
        self._ask()
        # Not if that was when the loss of the connection was noticed.
        if self._timer is not None:
            self._wait(self._interval_s, self._look)

    def _wait(self, seconds: float, call: Callable[[], None]) -> None:
        self.stop()
        self._timer = self._loop.after(seconds, call)
