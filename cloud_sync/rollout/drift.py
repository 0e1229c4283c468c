"""How far the scores of a version are from its reference profile: the index, and its noise. Pure.

The population stability index of few scores is large by chance alone: with b bins and n scores it
is about (b - 1) / n. That, and how unsteady it is, is told with it.
"""

import math
from collections.abc import Sequence
from typing import Final

from cloud_sync.rollout.observation import Measures, Sample

ALIKE: Final = 4.0
"""Scores of neighbouring messages are alike: so many count as one."""

_SMOOTHING: Final = 0.5
"""Added to every bin: an empty one would make the index infinite."""


def drift_of(
    measures: Measures, profile: Sequence[float], columns: Sequence[int], rows: int
) -> Sample | None:
    """The index of the column that is the furthest away.

    Args:
        measures: with counts by the profile's bins, those of its columns one behind the other.
        profile: shares in the same bins.
        columns: bins of each column; empty for one column of all.
        rows: samples that the profile was built from; 0 for very many.

    Returns:
        None if nothing was counted, or by other bins.
    """
    scores = measures.scores
    if not profile or len(scores) != len(profile) or not sum(scores):
        return None
    sizes = tuple(columns) if sum(columns) == len(profile) else (len(profile),)
    worst: Sample | None = None
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        found = _index(scores[part], profile[part], rows, measures.devices)
        start += size
        if found is not None and (
            worst is None or found.mean - found.bias > worst.mean - worst.bias
        ):
            worst = found
    return worst


def _index(
    counts: Sequence[int], shares: Sequence[float], rows: int, devices: int
) -> Sample | None:
    whole = sum(counts)
    if not whole:
        return None
    size = max(1.0, whole / ALIKE)
    bins = len(counts)
    index = 0.0
    reference = rows or whole
    for count, share in zip(counts, shares, strict=True):
        p = (count / ALIKE + _SMOOTHING) / (size + _SMOOTHING * bins)
        q = (share * reference + _SMOOTHING) / (reference + _SMOOTHING * bins)
        index += (p - q) * math.log(p / q)
    each = 1 / size + (1 / rows if rows else 0.0)
    number = max(1, devices)
    return Sample(
        devices=number,
        mean=index,
        # Of the mean of devices; `weigh_sample` divides by their number.
        noise=number * (4 * index * each + 2 * (bins - 1) * each**2),
        bias=(bins - 1) * each,
    )
