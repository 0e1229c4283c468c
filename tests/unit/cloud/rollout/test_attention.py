"""Whom the planner has to be shown, and when it has to be asked again."""

from msgspec.structs import replace

from cloud_sync.rollout.attention import due, is_live, to_be_shown
from cloud_sync.rollout_resources import AssignmentState
from tests.support.rollouts import QUICK, Fleet, candidates, rollout_of

A = AssignmentState
STAGED = replace(QUICK, stages=("10%", "100%"), soak_s=100, soak_messages=1, retry_s=60)


def shown(fleet: Fleet) -> list[str]:
    return list(to_be_shown(fleet.rollout))


def next_time(fleet: Fleet) -> float | None:
    return due(fleet.rollout, fleet.world(), fleet.now)


def test_only_stages_that_have_begun_are_shown() -> None:
    fleet = Fleet(rollout_of(candidates(20), STAGED))
    assert shown(fleet) == []
    fleet.start()
    assert {fleet.of(device).stage for device in shown(fleet)} == {0}


def test_a_stage_that_is_judged_is_shown_whole_and_later_not_at_all() -> None:
    fleet = Fleet(rollout_of(candidates(20), replace(STAGED, soak_messages=0))).start()
    fleet.obey()
    fleet.drive()
    assert sorted(shown(fleet)) == sorted(fleet.those(A.COMMITTED))
    fleet.wait(100)
    assert not set(shown(fleet)) & set(fleet.those(A.COMMITTED))


def test_all_that_may_have_to_go_back_are_shown() -> None:
    fleet = Fleet(rollout_of(candidates(20), STAGED)).start()
    fleet.obey()
    fleet.drive()
    fleet.leave(fleet.those(A.COMMITTED)[0])
    fleet.order("rollback")
    fleet.drive()
    assert sorted(shown(fleet)) == sorted(fleet.those(A.COMMITTED, A.REVERTING))


def test_time_alone_changes_something_at_deadlines_only() -> None:
    fleet = Fleet(rollout_of(candidates(20), STAGED)).start()
    assert next_time(fleet) == STAGED.download_s
    fleet.obey()
    fleet.drive()
    assert next_time(fleet) == 100
    fleet.wait(100)
    assert next_time(fleet) is not None


def test_what_is_over_has_nothing_due_and_is_not_live() -> None:
    fleet = Fleet(rollout_of(candidates(3))).start()
    assert is_live(fleet.rollout)
    fleet.finish()
    assert not is_live(fleet.rollout)
    assert next_time(fleet) is None


def test_an_aborted_rollout_is_live_until_nobody_is_on_the_way() -> None:
    fleet = Fleet(rollout_of(candidates(3))).start()
    fleet.order("abort")
    fleet.drive()
    assert is_live(fleet.rollout)
    fleet.obey()
    fleet.drive()
    assert not is_live(fleet.rollout)


def test_the_end_of_an_update_lock_is_due_in_stages_that_have_passed_too() -> None:
    fleet = Fleet(rollout_of(candidates(1), replace(QUICK, stages=("100%",), lock_max_s=900)))
    fleet.start()
    fleet.finish()
    fleet.now = 10
    fleet.tell("d0", locked_until=10_000.0)
    fleet.tell("d0", slot=None, reported_at=fleet.now)
    fleet.drive()
    fleet.wait(60)
    assert fleet.state("d0") is A.QUEUED
    assert next_time(fleet) == 900
    fleet.wait(830)
    assert fleet.state("d0") is A.OFFERED
