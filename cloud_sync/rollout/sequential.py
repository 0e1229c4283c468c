"""Sequential tests: evidence against "good" and against "bad", for as many looks as one likes.

Pure. Each test is a likelihood ratio of two simple models. If the first holds, the ratio ever
reaches 1 / r with probability r at most, however often it is looked at (Ville): that is what makes
it right to judge a stage every few seconds. All ratios here are natural logarithms.

Rates are modelled as a gamma-Poisson mixture. Devices differ: each has a rate of its own, spread
around the version's by a known coefficient of variation, so that one device says no more than one
device can, however many messages it sends. Must never be handed raw counts of messages that depend
on each other; `of` and `hits` are divided by their design effect here, in one place.
"""

import math
from typing import Final

from msgspec import Struct

APART: Final = 16.0
"""Shape of the gamma distribution of devices' rates when a version is to be stopped: their
standard deviation is a quarter of their mean. Larger says that devices are alike."""

ALIKE: Final = 25.0
"""The same when a version is to pass, a fifth: it must pass in every stage, and the later ones
have many devices, while one stage is enough to stop it."""

LATER: Final = 36.0
"""How a device differs from itself a day later, when that would stop a version: by a sixth."""

ITSELF: Final = 400.0
"""The same when that would let it pass."""


class Share(Struct, frozen=True, kw_only=True):
    """How often something happened to messages.

    Attributes:
        hits: messages that it happened to.
        of: messages that it could have happened to.
        design: how many of them say as much as one independent one.
        devices: alike in size, that they come from.
    """

    hits: float
    of: float
    design: float = 1.0
    devices: float = 1.0

    @property
    def rate(self) -> float:
        """Part of them, 0 to 1; 0 of none."""
        return self.hits / self.of if self.of else 0.0


def rate_ratio(share: Share, good: float, bad: float, shape: float) -> float:
    """Evidence for the rate `bad` against the rate `good`: log of the likelihoods' ratio.

    Args:
        share: what was counted.
        good, bad: of messages; 0 < good < bad.
        shape: `APART` or `ALIKE`.
    """
    hits, of = share.hits / share.design, share.of / share.design
    devices = max(1.0, share.devices)
    each = of / devices
    return hits * math.log(bad / good) - (hits + shape * devices) * math.log(
        (shape + each * bad) / (shape + each * good)
    )


def mean_ratio(mean: float, variance: float, good: float, bad: float) -> float:
    """Evidence for the mean `bad` against the mean `good`, of something normally distributed.

    Args:
        mean: as estimated.
        variance: of that estimate, > 0.
        good, bad: good < bad.
    """
    return (bad - good) / variance * (mean - (good + bad) / 2)


def surplus_ratio(share: Share, champion: Share) -> float:
    """Evidence that a rate is above the champion's, against that they are the same; 0 if below.

    The generalized likelihood ratio of two Poisson counts. What both are compared by is the same
    devices, which are more like themselves (`LATER`) than like each other.
    """
    if share.rate <= champion.rate or not share.of:
        return 0.0
    pooled = (share.hits + champion.hits) / (share.of + champion.of)
    own = _independent(share, pooled, LATER)
    other = _independent(champion, pooled, LATER)
    both = (share.rate * own + champion.rate * other) / (own + other)
    ratio = _information(share.rate, both) * own
    return ratio + _information(champion.rate, both) * other


def surplus_mean(share: Share, champion: Share, margin: float) -> float:
    """Evidence that a rate is `margin` above the champion's, against that they are the same.

    Args:
        share, champion: of the same devices.
        margin: of messages, > 0.
    """
    if not share.of or not champion.of:
        return 0.0
    high = champion.rate + margin
    variance = high / _independent(share, high, ITSELF)
    variance += champion.rate / _independent(champion, champion.rate, ITSELF)
    return mean_ratio(share.rate - champion.rate, variance, 0.0, margin)


def at_least(hits: int, of: int, rate: float) -> float:
    """Probability of `hits` or more of `of` independent ones that each happen with `rate`."""
    if hits <= 0:
        return 1.0
    if rate <= 0:
        return 0.0
    if rate >= 1:
        return 1.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    return min(
        1.0,
        sum(
            math.exp(
                math.lgamma(of + 1)
                - math.lgamma(count + 1)
                - math.lgamma(of - count + 1)
                + count * log_rate
                + (of - count) * log_rest
            )
            for count in range(hits, of + 1)
        ),
    )


def _independent(share: Share, rate: float, shape: float) -> float:
    """Independent messages that would say as much of a rate, on devices that differ."""
    of = share.of / share.design
    return of / (1 + of * rate / (shape * max(1.0, share.devices)))


def _information(found: float, true: float) -> float:
    """What one message of a rate `found` says against the rate `true`: Poisson divergence."""
    if found <= 0:
        return true
    return found * math.log(found / true) - found + true
