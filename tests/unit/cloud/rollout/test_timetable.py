"""How long a rollout takes at least: turns, trials, soaks and windows; and what is left out."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.timetable import MOST_TURNS, Leg, assumptions, least_s
from cloud_sync.rollout_policy import Policy

POLICY = Policy(
    soak_s=100,
    soak_messages=0,
    gates=None,
    max_in_flight="10%",
    max_in_flight_per_site="100%",
)


def leg(size: int, *, has_shadow: bool = False, **sites: int) -> Leg:
    return Leg(size=size, sites=sites, has_shadow=has_shadow)


def taken(
    *legs: Leg,
    policy: Policy = POLICY,
    opens_at: Callable[[float], float | None] = lambda _: None,
) -> float:
    return least_s(legs, policy, trial_s=10, starts_per_s=1e9, now=1_000, opens_at=opens_at)


def test_a_stage_takes_as_many_turns_as_the_bound_asks_for() -> None:
    assert taken(leg(1), leg(99)) == pytest.approx(10 + 100 + 10 * 10 + 100)


def test_a_site_with_little_room_takes_more_turns() -> None:
    policy = replace(POLICY, max_in_flight="100%", max_in_flight_per_site="25%")
    assert taken(leg(20, oslo=16, bergen=4), policy=policy) == pytest.approx(4 * 10 + 100)
    assert taken(leg(20), policy=policy) == pytest.approx(10 + 100)


def test_a_shadow_step_soaks_too_and_has_no_trial() -> None:
    assert taken(leg(10, has_shadow=True)) == pytest.approx(100 + 10 * 10 + 100)


def test_what_many_are_told_at_once_is_spread() -> None:
    policy = replace(POLICY, max_in_flight="100%")
    found = least_s([leg(100)], policy, trial_s=10, starts_per_s=5, now=0, opens_at=lambda _: None)
    assert found == pytest.approx(20 + 10 + 100)


def test_turns_begin_in_windows_only_and_a_soak_runs_on() -> None:
    def opens_at(time: float) -> float | None:
        """For 25 s, every 1,000 s."""
        return None if time % 1_000 < 25 else (time // 1_000 + 1) * 1_000

    # Ten turns of 10 s, three of them in each window: one is left for the fourth.
    assert taken(leg(10), opens_at=opens_at) == pytest.approx(3_000 + 10 + 100)
    assert taken(leg(1), opens_at=lambda time: 5_000 if time < 5_000 else None) == pytest.approx(
        4_000 + 10 + 100
    )


def test_very_many_turns_are_counted_and_not_walked_through() -> None:
    asked = 0

    def opens_at(_: float) -> None:
        nonlocal asked
        asked += 1

    policy = replace(POLICY, max_in_flight="1")
    found = taken(leg(100_000), policy=policy, opens_at=opens_at)
    assert found == pytest.approx(100_000 * 10 + 100)
    assert asked <= MOST_TURNS


def test_nobody_takes_no_time() -> None:
    assert taken() == 0


def test_what_is_taken_for_granted_is_said_and_nothing_else() -> None:
    plain = assumptions(POLICY, is_away=False, has_conflicts=False)
    assert plain == ("downloads take no time", "no device fails, and nothing puts an update off")
    policy = Policy(approval=True)
    assert len(assumptions(policy, is_away=True, has_conflicts=True)) == 6
    assert any(
        "messages" in text for text in assumptions(Policy(), is_away=False, has_conflicts=False)
    )
