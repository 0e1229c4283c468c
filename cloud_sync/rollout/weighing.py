"""Weighing: what counted evidence says of one limit, at stated risks. Pure.

Fails, passes or waits; must never pass what was not measured, nor fail a version for what the
champion does as well.
"""

import math
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from cloud_sync.rollout.observation import Counted, Sample
from cloud_sync.rollout.sequential import (
    ALIKE,
    APART,
    Share,
    mean_ratio,
    rate_ratio,
    surplus_mean,
    surplus_ratio,
)
from cloud_sync.rollout_gates import Limit

Outcome = Literal["passed", "failed", "waiting"]

WORSE_BY: Final = 0.5
"""Where the champion is worse than good, a version is bad that is worse by the gate's own margin,
or by this part of the champion's rate if that is more."""

_ENOUGH: Final = 10.0
"""A champion with fewer messages than this over the good rate is completed to as many good ones:
that it is as bad as the version has to be seen, and not merely be possible."""

_SMALLEST: Final = 1e-3
_MANY: Final = 3


class Risks(Struct, frozen=True, kw_only=True):
    """What one test must reach; natural logarithms of likelihood ratios.

    Attributes:
        stop: at or above this a gate fails.
        go: at or below this, which is negative, it passes.
    """

    stop: float
    go: float


def weigh_share(
    version: Counted, champion: Counted | None, limit: Limit, risks: Risks
) -> tuple[Outcome, float, float]:
    """Judge how often something happened.

    Args:
        version: what it did.
        champion: what ran before did; None if there was none or it was not measured.
        limit: of the gate.
        risks: of the test.

    Returns:
        The outcome, and the good and the bad rate that it was compared with.
    """
    good, bad = max(limit.good, limit.bad * _SMALLEST), limit.bad
    least, most = _share(version, version.least), _share(version, version.most)
    is_worse = rate_ratio(least, good, bad, APART) >= risks.stop
    # Two ways to pass share the risk of a miss.
    go = risks.go - math.log(2)
    is_better = rate_ratio(most, good, bad, ALIKE) <= go
    if champion is None or not champion.of:
        outcome: Outcome = "failed" if is_worse else "passed" if is_better else "waiting"
        return outcome, good, bad
    before = _share(champion, champion.least)
    rest = max(0.0, _ENOUGH / good - champion.of / champion.design)
    base = replace(
        _share(champion, champion.most),
        hits=champion.most + rest * good * champion.design,
        of=champion.of + rest * champion.design,
    )
    is_worse = is_worse and surplus_ratio(least, base) >= risks.stop
    margin = max(bad - good, before.rate * WORSE_BY)
    if champion.of / champion.design * good >= 1:
        is_better = is_better or surplus_mean(most, before, margin) <= go
    is_worse = is_worse and not (is_better and least.rate < base.rate + margin / 2)
    outcome = "failed" if is_worse else "passed" if is_better else "waiting"
    return outcome, max(good, base.rate), max(bad, before.rate + margin)


def weigh_sample(
    sample: Sample, limit: tuple[float, float], spread: float, risks: Risks
) -> Outcome:
    """Judge a figure that each device has.

    Args:
        sample: of the devices.
        limit: good and bad.
        spread: standard deviation between devices that there is at least.
        risks: of the test.
    """
    between = max(spread**2, sample.variance if sample.devices >= _MANY else 0.0)
    variance = (between + sample.noise) / sample.devices
    good, bad = limit
    if mean_ratio(sample.mean - sample.bias, variance, good, bad) >= risks.stop:
        return "failed"
    return "passed" if mean_ratio(sample.mean, variance, good, bad) <= risks.go else "waiting"


def _share(counted: Counted, hits: float) -> Share:
    return Share(hits=hits, of=counted.of, design=counted.design, devices=max(1.0, counted.devices))
