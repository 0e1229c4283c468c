"""Counts of many devices as one, and how far it goes; durations by bounds that are none of ours."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.fleet.measures import SlotMeasures, Spell, Tally
from cloud_sync.rollout.drift import ALIKE, drift_of
from cloud_sync.rollout.durations import longer, longer_of, quantile_ms
from cloud_sync.rollout.observation import Measures
from cloud_sync.rollout.pooling import PROCESS_MB, compare_memory, counted_of, most_drift, pool
from edge_agent.contract.messages import TIME_BOUNDS_MS, Timing
from edge_agent.runtime.histogram import Histogram

BINS = len(TIME_BOUNDS_MS) + 1


def tallies(chance: np.random.Generator, *, burst: float, devices: int = 10) -> list[Tally]:
    """Sixty reports of each device, 1 % of whose messages fail in bursts."""
    found = []
    for _ in range(devices):
        tally = Tally()
        for _ in range(60):
            mean = 1.0
            if burst > 1:
                hits = chance.negative_binomial(mean / (burst - 1), 1 / burst)
            else:
                hits = chance.poisson(mean)
            tally = tally.plus(float(hits), 100.0)
        found.append(tally)
    return found


@pytest.mark.parametrize("burst", [1.0, 3.0, 8.0])
def test_the_design_effect_of_bursts_is_measured(burst: float) -> None:
    chance = np.random.default_rng(3)
    found = [counted_of(tallies(chance, burst=burst), 600).design for _ in range(30)]
    assert np.mean(found) == pytest.approx(burst, rel=0.2)


def test_the_design_effect_is_at_most_the_messages_of_a_report() -> None:
    one = Tally(hits=500, of=1_000, squares=500)  # five reports all bad, five all good
    assert counted_of([one], 10).design == pytest.approx(100, rel=0.5)
    assert counted_of([one], 10).design <= 100


def test_the_first_burst_does_not_look_like_independent_errors() -> None:
    assert counted_of([Tally().plus(8, 60)], 1).design >= 3


def test_devices_that_differ_do_not_count_as_bursts() -> None:
    steady = [Tally(), Tally()]
    for _ in range(60):
        steady = [steady[0].plus(0, 100), steady[1].plus(10, 100)]
    assert counted_of(steady, 120).design == pytest.approx(1, abs=0.5)


def test_one_busy_device_is_not_many() -> None:
    even = [Tally(hits=1, of=100) for _ in range(10)]
    assert counted_of(even, 100).devices == pytest.approx(10)
    busy = [Tally(hits=100, of=10_000), *even[1:]]
    assert counted_of(busy, 100).devices < 1.3


def spell(*durations_ms: float) -> tuple[Spell, Timing]:
    histogram = Histogram()
    for duration in durations_ms:
        histogram.record(duration * 1e3)
    timing = histogram.timing()
    return Spell().plus(timing.buckets, timing), timing


def test_a_limit_on_a_bound_is_counted_exactly() -> None:
    buckets = [0] * BINS
    buckets[TIME_BOUNDS_MS.index(5.0)] = 90
    buckets[TIME_BOUNDS_MS.index(10.0)] = 10
    assert longer(buckets, 5.0) == (10, 10)
    assert longer(buckets, 7.0) == (0, 10)
    assert longer(buckets, 4.0) == (10, 100)
    assert longer(buckets, 1e6) == (0, 0)


def test_what_the_worker_knows_narrows_a_limit_inside_a_bucket() -> None:
    found, _ = spell(*[5.5] * 995, *[5.8] * 5)
    assert longer(found.buckets, 6.0) == (0, 1_000)
    assert longer_of(found, 6.0) == (0, 0)
    found, _ = spell(*[5.5] * 995, *[9.0] * 5)
    assert longer_of(found, 6.0) == (0, pytest.approx(10))
    found, _ = spell(*[9.0] * 1_000)
    assert longer_of(found, 6.0) == (500, 1_000)


@given(
    st.lists(st.floats(0.01, 5_000), min_size=1, max_size=300),
    st.floats(0.05, 4_000),
    st.integers(0, 300),
)
def test_the_truth_is_never_outside_of_least_and_most(
    durations: list[float], bound: float, before: int
) -> None:
    """Also when an earlier worker did a part of them."""
    first, second = durations[:before], durations[before:]
    found, _ = spell(*first)
    if second:
        other, timing = spell(*second)
        found = found.plus(other.buckets, timing)
    true = sum(duration > bound for duration in durations)
    least, most = longer_of(found, bound)
    near = sum(abs(duration - bound) <= 0.07 * bound for duration in durations)
    # Percentiles are rounded to the worker's own buckets, 6 % wide, and to whole messages.
    slack = near + 0.01 * len(durations) + 1
    assert least - slack <= true <= most + slack


def test_a_quantile_lies_in_its_bucket_and_needs_enough() -> None:
    buckets = [0] * BINS
    buckets[TIME_BOUNDS_MS.index(5.0)] = 1_000
    found = quantile_ms(buckets, 0.99)
    assert found is not None
    assert 4.9 < found <= 5.0
    assert quantile_ms([*buckets[:-1], 0][:3], 0.99) is None
    assert quantile_ms((0, 50, *(0,) * (BINS - 2)), 0.99) is None
    assert quantile_ms((*(0,) * (BINS - 1), 1_000), 0.99) is None  # in the one without an end


def test_memory_is_compared_with_the_manifest_or_with_the_champion_on_the_same_device() -> None:
    version = {"d0": SlotMeasures(memory_mb=60), "d1": SlotMeasures(memory_mb=120)}
    champion = {"d0": SlotMeasures(memory_mb=60), "d1": SlotMeasures(memory_mb=120)}
    found = compare_memory(version, champion, None)
    assert found is not None
    assert (found.devices, found.mean, found.variance) == (2, 0, 0)
    found = compare_memory(version, {}, 60 - PROCESS_MB)
    assert found is not None
    assert found.mean == pytest.approx(math.log(2) / 2)
    assert compare_memory(version, {}, None) is None
    small = compare_memory({"d0": SlotMeasures(memory_mb=16)}, {"d0": SlotMeasures(memory_mb=9)}, 0)
    assert small is not None
    assert small.mean < 0, "less than a worker takes without a model is never too much"
    assert compare_memory({"d0": SlotMeasures()}, champion, 64) is None


def test_pooling_nothing_measures_nothing() -> None:
    found = pool([], slow_ms=5.0, old_ms=5.0)
    assert found.messages == 0
    assert found.counted["error_rate"].of == 0
    assert found.counted["slow"].of == 0
    assert found.drift is None


def test_pooling_adds_devices_up() -> None:
    timing = Timing(count=100, buckets=(*(0,) * 6, 100, *(0,) * 9), p99_ms=4, max_ms=5, p50_ms=3)
    rows = [
        SlotMeasures(
            reports=2,
            messages=100,
            errors=Tally().plus(1, 50).plus(2, 50),
            total=Spell().plus(timing.buckets, timing),
            compared=Tally().plus(30, 100),
            psi=0.1 * number,
            memory_mb=10.0 * number,
            right=9,
            wrong=1,
        )
        for number in (1, 2)
    ]
    found = pool(rows, slow_ms=10.0)
    assert (found.devices, found.messages, found.errors) == (2, 200, 6)
    assert (found.compared, found.differed, found.memory_mb, found.psi) == (200, 60, 20, 0.2)
    assert (found.right, found.wrong, sum(found.total)) == (18, 2, 200)
    assert found.counted["slow"].of == 200
    assert found.counted["slow"].most == 0
    assert found.counted["wrong"].least == 2
    assert found.drift is not None
    assert found.drift.mean == pytest.approx(0.15)


def test_scores_that_moved_within_the_tolerance_have_not_drifted() -> None:
    """All of them went over the bound of a bin, by a rounding error."""
    row = SlotMeasures(reports=5, messages=500, compared=Tally().plus(1, 500), psi=13.6)
    found = pool([row]).drift
    assert found is not None
    assert found.mean < 0.001
    assert most_drift(0.0) == 0
    assert 0.04 < most_drift(0.05) < 0.1
    assert most_drift(1.0) > 5


@pytest.mark.parametrize("count", [100, 400, 2_000])
def test_the_index_of_few_scores_is_chance_and_its_bias_is_told(count: int) -> None:
    chance = np.random.default_rng(5)
    shares = (0.1,) * 10
    found = [
        drift_of(
            # Four alike count as one, and so they come here.
            Measures(devices=1, scores=tuple(4 * chance.multinomial(count // 4, shares))),
            shares,
            (10,),
            0,
        )
        for _ in range(300)
    ]
    means = [sample.mean for sample in found if sample is not None]
    assert ALIKE == 4
    assert np.mean(means) == pytest.approx(9 / (count / 4), rel=0.35)
    above = [sample.mean - sample.bias for sample in found if sample is not None]
    assert np.mean(above) <= 0.02


def test_the_column_that_drifted_most_is_told() -> None:
    even = (0.5, 0.5)
    measures = Measures(devices=1, scores=(5_000, 5_000, 9_000, 1_000))
    found = drift_of(measures, even * 2, (2, 2), 0)
    assert found is not None
    assert found.mean == pytest.approx((0.9 - 0.5) * math.log(1.8) + 0.4 * math.log(5), rel=0.01)
    assert drift_of(Measures(scores=(1, 2)), even * 2, (2, 2), 0) is None
    assert drift_of(measures, (), (), 0) is None
