"""How many devices may be on their way at once."""

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.bounds import Room, at_most
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout_resources import AssignmentState
from tests.support.rollouts import QUICK, candidates, rollout_of

A = AssignmentState


@pytest.mark.parametrize(
    ("share", "of", "expected"),
    [
        ("10%", 99, 9),
        ("10%", 3, 1),
        ("100%", 7, 7),
        ("5", 100, 5),
        ("0", 100, 1),
        ("2.9%", 1000, 29),
    ],
)
def test_a_bound_is_rounded_down_and_lets_one_through(share: str, of: int, expected: int) -> None:
    assert at_most(share, of) == expected


def rollout(total: str, of_a_site: str, **changes: dict[str, object]) -> Rollout:
    policy = replace(QUICK, max_in_flight=total, max_in_flight_per_site=of_a_site)
    found = rollout_of(candidates(8, sites=2), policy)
    return replace(
        found,
        assignments={
            device: replace(one, **changes.get(device, {}))
            for device, one in found.assignments.items()
        },
    )


def taken(found: Rollout, now: float = 0.0) -> list[str]:
    room = Room(found, now)
    names = [f"d{number}" for number in range(8)]
    return [name for name in names if room.take(found.assignments[name])]


def test_the_bound_of_all_holds() -> None:
    assert taken(rollout("3", "100%")) == ["d0", "d1", "d2"]


def test_the_bound_of_each_site_holds() -> None:
    assert taken(rollout("100%", "50%")) == ["d0", "d1", "d2", "d3"]


def test_devices_without_a_site_have_the_bound_of_all_only() -> None:
    policy = replace(QUICK, max_in_flight="100%", max_in_flight_per_site="1")
    found = rollout_of(candidates(3), policy)
    room = Room(found, 0.0)
    assert all(room.take(one) for one in found.assignments.values())
    assert room.is_full()


def test_who_waits_for_another_try_goes_before_others() -> None:
    found = rollout("1", "100%", d5={"is_wanted": True})
    assert taken(found) == ["d5"]


def test_a_device_that_does_not_come_back_in_time_keeps_nobody_from_going_back() -> None:
    found = rollout("1", "100%", d5={"state": A.REVERTING, "deadline": 100.0})
    assert taken(found, 99.0) == []
    assert taken(found, 100.0) == ["d0"]
