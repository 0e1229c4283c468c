"""Sliding windows over the rows of each source topic.

Bounded: only so many topics, and so many bytes, are kept; the topic that was silent for longest
is forgotten first, and that is counted. A window lives in memory only: a restart or a new version
begins anew. Rows are acknowledged when they come in, so those that waited then are lost, and are
not counted.
"""

from collections import OrderedDict
from typing import Final

import numpy as np

from edge_agent.contract.manifest import Window
from edge_agent.errors import MessageError
from edge_agent.runtime.session import Array

MAX_SOURCES: Final = 1024
MAX_BYTES: Final = 256 * 2**20
_SPARE_ROWS: Final = 64


class WindowBuffer:
    """The latest rows of one source topic, of all tensors in step.

    Args:
        window: size and step.
        first: arrays [n, F] of the first rows; they give F and dtype of each tensor.
    """

    def __init__(self, window: Window, first: list[Array]) -> None:
        self._size = window.size
        self._step = window.step
        # With room for as many rows again, moving the rest to the front costs one row each.
        self._capacity = 2 * window.size + _SPARE_ROWS
        self._buffers = [np.empty((self._capacity, a.shape[1]), a.dtype) for a in first]
        self._start = 0
        self._end = 0
        self._to_skip = 0

    @property
    def size_bytes(self) -> int:
        """Memory of the buffers, bytes."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def fits(self, rows: list[Array]) -> bool:
        """Whether rows are as long as the first ones were."""
        return all(b.shape[1] == a.shape[1] for b, a in zip(self._buffers, rows, strict=True))

    def push(self, rows: list[Array]) -> list[list[Array]]:
        """Add rows.

        Args:
            rows: an array [n, F] for each tensor.

        Returns:
            The windows that became full, oldest first; each an array [size, F] for each tensor.
        """
        windows: list[list[Array]] = []
        for index in range(len(rows[0])):
            if self._to_skip:
                self._to_skip -= 1
                continue
            if self._end == self._capacity:
                self._move_to_front()
            for buffer, array in zip(self._buffers, rows, strict=True):
                buffer[self._end] = array[index]
            self._end += 1
            if self._end - self._start == self._size:
                # Copied, because the next row may move the buffer before the model has run.
                windows.append([b[self._start : self._end].copy() for b in self._buffers])
                self._start += min(self._step, self._size)
                self._to_skip = max(0, self._step - self._size)
        return windows

    def _move_to_front(self) -> None:
        kept = self._end - self._start
        for buffer in self._buffers:
            buffer[:kept] = buffer[self._start : self._end].copy()
        self._start, self._end = 0, kept


class WindowStore:
    """The buffers of all source topics.

    Attributes:
        forgotten: topics that were dropped to stay within the bounds.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._buffers: OrderedDict[str, WindowBuffer] = OrderedDict()
        self._bytes = 0
        self.forgotten = 0

    def push(self, topic: str, rows: list[Array]) -> list[list[Array]]:
        """Add rows of a source topic; see `WindowBuffer.push`.

        Raises:
            MessageError: `wrong_shape`, rows of another length than this topic's earlier ones.
        """
        buffer = self._buffers.get(topic)
        if buffer is None:
            buffer = self._buffers[topic] = WindowBuffer(self._window, rows)
            self._bytes += buffer.size_bytes
            self._forget_oldest()
        else:
            if not buffer.fits(rows):
                raise MessageError(
                    "rows expected the same length as earlier rows of this topic",
                    code="wrong_shape",
                )
            self._buffers.move_to_end(topic)
        return buffer.push(rows)

    def clear(self) -> None:
        """Forget all rows."""
        self._buffers.clear()
        self._bytes = 0

    def _forget_oldest(self) -> None:
        while len(self._buffers) > 1 and (
            len(self._buffers) > MAX_SOURCES or self._bytes > MAX_BYTES
        ):
            _, dropped = self._buffers.popitem(last=False)
            self._bytes -= dropped.size_bytes
            self.forgotten += 1
