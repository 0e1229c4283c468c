"""Stages by a seeded hash, spread over sites and hardware."""

from collections import Counter

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.cohort import compose, in_order, stage_sizes
from cloud_sync.rollout_policy import Policy
from tests.support.rollouts import candidates


@pytest.mark.parametrize(
    ("shares", "count", "expected"),
    [
        (("1", "1%", "10%", "50%", "100%"), 1000, (1, 9, 90, 400, 500)),
        (("1", "1%", "10%", "50%", "100%"), 20, (1, 1, 8, 10)),
        (("1", "1%", "10%", "50%", "100%"), 1, (1,)),
        (("2.9%",), 1000, (29,)),
        (("0.1%", "100%"), 50, (1, 49)),
        (("50%", "10%", "100%"), 10, (5, 5)),
        (("7",), 3, (3,)),
        (("100%",), 0, ()),
        (("5", "20%"), 100, (5, 15)),
    ],
)
def test_stages_count_from_the_first_and_empty_ones_are_left_out(
    shares: tuple[str, ...], count: int, expected: tuple[int, ...]
) -> None:
    assert stage_sizes(shares, count) == expected


def test_the_same_seed_gives_the_same_stages_however_devices_come() -> None:
    devices = candidates(200, sites=7)
    first = compose(devices, Policy(), 3, 0.0)
    second = compose(reversed(devices), Policy(), 3, 0.0)
    assert list(first.assignments) == list(second.assignments)
    assert list(first.assignments) != list(compose(devices, Policy(), 4, 0.0).assignments)


def test_every_stage_is_spread_over_sites_and_hardware() -> None:
    devices = [
        replace(one, site=f"s{number % 10}", hardware="old" if number % 30 < 10 else "new")
        for number, one in enumerate(candidates(1200))
    ]
    for seed in range(5):
        line = in_order(devices, seed)
        for count in (120, 600):
            part = line[:count]
            sites = Counter(one.site for one in part)
            assert all(abs(found - count / 10) <= 1 for found in sites.values())
            old = sum(one.hardware == "old" for one in part)
            assert abs(old - count / 3) <= 10


def test_each_device_gets_its_own_version() -> None:
    devices = [
        replace(one, module=f"model-for-{one.device}", version=number + 1)
        for number, one in enumerate(candidates(4))
    ]
    assignments = compose(devices, Policy(), 1, 5.0).assignments
    assert assignments["d2"].module == "model-for-d2"
    assert assignments["d2"].version == 3
    assert assignments["d2"].since == 5.0


def test_devices_behind_the_last_stage_are_left_out() -> None:
    cohort = compose(candidates(10), Policy(stages=("1", "30%")), 1, 0.0)
    assert [stage.size for stage in cohort.stages] == [1, 2]
    assert len(cohort.assignments) == 3
