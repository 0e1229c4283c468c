"""When a shadow's windows begin, so that they hold the same rows as those it is compared with.

A shadow comes in the middle of a stream. The window of the slot that it shadows is full when a
result is published; from there the shadow waits for as many rows as bring its own first window's
end to the end of one of those. Pure; counts one row a message.
"""

from typing import Final

_MOST_TOPICS: Final = 4096


class Alignment:
    """Which messages a shadow with windows takes.

    Args:
        size: rows in a window.
        step: rows from the start of one window to the start of the next.
    """

    def __init__(self, size: int, step: int) -> None:
        self._wait = -size % step
        self._left: dict[str, int] = {}

    def forget(self) -> None:
        """Rows were missed: begin anew on every topic."""
        self._left.clear()

    def takes(self, topic: str, *, is_window_full: bool) -> bool:
        """Whether the shadow takes this message.

        Args:
            topic: of the message.
            is_window_full: whether the message got a result where it was answered.
        """
        left = self._left.get(topic)
        if left is None:
            if is_window_full:
                if len(self._left) >= _MOST_TOPICS:
                    self._left.clear()
                self._left[topic] = self._wait
            return False
        if left:
            self._left[topic] = left - 1
            return False
        return True
