"""The scores that simulated answers have, counted by the bins of the version's profile. Pure.

Nothing is inferred: a sound version's scores are spread as its profile says, and those of a
drifting one so far from it as its flaw says. Must give the same counts for the same number of
answers, however often it is asked, and counts that never go down.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from cloud_sync.simulator.chance import chance
from edge_agent.contract.scores import Profile

CYCLE: Final = 1000
"""Answers after which their scores come again; within it they are spread evenly."""

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_SMOOTHING: Final = 0.5
"""Of a bin in which the samples had nothing: as whoever judges counts it, no index is infinite."""
_HALVINGS: Final = 40


class ScoreCycle:
    """How the scores of one version fall into bins, for all devices that run it.

    Args:
        profile: of the version.
        psi: population stability index between its scores and the profile; 0 for as there. One
            that no scores reach becomes the largest that they do.
    """

    __slots__ = ("_before",)

    def __init__(self, profile: Profile, psi: float = 0.0) -> None:
        columns = [_drawn(drifted(column.counts, psi)) for column in profile.columns]
        bins = [0] * sum(profile.sizes)
        # What had fallen into each bin before each answer of a cycle, and after the last one.
        self._before = [tuple(bins)]
        for answer in range(CYCLE):
            start = 0
            for column, size in zip(columns, profile.sizes, strict=True):
                bins[start + column[answer]] += 1
                start += size
            self._before.append(tuple(bins))

    def counts(self, answered: int, seed: int, *words: str | int) -> tuple[int, ...]:
        """Counts of all columns, one behind the other, after so many answers.

        Args:
            answered: since the worker began.
            seed: of the simulation.
            words: whose they are; another begins elsewhere in the cycle.
        """
        first = int(chance(seed, *words, "scores") * CYCLE)
        rounds, last = divmod(first + answered, CYCLE)
        return tuple(
            rounds * whole + after - before
            for whole, after, before in zip(
                self._before[CYCLE], self._before[last], self._before[first], strict=True
            )
        )


def drifted(counts: Sequence[int], psi: float) -> tuple[float, ...]:
    """Shares of bins that are an index away from a profile's: more of what was the rarest.

    Args:
        counts: of the profile's samples; the last bin is of what is no score.
        psi: population stability index; 0 for the profile's own shares.
    """
    whole = sum(counts)
    if psi <= 0:
        return tuple(count / whole for count in counts)
    smoothed = whole + _SMOOTHING * len(counts)
    profile = tuple((count + _SMOOTHING) / smoothed for count in counts)
    scores = range(len(counts) - 1) if len(counts) > 2 else range(len(counts))
    rarest = min(scores, key=lambda bin_: counts[bin_])
    least, most = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if _index(_mixed(profile, rarest, middle), profile) < psi:
            least = middle
        else:
            most = middle
    return _mixed(profile, rarest, least)


def _mixed(shares: Sequence[float], one: int, part: float) -> tuple[float, ...]:
    return tuple((1 - part) * share + part * (at == one) for at, share in enumerate(shares))


def _index(found: Sequence[float], expected: Sequence[float]) -> float:
    return sum(
        (p - q) * math.log(p / q) if p else math.inf for p, q in zip(found, expected, strict=True)
    )


def _drawn(shares: Sequence[float]) -> tuple[int, ...]:
    """The bin of each answer of a cycle: steps of the golden ratio hit each as often as they may.

    Any part of the cycle is as even as the whole of it.
    """
    bounds = tuple(accumulate(shares))[:-1]
    # A bin without a share must not be hit by a rounded sum.
    last = max(at for at, share in enumerate(shares) if share > 0)
    return tuple(min(bisect_right(bounds, answer * _GOLDEN % 1.0), last) for answer in range(CYCLE))
