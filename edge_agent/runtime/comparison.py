"""What a shadow's answers are like beside those of the version that answers. No I/O, bounded.

Numbers are compared as golden cases are: floats within the module's tolerance, everything else
exactly. Outputs are matched by name; what only one of the two versions computes is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from edge_agent.contract.messages import ShadowHealth
from edge_agent.contract.scores import MOST_COLUMNS, score_output
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.mirrored import Run
from edge_agent.runtime.psi import ScoreDrift
from edge_agent.runtime.scores import rows_of
from edge_agent.runtime.session import Array

NOTHING_COMMON: Final = "no_common_output"
"""The two versions have no output of the same name."""


class Outcome(Struct, frozen=True):
    """What became of one message.

    Attributes:
        runs: outputs of each run; None if there is no result.
        code: of the error; empty without one. Neither: it only filled a window.
    """

    runs: Sequence[Run] | None = None
    code: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether a result or an error was published."""
        return self.runs is not None or bool(self.code)


class Comparison:
    """Agreement with one version, since it was first heard of.

    Args:
        of: the slot that answers.
        version: that answers in it.
        names: of its outputs, in order.
        outputs: of the shadow's model, in order.
        tolerance: of the shadow's module.
    """

    def __init__(
        self,
        *,
        of: str,
        version: int,
        names: Sequence[str],
        outputs: Sequence[TensorSpec],
        tolerance: float,
    ) -> None:
        self.version = version
        self._of = of
        self._tolerance = tolerance
        self._outputs = outputs
        own_names = [spec.name for spec in outputs]
        self._shared = [
            (index, own_names.index(name)) for index, name in enumerate(names) if name in own_names
        ]
        self._drifts: list[ScoreDrift] = []
        self.seen = 0
        self.agreed = 0
        self.failed = 0
        self.shed: dict[str, int] = {}
        self.max_difference = 0.0

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count answered messages that were not compared."""
        if count:
            self.shed[reason] = self.shed.get(reason, 0) + count

    def add(self, live: Outcome, own: Outcome) -> None:
        """Compare what became of one message here and there.

        A message without an answer there is not counted. One that filled a window here, but got
        an answer there, cannot be compared: the two windows began at different rows.
        """
        if not live.is_answered:
            return
        if not own.is_answered:
            self.leave_out("window")
            return
        if not self._shared:
            # Deployments like that are refused; a roll-back may still lead here.
            self.leave_out(NOTHING_COMMON)
            return
        self.seen += 1
        if live.runs is None or own.runs is None:
            if live.runs is not None or own.runs is not None:
                self.failed += 1
            elif live.code == own.code:
                self.agreed += 1
            return
        self._compare(live.runs, own.runs)

    def health(self, *, shed: Mapping[str, int], cpu_share: float) -> ShadowHealth:
        """All of it, as it is reported.

        Args:
            shed: what the live worker left out, by reason, besides what is counted here.
            cpu_share: of one core that was used, 0 to 1.
        """
        left_out = dict(self.shed)
        for reason, count in shed.items():
            left_out[reason] = left_out.get(reason, 0) + count
        known = [index for drift in self._drifts if (index := drift.index()) is not None]
        return ShadowHealth(
            of=self._of,
            version=self.version,
            seen=self.seen,
            shed=left_out,
            agreed=self.agreed,
            failed=self.failed,
            max_difference=self.max_difference,
            psi=round(max(known), 6) if known else None,
            cpu_share=round(cpu_share, 4),
        )

    def _compare(self, live: Sequence[Run], own: Sequence[Run]) -> None:
        is_same = len(live) == len(own)
        for expected_run, found_run in zip(live, own, strict=False):
            for index, own_index in self._shared:
                difference = difference_of(
                    expected_run[index], found_run[own_index], self._tolerance
                )
                self.max_difference = max(self.max_difference, difference.largest)
                is_same = is_same and difference.is_within
            self._add_scores(expected_run, found_run)
        self.agreed += is_same

    def _add_scores(self, live: Run, own: Run) -> None:
        """The same scores as everywhere, of the outputs that both versions have."""
        shared = [self._outputs[own_index] for _, own_index in self._shared]
        index, own_index = self._shared[score_output(shared)]
        spec = self._outputs[own_index]
        left, right = rows_of(live[index], spec), rows_of(own[own_index], spec)
        if left.shape != right.shape:
            return
        columns = min(left.shape[1], MOST_COLUMNS)
        while len(self._drifts) < columns:
            self._drifts.append(ScoreDrift())
        for row, own_row in zip(left.tolist(), right.tolist(), strict=True):
            for drift, score, own_score in zip(self._drifts, row, own_row, strict=False):
                drift.add(score, own_score)


class Difference(Struct, frozen=True):
    """How far two arrays are apart.

    Attributes:
        is_within: whether they are the same within the tolerance.
        largest: absolute difference of two finite numbers.
    """

    is_within: bool
    largest: float


def difference_of(expected: Array, found: Array, tolerance: float) -> Difference:
    """Compare two arrays of any type and shape.

    Args:
        expected: of the version that answers.
        found: of the shadow.
        tolerance: difference that a float may have, relative to 1 + its size.
    """
    if expected.shape != found.shape or expected.dtype.kind != found.dtype.kind:
        return Difference(False, 0.0)
    if expected.dtype.kind not in "fiu":
        return Difference(bool(np.array_equal(expected, found)), 0.0)
    if expected.size == 0:
        return Difference(True, 0.0)
    left, right = expected.astype(np.float64), found.astype(np.float64)
    is_finite = np.isfinite(left) & np.isfinite(right)
    apart = np.abs(np.where(is_finite, left, 0.0) - np.where(is_finite, right, 0.0))
    largest = float(apart.max())
    if expected.dtype.kind != "f":
        return Difference(bool(np.array_equal(expected, found)), largest)
    is_near = apart <= tolerance * (1 + np.abs(np.where(is_finite, left, 0.0)))
    is_same_kind = is_finite | (left == right) | (np.isnan(left) & np.isnan(right))
    return Difference(bool((is_near & is_same_kind).all()), largest)
