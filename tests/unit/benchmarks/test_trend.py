"""The trend of a soak: growth is found, noise is not called growth."""

import random

import pytest

from benchmarks.trend import DAY_S, trend

SECONDS = [float(second) for second in range(600)]


def test_growth_is_measured_through_noise() -> None:
    chance = random.Random(1)
    values = [100 + 0.01 * second + chance.gauss(0, 0.5) for second in SECONDS]

    found = trend(SECONDS, values)

    assert found.grows
    assert found.per_day == pytest.approx(0.01 * DAY_S, abs=found.error)


def test_noise_around_one_level_is_no_growth() -> None:
    growing = 0
    for seed in range(100):
        chance = random.Random(seed)
        growing += trend(SECONDS, [100 + chance.gauss(0, 0.5) for _ in SECONDS]).grows

    assert growing <= 8  # 2.5 of 100 are to be expected


def test_what_never_changes_has_no_slope() -> None:
    found = trend(SECONDS, [7.0] * len(SECONDS))

    assert (found.per_day, found.error) == (0.0, 0.0)
    assert not found.grows


@pytest.mark.parametrize(("times", "blocks"), [(5, 12), (100, 2), (100, 18)])
def test_too_few_samples_are_refused(times: int, blocks: int) -> None:
    with pytest.raises(ValueError, match=f"{blocks} blocks, {times} times"):
        trend(SECONDS[:times], [1.0] * times, blocks)
