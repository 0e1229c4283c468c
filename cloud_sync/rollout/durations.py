"""What a histogram of durations tells: a quantile, and how many were longer than a bound. Pure.

The bounds of the buckets are those of the contract, and a limit seldom is one of them. What falls
into the limit's own bucket may be on either side: so a count has a least and a most, and nothing
is invented between them.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from cloud_sync.fleet.measures import Spell
from edge_agent.contract.messages import TIME_BOUNDS_MS

LEAST_COUNT: Final = 100
"""Durations. Of fewer there is no 99th percentile."""

_TAIL: Final = 0.01


def quantile_ms(buckets: Sequence[float], share: float) -> float | None:
    """The duration that `share` (0 to 1) are not longer than; None if nobody can tell.

    Within its bucket durations are taken to be spread evenly over the logarithm.
    """
    whole = sum(buckets)
    if whole < LEAST_COUNT or len(buckets) != len(TIME_BOUNDS_MS) + 1:
        return None
    wanted, seen = share * whole, 0.0
    for index, count in enumerate(buckets[:-1]):
        if count and seen + count >= wanted:
            high = TIME_BOUNDS_MS[index]
            low = TIME_BOUNDS_MS[index - 1] if index else high / 2
            return float(low * (high / low) ** ((wanted - seen) / count))
        seen += count
    return None  # in the last one, which has no end


def longer(buckets: Sequence[float], bound_ms: float) -> tuple[float, float]:
    """How many were longer than a bound: surely, and at most."""
    if len(buckets) != len(TIME_BOUNDS_MS) + 1:
        return 0.0, sum(buckets)
    index = bisect_left(TIME_BOUNDS_MS, bound_ms)
    least = sum(buckets[index + 1 :])
    is_edge = index < len(TIME_BOUNDS_MS) and TIME_BOUNDS_MS[index] == bound_ms
    return least, least if is_edge else least + buckets[index]


def longer_of(spell: Spell, bound_ms: float) -> tuple[float, float]:
    """The same of one device, by what its newest worker knows better than its buckets.

    A worker keeps a finer histogram for itself and reports three points of it.
    """
    least, most = longer(spell.buckets, bound_ms)
    whole = sum(spell.buckets)
    known = min(spell.newest, whole)
    rest = whole - known  # what workers before it did
    if not known:
        return least, most
    if spell.max_ms <= bound_ms:
        most = min(most, rest)
    elif spell.p99_ms <= bound_ms:
        most = min(most, _TAIL * known + rest)
    elif spell.p50_ms <= bound_ms:
        least = max(least, _TAIL * known)
        most = min(most, known / 2 + rest)
    else:
        least = max(least, known / 2)
    return min(least, most), most


def bound_index(bound_ms: float) -> int:
    """Number of the first bound of the contract that is not below one; of the last at most."""
    return min(bisect_left(TIME_BOUNDS_MS, bound_ms), len(TIME_BOUNDS_MS) - 1)
