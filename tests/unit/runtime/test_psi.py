"""The population stability index: zero for alike, large for different, bounded in memory."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.psi import LEAST_VALUES, ScoreDrift, stability_index


def test_equal_histograms_have_the_index_zero():
    assert stability_index((10, 20, 70), (10, 20, 70)) == 0
    assert stability_index((0, 0), (0, 0)) == 0


def test_the_index_is_the_sum_over_bins_that_it_is_said_to_be():
    # Large counts, so that the half that is added to every bin hardly matters.
    p, q = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)
    expected = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = stability_index([int(a * 1e9) for a in p], [int(b * 1e9) for b in q])
    assert found == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20))
def test_the_index_is_never_negative_nor_infinite(pairs: list[tuple[int, int]]):
    index = stability_index([a for a, _ in pairs], [b for _, b in pairs])
    assert index >= -1e-12
    assert math.isfinite(index)


def drift_of(pairs) -> ScoreDrift:
    drift = ScoreDrift()
    for reference, other in pairs:
        drift.add(reference, other)
    return drift


def test_with_too_few_scores_there_is_no_index():
    assert drift_of([(0.5, 0.5)] * (LEAST_VALUES - 1)).index() is None
    assert drift_of([(0.5, 0.5)] * LEAST_VALUES).index() == 0


@pytest.mark.parametrize("count", [300, 5000])
def test_scores_of_one_distribution_are_alike_and_shifted_ones_are_not(count: int):
    chance = random.Random(7)
    alike = [(chance.gauss(0, 1), chance.gauss(0, 1)) for _ in range(count)]
    assert drift_of(alike).index() < 0.2
    assert drift_of([(a, b + 1.5) for a, b in alike]).index() > 0.5
    assert drift_of([(a, a) for a, _ in alike]).index() == 0


def test_scores_that_are_nearly_all_equal_show_a_small_change():
    same = [(1.0, 1.0)] * 1000
    assert drift_of(same).index() == 0
    assert drift_of([(1.0, 0.999)] * 1000).index() > 0.25


def test_labels_are_compared_label_by_label():
    alike = [(number % 3, number % 3) for number in range(900)]
    assert drift_of(alike).index() == 0
    assert drift_of([(a, "new") for a, _ in alike]).index() > 0.25
    assert drift_of([("x", "x"), ("y", "x")] * 300).index() > 0.25


def test_scores_that_are_no_numbers_have_a_bin_of_their_own():
    nan = float("nan")
    assert drift_of([(0.1, 0.1), (nan, nan)] * 300).index() == 0
    assert drift_of([(nan, nan)] * 300).index() == 0
    assert drift_of([(0.1, nan)] * 600).index() > 0.25


def test_the_memory_does_not_grow_with_the_scores():
    drift = drift_of([(float(number), float(number)) for number in range(20_000)])
    assert len(drift._first) == 0
    assert len(drift._reference) <= 20
