"""What a device of a rollout is said to wait for, and until when."""

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.bounds import Room
from cloud_sync.rollout.states import IN_FLIGHT
from cloud_sync.rollout.waiting import Crowd, counted, waiting
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState
from cloud_sync.rollout_waiting import WaitCount, Waiting
from edge_agent.contract.state import Phase
from tests.support.rollouts import NEW, OLD, QUICK, Fleet, candidates, reported, rollout_of

A = AssignmentState
HOUR = 3_600.0
DAY = 24 * HOUR
ALL = replace(QUICK, stages=("100%",), max_in_flight="100%", max_in_flight_per_site="100%")


def crowd_of(fleet: Fleet) -> Crowd:
    sizes: dict[str, int] = {}
    busy: dict[str, int] = {}
    for one in fleet.rollout.assignments.values():
        sizes[one.site] = sizes.get(one.site, 0) + 1
        if one.state in IN_FLIGHT or (one.state is A.QUEUED and one.is_wanted):
            busy[one.site] = busy.get(one.site, 0) + 1
    return Crowd(sizes=sizes, busy=busy)


def why(fleet: Fleet, device: str) -> Waiting | None:
    return waiting(
        fleet.of(device),
        fleet.devices[device],
        fleet.rollout,
        crowd_of(fleet),
        fleet.opens_at,
        fleet.now,
    )


def said(fleet: Fleet, device: str) -> tuple[str, float | None]:
    found = why(fleet, device)
    assert found is not None
    return found.code, found.until


def kept(policy: Policy = ALL, **known: object) -> Fleet:
    """A fleet whose first device cannot be asked."""
    fleet = Fleet(rollout_of(candidates(4), policy))
    fleet.tell("d0", **known)
    return fleet.start()


def test_a_device_that_is_away_keeps_its_place_for_a_month() -> None:
    fleet = kept(presence="offline", away_since=-HOUR)
    found = why(fleet, "d0")
    assert found == Waiting(
        code="away", text="away, keeps its place", since=-HOUR, until=30 * DAY - HOUR
    )


def test_who_goes_first_is_named() -> None:
    fleet = kept(taken_by=18)
    found = why(fleet, "d0")
    assert found is not None
    assert (found.code, found.text, found.until) == (
        "first",
        "waits for r18, which goes first here",
        None,
    )


@pytest.mark.parametrize(("until", "ends"), [(HOUR, HOUR), (9 * DAY, DAY)])
def test_a_lock_ends_when_it_ends_and_when_nothing_may_be_put_off_any_longer(
    until: float, ends: float
) -> None:
    assert said(kept(locked_until=until), "d0") == ("lock", ends)


def test_of_several_reasons_the_one_that_lasts_longest_is_told() -> None:
    fleet = kept(locked_until=HOUR)
    fleet.opens_at = 2 * HOUR
    assert said(fleet, "d0") == ("window", 2 * HOUR)
    fleet.opens_at = HOUR / 2
    assert said(fleet, "d0") == ("lock", HOUR)


def test_a_window_that_is_closed_holds_everybody() -> None:
    fleet = Fleet(rollout_of(candidates(4), ALL))
    fleet.opens_at = DAY
    fleet.start()
    assert {said(fleet, device) for device in fleet.devices} == {("window", DAY)}


def test_another_try_says_when() -> None:
    fleet = kept()
    fleet.wait(ALL.download_s)
    found = fleet.of("d0")
    assert found.state is A.QUEUED
    assert why(fleet, "d0") == Waiting(
        code="retry", text="not downloaded in time; tried again", until=found.next_retry
    )


def test_those_behind_the_first_wait_for_room_and_later_stages_for_their_turn() -> None:
    policy = replace(ALL, stages=("3", "100%"), max_in_flight="1")
    fleet = Fleet(rollout_of(candidates(5), policy)).start()
    first, *others = fleet.rollout.assignments
    assert why(fleet, first) is None, "it is on its way"
    codes = [said(fleet, device)[0] for device in others]
    assert codes == ["room", "room", "stage", "stage"]
    assert Room(fleet.rollout, fleet.now).is_full()


def test_a_site_that_is_full_is_named() -> None:
    policy = replace(ALL, max_in_flight_per_site="1")
    fleet = Fleet(rollout_of(candidates(6, sites=2), policy)).start()
    waits = fleet.those(A.QUEUED)
    texts = {found.text for device in waits if (found := why(fleet, device)) is not None}
    assert texts == {f"as many of site-{site} as may be (1) are on their way" for site in (0, 1)}


def test_a_paused_rollout_says_until_when_it_waits_for_somebody() -> None:
    fleet = kept(replace(ALL, max_in_flight="1"))
    fleet.order("pause")
    (*_, last) = fleet.those(A.QUEUED)
    assert said(fleet, last) == ("paused", 30 * DAY)


def test_who_has_it_or_has_ended_waits_for_nothing() -> None:
    fleet = kept()
    fleet.roll_back("d0")
    fleet.obey("d1")
    fleet.drive()
    assert [why(fleet, device) for device in ("d0", "d1")] == [None, None]


def test_a_device_on_its_way_may_be_away_or_put_it_off() -> None:
    fleet = kept()
    fleet.leave("d0")
    assert said(fleet, "d0") == ("away", fleet.of("d0").deadline)
    put_off = reported(OLD, Phase.FETCHING, wanted=NEW, code="update_locked")
    fleet.report("d1", put_off)
    fleet.tell("d1", locked_until=HOUR)
    assert said(fleet, "d1") == ("lock", HOUR)


def test_a_device_without_a_champion_waits_for_the_step_where_the_version_answers() -> None:
    policy = replace(ALL, shadow_stages=1, soak_s=HOUR)
    new = [replace(one, device=f"n{one.device}", previous=None) for one in candidates(1)]
    fleet = Fleet(rollout_of([*candidates(2), *new], policy)).start()
    assert said(fleet, "nd0") == ("stage", None)
    fleet.obey()
    fleet.drive()
    assert why(fleet, "d0") is None, "as a shadow it is where it should be"


def test_what_was_decided_explains_every_device_that_is_not_asked() -> None:
    fleet = kept(replace(ALL, max_in_flight="2"))
    assert all(
        (why(fleet, device) is None) == (fleet.state(device) is A.OFFERED)
        for device in fleet.devices
    )


def test_reasons_are_counted_with_the_first_end() -> None:
    lock = Waiting(code="lock", text="put off", until=9.0)
    away = Waiting(code="away", text="away")
    assert counted([lock, away, replace(lock, until=4.0)]) == (
        WaitCount(code="lock", text="put off", devices=2, until=4.0),
        WaitCount(code="away", text="away", devices=1),
    )
