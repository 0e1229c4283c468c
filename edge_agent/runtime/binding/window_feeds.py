"""Full windows to what a model is fed, and messages to the rows that windows collect."""

import numpy as np

from edge_agent.errors import MessageError
from edge_agent.runtime.binding.bound import Bound
from edge_agent.runtime.binding.constant import Constant
from edge_agent.runtime.binding.source import RowSource
from edge_agent.runtime.binding.window import Rows
from edge_agent.runtime.session import Array, Feed


class WindowFeeds:
    """The feeds of windows.

    Args:
        sources: of the rows.
        constants: of every feed.
        is_stacked: whether several windows may share a run.
        is_sequential: whether each window needs the state that the one before it left.
    """

    def __init__(
        self,
        sources: list[RowSource],
        constants: list[Constant],
        *,
        is_stacked: bool,
        is_sequential: bool,
    ) -> None:
        self._sources = sources
        self._constants = constants
        self._is_stacked = is_stacked
        self._is_sequential = is_sequential

    def rows(self, messages: list[object], *, is_list: bool) -> tuple[Rows, bool]:
        """The rows of messages, and whether they are one row that came alone.

        Raises:
            MessageError: the messages do not fit.
        """
        rows: Rows = []
        is_single = True
        for source in self._sources:
            array, is_alone = source.rows(messages, is_list=is_list)
            is_single = is_single and is_alone
            rows.append(array)
            if len(array) != len(rows[0]):
                raise MessageError(
                    f"tensor {source.name!r} expected {len(rows[0])} rows as the others have, "
                    f"found {len(array)}",
                    code="wrong_shape",
                    hint="send as many rows for each tensor of a message",
                )
        return rows, is_single

    def bound(self, full: list[Rows], *, is_single: bool) -> Bound:
        """What windows ask the model.

        Args:
            full: at least one window.
            is_single: whether they became full by a row that came alone.
        """
        if self._is_stacked and (len(full) == 1 or not self._is_sequential):
            feed: Feed = {}
            for index, source in enumerate(self._sources):
                stacked = [window[index].reshape(1, *source.layout.row) for window in full]
                feed[source.name] = _joined(stacked)
            for constant in self._constants:
                feed[constant.name] = constant.fill(len(full))
            return Bound((feed,), len(full), False, is_single, may_join=True)
        runs = tuple(self._run(window) for window in full)
        adds_rows = any(source.layout.has_rows for source in self._sources)
        return Bound(runs, len(full), not is_single, adds_rows)

    def _run(self, window: Rows) -> Feed:
        feed: Feed = {}
        for array, source in zip(window, self._sources, strict=True):
            layout = source.layout
            feed[source.name] = array.reshape(*((1,) if layout.has_rows else ()), *layout.row)
        for constant in self._constants:
            feed[constant.name] = constant.fill(1)
        return feed


def _joined(arrays: list[Array]) -> Array:
    if len(arrays) == 1:
        return arrays[0]
    joined: Array = np.concatenate(arrays)
    return joined
