"""Sequential tests keep the error rates that they state, however often one looks."""

import math
from itertools import pairwise

import numpy as np
import pytest

from cloud_sync.rollout.sequential import (
    ALIKE,
    APART,
    Share,
    at_least,
    mean_ratio,
    rate_ratio,
    surplus_mean,
    surplus_ratio,
)

GOOD, BAD = 0.01, 0.03
RISK = 0.05
RUNS = 2_000


def crossings(rate: float, *, risk_of_stop: float = RISK) -> tuple[int, int]:
    """Of many versions with this rate: how many were ever stopped, how many ever passed."""
    chance = np.random.default_rng(11)
    stopped = passed = 0
    for _ in range(RUNS):
        hits = np.cumsum(chance.poisson(100 * rate, 60))
        ratios = [
            rate_ratio(Share(hits=float(found), of=100.0 * (at + 1)), GOOD, BAD, 1e9)
            for at, found in enumerate(hits)
        ]
        stopped += max(ratios) >= math.log(1 / risk_of_stop)
        passed += min(ratios) <= math.log(RISK)
    return stopped, passed


def test_a_good_rate_is_stopped_at_most_as_often_as_stated_over_sixty_looks() -> None:
    stopped, _passed = crossings(GOOD)
    assert stopped <= RISK * RUNS


def test_a_bad_rate_passes_at_most_as_often_as_stated_over_sixty_looks() -> None:
    _stopped, passed = crossings(BAD)
    assert passed <= RISK * RUNS


def test_looking_at_the_raw_share_sixty_times_would_stop_many_good_versions() -> None:
    """What the tests are for: the naive rule of two standard deviations, looked at each time."""
    chance = np.random.default_rng(11)
    of = 100.0 * np.arange(1, 61)
    hits = np.cumsum(chance.poisson(100 * GOOD, (RUNS, 60)), axis=1)
    z = (hits / of - GOOD) / np.sqrt(GOOD / of)
    assert (z > 1.645).any(axis=1).mean() > 0.2


def test_one_device_says_no_more_than_one_device_can() -> None:
    ratios = [
        rate_ratio(Share(hits=0.06 * of, of=of), GOOD, BAD, APART) for of in (1e3, 1e5, 1e7, 1e9)
    ]
    assert all(left < right for left, right in pairwise(ratios))
    limit = APART * (0.06 * (1 / GOOD - 1 / BAD) - math.log(BAD / GOOD))
    assert ratios[-1] == pytest.approx(limit, rel=1e-3)
    many = rate_ratio(Share(hits=0.06 * 1e7, of=1e7, devices=100), GOOD, BAD, APART)
    assert many > 50 * limit


def test_messages_that_depend_on_each_other_say_less() -> None:
    alone = rate_ratio(Share(hits=60, of=1_000, devices=9), GOOD, BAD, APART)
    bursts = rate_ratio(Share(hits=60, of=1_000, devices=9, design=10), GOOD, BAD, APART)
    assert 0 < bursts < alone / 2


def test_being_like_a_bad_champion_is_no_evidence_of_being_worse() -> None:
    champion = Share(hits=100, of=2_000)
    assert surplus_ratio(Share(hits=50, of=1_000), champion) == pytest.approx(0)
    assert surplus_ratio(Share(hits=40, of=1_000), champion) == 0
    assert surplus_ratio(Share(hits=150, of=1_000), champion) > 7
    assert surplus_ratio(Share(hits=0, of=0), champion) == 0


def test_being_like_the_champion_is_evidence_against_being_worse_by_a_margin() -> None:
    champion = Share(hits=100, of=10_000, devices=4)
    assert surplus_mean(Share(hits=100, of=10_000, devices=4), champion, 0.02) < -10
    assert surplus_mean(Share(hits=300, of=10_000, devices=4), champion, 0.02) > 10
    assert surplus_mean(Share(hits=0, of=0), champion, 0.02) == 0


def test_a_mean_halfway_between_says_nothing() -> None:
    assert mean_ratio(1.0, 0.1, 0.5, 1.5) == 0
    assert mean_ratio(1.5, 0.1, 0.5, 1.5) == -mean_ratio(0.5, 0.1, 0.5, 1.5) == pytest.approx(5)


@pytest.mark.parametrize(
    ("hits", "of", "rate", "expected"),
    [
        (0, 10, 0.05, 1.0),
        (1, 10, 0.05, 1 - 0.95**10),
        (10, 10, 0.5, 0.5**10),
        (1, 10, 0.0, 0.0),
        (10, 10, 1.0, 1.0),
    ],
)
def test_binomial_tail(hits: int, of: int, rate: float, expected: float) -> None:
    assert at_least(hits, of, rate) == pytest.approx(expected)


def test_passing_trusts_devices_more_than_stopping_does() -> None:
    """A bad version must pass in every stage, a good one is stopped by a single one."""
    share = Share(hits=5, of=1_000)
    assert rate_ratio(share, GOOD, BAD, ALIKE) < rate_ratio(share, GOOD, BAD, APART) < 0
