"""How far two distributions of scores are apart: the population stability index. Pure, bounded.

The index is the sum over bins of (p - q) ln(p / q), where p and q are the two shares of a bin.
Below 0.1 two distributions are usually called alike, above 0.25 different. The bins come from the
reference alone: tenths of its first numbers, or its first labels themselves.
Must never keep more than these first values, however many follow.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

LEAST_VALUES: Final = 200
"""With fewer pairs the index is mostly noise, and None is reported."""

_FIRST_VALUES: Final = 500
_PARTS: Final = 10
_MOST_LABELS: Final = 32
_SMOOTHING: Final = 0.5
"""Added to every bin: an empty one would make the index infinite."""

Score = float | int | str
"""A float is a number, anything else a label."""


def stability_index(reference: Sequence[int], other: Sequence[int]) -> float:
    """The population stability index of two histograms with the same bins.

    Args:
        reference: how many values fell into each bin.
        other: the same for the other distribution.

    Returns:
        0 for equal shares; the larger, the further they are apart.
    """
    bins = len(reference)
    whole = sum(reference) + _SMOOTHING * bins
    other_whole = sum(other) + _SMOOTHING * bins
    index = 0.0
    for left, right in zip(reference, other, strict=True):
        p = (left + _SMOOTHING) / whole
        q = (right + _SMOOTHING) / other_whole
        index += (p - q) * math.log(p / q)
    return index


class ScoreDrift:
    """Compares the scores of a shadow with those of the version that answers, pair by pair."""

    def __init__(self) -> None:
        self._first: list[tuple[Score, Score]] = []
        self._edges: list[float] = []
        self._labels: dict[Score, int] = {}
        self._reference: list[int] = []
        self._other: list[int] = []
        self.pairs = 0

    def add(self, reference: Score, other: Score) -> None:
        """Take one pair of scores of the same message."""
        self.pairs += 1
        if self._reference:
            self._count(reference, other)
            return
        self._first.append((reference, other))
        if len(self._first) >= _FIRST_VALUES:
            self._fix_bins()

    def index(self) -> float | None:
        """The index of all pairs so far, or None with fewer than `LEAST_VALUES`."""
        if self.pairs < LEAST_VALUES:
            return None
        first = list(self._first)
        if first:
            # Asked before the bins are fixed: count what is here into bins of its own.
            draft = ScoreDrift()
            draft._first = first
            draft._fix_bins()
            return stability_index(draft._reference, draft._other)
        return stability_index(self._reference, self._other)

    def _fix_bins(self) -> None:
        values = [reference for reference, _ in self._first]
        numbers = [value for value in values if isinstance(value, float)]
        if len(numbers) < len(values):
            shown = sorted(set(values), key=str)[:_MOST_LABELS]
            self._labels = {value: number for number, value in enumerate(shown)}
            bins = len(shown) + 1  # the last is for what the reference had not shown
        else:
            self._edges = _edges([number for number in numbers if math.isfinite(number)])
            bins = len(self._edges) + 2  # behind the last edge, and what is no number
        self._reference, self._other = [0] * bins, [0] * bins
        first, self._first = self._first, []
        for reference, other in first:
            self._count(reference, other)

    def _count(self, reference: Score, other: Score) -> None:
        self._reference[self._bin(reference)] += 1
        self._other[self._bin(other)] += 1

    def _bin(self, value: Score) -> int:
        if self._labels:
            return self._labels.get(value, len(self._labels))
        if not isinstance(value, float) or math.isnan(value):
            return len(self._edges) + 1
        return bisect_left(self._edges, value)


def _edges(values: Sequence[float]) -> list[float]:
    """Upper bounds of tenths. A value that fills a tenth by itself gets a bin of its own."""
    if not values:
        return []
    ordered = sorted(values)
    places = [ordered[len(ordered) * part // _PARTS] for part in range(1, _PARTS)]
    edges = set(places)
    edges.update(math.nextafter(edge, -math.inf) for edge in places if places.count(edge) > 1)
    return sorted(edges)
