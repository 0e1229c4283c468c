"""Scores of answers, counted by the bins of the module's profile. No I/O, fixed memory.

Which numbers of an answer are its scores is said here and in the contract alone: the profile, the
counts of a worker and a shadow's comparison take the same ones. Must cost next to nothing a
message: it looks at each run of the model once, however many messages shared it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import UnsetType

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.scores import ScoreBins, score_output
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.outputs import RunOutputs
from edge_agent.runtime.session import Array

_FEW: Final = 8
"""Rows that are sooner counted one by one than together."""


def rows_of(array: Array, spec: TensorSpec) -> Array:
    """An output as rows of scores, [N, C].

    Args:
        array: of one run; one of a single row may have lost its first dimension.
        spec: of the output.
    """
    has_rows = spec.shape[:1] in ((-1,), (1,)) and array.ndim == len(spec.shape)
    return array.reshape(array.shape[0] if has_rows and array.size else 1, -1)


class ScoreCounts:
    """How many scores fell into each bin. Written by one thread, read by another.

    Args:
        at: which output they are taken from.
        spec: of that output.
        columns: the bins.

    Attributes:
        output: name of the output that they are taken from.
    """

    def __init__(self, at: int, spec: TensorSpec, columns: Sequence[ScoreBins]) -> None:
        self.output = spec.name
        self._at = at
        self._spec = spec
        self._columns = [_Column(bins) for bins in columns]
        # Nearly all models give tables of numbers; these are counted without another call a score.
        self._is_table = len(spec.shape) == 2 and spec.shape[0] in (-1, 1)
        self._numbers = [
            (column.edges, column.counts, column.last)
            for column in self._columns
            if not column.labels
        ]

    @classmethod
    def of(cls, manifest: Manifest) -> "ScoreCounts | None":
        """Those of a module; None if it has no profile."""
        profile = manifest.health.profile
        if isinstance(profile, UnsetType):
            return None
        outputs = manifest.model.outputs
        at = score_output(outputs)
        return cls(at, outputs[at], profile.columns)

    def add(self, run: RunOutputs) -> None:
        """Count the scores of one run."""
        self.add_array(run.arrays[self._at])

    def add_array(self, array: Array) -> None:
        """Count the scores of one run, given the output that they are in."""
        rows = array if self._is_table and array.ndim == 2 else rows_of(array, self._spec)
        if len(rows) > _FEW or not self._numbers:
            for column, index in zip(self._columns, range(rows.shape[1]), strict=False):
                column.add_all(rows[:, index])
            return
        # A row may be shorter than the profile's were, or longer.
        numbers = self._numbers
        for row in rows.tolist():
            for (edges, counts, last), score in zip(numbers, row, strict=False):
                counts[bisect_left(edges, score) if score == score else last] += 1

    def counts(self) -> tuple[int, ...]:
        """Of all columns, one behind the other."""
        return tuple(count for column in self._columns for count in column.counts)


class _Column:
    """Counts of one column."""

    def __init__(self, bins: ScoreBins) -> None:
        self.edges = list(bins.edges)
        self.last = len(bins.counts) - 1
        self.counts = [0] * len(bins.counts)
        # Any: a key is whatever a model may call a class.
        self.labels: dict[Any, int] = {label: at for at, label in enumerate(bins.labels)}
        self._all_edges = np.array(bins.edges, dtype=np.float64)

    def add_all(self, scores: Array) -> None:
        """Count scores, [N]."""
        if self.labels:
            for score in scores.tolist():
                self.counts[self.labels.get(score, self.last)] += 1
            return
        places = self._all_edges.searchsorted(scores)
        found = np.bincount(places, minlength=self.last + 1)
        # They were put behind all numbers, and are none. Taken away before anything is counted:
        # who reads takes a counter that went down for one that began anew.
        missing = np.count_nonzero(scores != scores)
        found[self.last - 1] -= missing
        found[self.last] += missing
        for place, count in enumerate(found.tolist()):
            self.counts[place] += count
