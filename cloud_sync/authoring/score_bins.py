"""Bins for the scores of a version, chosen from the scores that it gave on samples. Pure.

The same samples and model give the same bins on every machine: a bound of a bin is put into the
gap between two scores that were seen, so that the last digits of a score, in which processors
differ, decide nothing.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from cloud_sync.errors import ModuleError
from edge_agent.contract.scores import MOST_COLUMNS, MOST_LABELS, Profile, ScoreBins

LEAST_ROWS: Final = 200
"""Fewer rows tell little about a distribution: their own noise would look like drift."""

_PARTS: Final = 10
_APART: Final = 1e-6
"""Scores that are no further apart, of all that the scores span, are the same."""


def profile_of(output: str, rows: Sequence[Sequence[Any]]) -> Profile:
    """The profile of scores.

    Args:
        output: of the model, that they are from.
        rows: scores of each row of the model; floats are numbers, anything else labels.
            Any: whatever a tensor may hold.

    Raises:
        ModuleError: `profile_impossible`: too few rows, or no numbers among them.
    """
    if len(rows) < LEAST_ROWS:
        raise ModuleError(
            f"a profile of scores expected at least {LEAST_ROWS} rows, found {len(rows)}",
            hint="give more messages that the model can answer",
            code="profile_impossible",
        )
    width = min(MOST_COLUMNS, min(len(row) for row in rows))
    columns = [[row[index] for row in rows] for index in range(width)]
    if not columns:
        raise ModuleError(
            f"output {output!r} expected at least one score a row, found none",
            hint="name another output first in [model] outputs",
            code="profile_impossible",
        )
    return Profile(output=output, columns=tuple(_bins(output, column) for column in columns))


def _bins(output: str, scores: Sequence[Any]) -> ScoreBins:
    if not all(isinstance(score, float) for score in scores):
        return _label_bins(scores)
    edges = _edges(sorted(score for score in scores if math.isfinite(score)))
    if not edges:
        raise ModuleError(
            f"output {output!r} expected numbers, found none that is finite",
            hint="look at the model and at the samples: it answers with NaN or infinities",
            code="profile_impossible",
        )
    counts = [0] * (len(edges) + 2)
    for score in scores:
        counts[len(edges) + 1 if math.isnan(score) else _place(edges, score)] += 1
    return ScoreBins(edges=tuple(edges), counts=tuple(counts))


def _label_bins(scores: Sequence[Any]) -> ScoreBins:
    found = Counter(scores)
    common = sorted(found, key=lambda label: (-found[label], str(label)))[:MOST_LABELS]
    labels = tuple(sorted(common, key=str))
    counts = [found[label] for label in labels]
    return ScoreBins(labels=labels, counts=(*counts, len(scores) - sum(counts)))


def _place(edges: Sequence[float], score: float) -> int:
    return next((at for at, edge in enumerate(edges) if score <= edge), len(edges))


def _edges(ordered: Sequence[float]) -> list[float]:
    """Bounds of tenths. A score that fills a tenth by itself gets a bin of its own."""
    if not ordered:
        return []
    groups = _groups(ordered)
    # The group of each score, in order.
    members = [number for number, group in enumerate(groups) for _ in range(group.count)]
    places = [members[len(members) * part // _PARTS] for part in range(1, _PARTS)]
    edges: set[float] = set()
    for place in set(places):
        high = groups[place].high
        edges.add(_between(high, groups[place + 1].low) if place + 1 < len(groups) else _up(high))
        if places.count(place) > 1:
            low = groups[place].low
            edges.add(_between(groups[place - 1].high, low) if place else -_up(-low))
    return sorted(edges)


class _Group(Struct):
    """Scores that are so near to each other that they are the same."""

    low: float
    high: float
    count: int


def _groups(ordered: Sequence[float]) -> list[_Group]:
    least = _APART * (ordered[-1] - ordered[0])
    groups: list[_Group] = []
    for score in ordered:
        if groups and score - groups[-1].high <= least:
            groups[-1].high = score
            groups[-1].count += 1
        else:
            groups.append(_Group(score, score, 1))
    return groups


def _up(value: float) -> float:
    """A bound above the largest score; as far as digits of a float32 can lie apart."""
    return value + _APART * (1 + abs(value))


def _between(low: float, high: float) -> float:
    """The shortest number in the middle half of a gap."""
    middle, quarter = (low + high) / 2, (high - low) / 4
    for digits in range(1, 17):
        short = float(f"{middle:.{digits}g}")
        if abs(short - middle) <= quarter:
            return short
    return middle
