"""Runs of the model: on one message, or on several that lie in it one behind the other.

Messages are joined only where the model takes any number of rows, gives as many back, and was
seen to answer each row as if it were alone. A joined run that fails says nothing about any of
its messages: whoever called repeats it one by one.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.signature import DYNAMIC
from edge_agent.errors import ModelError
from edge_agent.runtime.binding.binding import Binding
from edge_agent.runtime.binding.bound import Bound
from edge_agent.runtime.measurement import zeros
from edge_agent.runtime.outputs import Outputs, RunOutputs
from edge_agent.runtime.session import Array, Feed, ModelSession

_now: Final = time.perf_counter
_SHRINKS: Final = frozenset({"out_of_memory", "run_timeout"})
"""What a joined run may fail of because it is large."""

RunCounter = Callable[[int, float], None]
"""(rows, microseconds) of each run of the model."""


class Runs:
    """Asks a model.

    Args:
        manifest: of the module.
        session: with the model.
        binding: that makes the feeds.

    Attributes:
        most_rows: of a joined run; 1 where messages must not be joined.
        on_begin: told before each run.
        on_run: told of each run that gave something.
    """

    def __init__(self, manifest: Manifest, session: ModelSession, binding: Binding) -> None:
        outputs = manifest.model.outputs
        computed = manifest.model.computed
        self._session = session
        self._binding = binding
        self._inputs = manifest.model.inputs
        self._names = [spec.name for spec in computed]
        self._published = tuple(spec.name for spec in outputs)
        self._keeps = (False,) * len(outputs)
        self._drops = tuple(spec.shape[:1] in ((DYNAMIC,), (1,)) for spec in outputs)
        self._can_join = binding.can_join and all(s.shape[:1] == (DYNAMIC,) for s in computed)
        self._max_batch = manifest.runtime.max_batch
        self.most_rows = 1
        self.on_begin: Callable[[], None] | None = None
        self.on_run: RunCounter | None = None

    def alone(self, bound: Bound) -> Outputs:
        """The outputs of one message.

        Raises:
            ModelError: the model failed on it.
        """
        runs: list[RunOutputs] = []
        for index, feed in enumerate(self._binding.feeds(bound)):
            arrays = self._run(feed, bound.rows)
            if bound.turn is not None:
                self._binding.check_states(arrays, 1)
                self._binding.keep(bound, index, arrays)
            runs.append(self._outputs(arrays))
        drops = self._drops if bound.adds_rows else self._keeps
        return Outputs(self._published, tuple(runs), 0, 0, drops, bound.is_list)

    def together(self, bounds: Sequence[Bound]) -> list[Outputs] | None:
        """The outputs of several messages from one run; None if it has to be done one by one."""
        rows = sum(bound.rows for bound in bounds)
        try:
            arrays = self._run(self._binding.join(bounds), rows)
            if bounds[0].turn is not None:
                # Before anything is kept of any message.
                self._binding.check_states(arrays, len(bounds))
        except ModelError as error:
            if error.code in _SHRINKS:
                self.most_rows = max(1, rows // 2)
            return None
        except (MemoryError, ValueError):  # not the same inner shapes
            return None
        if any(array.shape[:1] != (rows,) for array in arrays):
            self.most_rows = 1
            return None
        run = (self._outputs(arrays),)
        shares: list[Outputs] = []
        start = 0
        for bound in bounds:
            if bound.turn is not None:
                part = [array[start : start + bound.rows] for array in arrays]
                self._binding.keep(bound, 0, part)
            drops = self._drops if bound.adds_rows else self._keeps
            shares.append(Outputs(self._published, run, start, bound.rows, drops, False))
            start += bound.rows
        return shares

    def warm_up(self) -> None:
        """Run the model once, so that the first message does not pay for first use; and find out
        whether messages can be joined.

        A model may refuse made-up values; that says nothing about real messages. Then nothing is
        known about its rows either, and messages are not joined.
        """
        with contextlib.suppress(ModelError):
            self._session.run(self._names, zeros(self._inputs))
        with contextlib.suppress(ModelError):
            if self._can_join and self._max_batch > 1 and self._is_row_by_row():
                self.most_rows = self._max_batch

    def _is_row_by_row(self) -> bool:
        """Whether two different rows get the same answers together as each alone.

        A model may normalize over its batch, or sum it up: its shapes do not tell.
        """
        bounds = [
            Bound((feed,), 1, is_list=False, adds_rows=False, may_join=True)
            for feed in self._binding.sample(2)
        ]
        together = self._session.run(self._names, self._binding.join(bounds))
        if any(array.shape[:1] != (2,) for array in together):
            return False
        for row, bound in enumerate(bounds):
            alone = self._session.run(self._names, bound.runs[0])
            for joined, single in zip(together, alone, strict=True):
                if single.shape[:1] != (1,) or not _is_same(joined[row, ...], single[0, ...]):
                    return False
        return True

    def _outputs(self, arrays: list[Array]) -> RunOutputs:
        """What is published of a run; states that are only fed back are not."""
        return RunOutputs(arrays[: len(self._published)])

    def _run(self, feed: Feed, rows: int) -> list[Array]:
        if self.on_begin is not None:
            self.on_begin()
        if self.on_run is None:
            return self._session.run(self._names, feed)
        began = _now()
        arrays = self._session.run(self._names, feed)
        self.on_run(rows, (_now() - began) * 1e6)
        return arrays


def _is_same(left: Array, right: Array) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind == "f":
        return bool(np.allclose(left, right, rtol=1e-3, atol=1e-5, equal_nan=True))
    return bool(np.array_equal(left, right))
