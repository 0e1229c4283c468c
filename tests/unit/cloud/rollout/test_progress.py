"""What reports, silence and deadlines mean for one device of a rollout."""

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.decisions import Offer, Revert
from cloud_sync.rollout_policy import AT_ONCE, Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState
from edge_agent.contract.state import Phase, SlotConfig
from tests.support.rollouts import (
    NEW,
    OLD,
    OLD_SLOT,
    QUICK,
    Fleet,
    candidates,
    reported,
    rollout_of,
    wanted,
)

A = AssignmentState
HOUR = 3600.0
DAY = 24 * HOUR
ALONE = replace(QUICK, stages=("100%",), min_success=0.0, max_failure=1.0)


def one(policy: Policy = ALONE) -> Fleet:
    """A rollout of one device, `d0`, which was offered the version at time 0."""
    return Fleet(rollout_of(candidates(1), policy)).start()


def on_the_way(phase: Phase) -> dict[str, object]:
    return {"slot": reported(OLD, phase, wanted=NEW)}


@pytest.mark.parametrize(
    ("phase", "state", "deadline"),
    [
        (Phase.FETCHING, A.DOWNLOADING, HOUR),
        (Phase.VERIFIED, A.VERIFIED, 10 + 600),
        (Phase.INSTALLED, A.VERIFIED, 10 + 600),
        (Phase.TRIAL, A.TRIAL, 10 + 7200),
        (Phase.FAILED, A.OFFERED, HOUR),
    ],
)
def test_each_step_has_its_deadline(phase: Phase, state: AssignmentState, deadline: float) -> None:
    fleet = one()
    fleet.now = 10
    fleet.report("d0", reported(OLD, phase, wanted=NEW))
    fleet.drive()
    assert (fleet.state("d0"), fleet.of("d0").deadline) == (state, deadline)


def test_a_report_from_before_the_offer_proves_nothing() -> None:
    fleet = one()
    fleet.report("d0", reported(NEW), revision=0)
    fleet.drive()
    assert fleet.state("d0") is A.OFFERED


def test_the_version_on_trial_is_not_there_yet() -> None:
    fleet = one()
    fleet.report("d0", reported(NEW, Phase.TRIAL))
    fleet.drive()
    assert fleet.state("d0") is A.TRIAL


def test_beginning_again_gives_no_more_time() -> None:
    fleet = one()
    fleet.report("d0", reported(OLD, Phase.TRIAL, wanted=NEW))
    fleet.drive()
    deadline = fleet.of("d0").deadline
    fleet.now += 10
    fleet.report("d0", reported(OLD, Phase.FETCHING, wanted=NEW))
    fleet.drive()
    assert (fleet.state("d0"), fleet.of("d0").deadline) == (A.TRIAL, deadline)


def test_a_missed_deadline_is_tried_again_after_a_wait_by_chance_and_then_given_up() -> None:
    fleet = one(replace(ALONE, retries=2, retry_s=60))
    waits = []
    for attempt in (1, 2):
        fleet.wait(HOUR)
        found = fleet.of("d0")
        assert (found.state, found.attempts) == (A.QUEUED, attempt)
        assert found.next_retry is not None
        waits.append(found.next_retry - fleet.now)
        fleet.wait(waits[-1])
        assert fleet.state("d0") is A.OFFERED
    assert 0 <= waits[0] < 60
    assert 0 <= waits[1] < 120
    last = fleet.wait(HOUR)
    assert fleet.state("d0") is A.TIMED_OUT
    assert [d.state for d in last if isinstance(d, Revert)] == [A.TIMED_OUT]


def test_a_device_that_waits_for_another_try_may_get_there_by_itself() -> None:
    fleet = one()
    fleet.wait(HOUR)
    assert fleet.state("d0") is A.QUEUED
    fleet.obey("d0")
    fleet.drive()
    assert fleet.state("d0") is A.COMMITTED


def test_a_device_that_waits_for_another_try_keeps_its_room() -> None:
    fleet = Fleet(rollout_of(candidates(3), replace(ALONE, max_in_flight="1"))).start()
    (first,) = fleet.those(A.OFFERED)
    fleet.wait(HOUR)
    assert fleet.states() == {A.QUEUED: 3}
    fleet.wait(60)
    assert fleet.those(A.OFFERED) == [first]


def test_a_device_that_never_heard_of_the_offer_gives_its_room_to_others_and_is_not_blamed() -> (
    None
):
    fleet = Fleet(rollout_of(candidates(3), replace(ALONE, max_in_flight="1"))).start()
    (first,) = fleet.those(A.OFFERED)
    fleet.leave(first)
    fleet.wait(HOUR)
    assert (fleet.state(first), fleet.of(first).attempts) == (A.QUEUED, 0)
    assert not fleet.of(first).is_wanted
    assert len(fleet.those(A.OFFERED)) == 1
    for _ in range(2):
        fleet.obey()
        fleet.drive()
    fleet.come_back(first)
    fleet.drive()
    assert fleet.those(A.OFFERED) == [first]


def test_devices_that_vanish_with_the_version_are_failures_in_the_end() -> None:
    fleet = one(replace(ALONE, retries=1))
    for _ in range(2):
        fleet.report("d0", reported(OLD, Phase.TRIAL, wanted=NEW))
        fleet.drive()
        fleet.leave("d0")
        fleet.wait(2 * HOUR)
        fleet.come_back("d0")
        fleet.drive()
    assert fleet.state("d0") is A.TIMED_OUT


def test_a_device_that_is_away_leaves_the_stage_after_a_day_and_gets_it_when_it_is_back() -> None:
    fleet = Fleet(rollout_of(candidates(10), replace(ALONE, max_in_flight="100%")))
    fleet.leave("d7")
    fleet.start()
    fleet.obey()
    fleet.drive()
    assert fleet.rollout.state is RolloutState.RUNNING
    fleet.wait(DAY)
    assert fleet.rollout.state is RolloutState.COMPLETED_DEGRADED
    assert fleet.rollout.state_reason == "all stages passed; not everywhere: 1 not reached"
    fleet.wait(9 * DAY)
    fleet.come_back("d7")
    fleet.drive()
    assert fleet.finish() is RolloutState.COMPLETED


def test_a_place_in_the_queue_expires() -> None:
    fleet = Fleet(rollout_of(candidates(10), replace(ALONE, max_in_flight="100%")))
    fleet.leave("d7")
    fleet.start()
    fleet.finish()
    fleet.wait(30 * DAY)
    assert fleet.state("d7") is A.EXPIRED
    fleet.come_back("d7")
    assert not [d for d in fleet.drive() if isinstance(d, Offer)]


def test_a_device_that_runs_it_and_was_asked_for_something_else_is_asked_back() -> None:
    # What wants exactly this is left out before; so its desired state says something else.
    fleet = Fleet(rollout_of(candidates(1, previous=wanted(2, NEW)), ALONE)).start()
    assert fleet.states() == {A.OFFERED: 1}


def test_the_same_version_with_another_configuration_is_something_new() -> None:
    previous = replace(wanted(2, NEW), config=SlotConfig(output_topic="elsewhere"))
    fleet = Fleet(rollout_of(candidates(2, previous=previous), ALONE)).start()
    assert fleet.those(A.OFFERED)


def test_another_configuration_of_the_same_version_is_there_when_it_was_applied() -> None:
    previous = replace(wanted(2, NEW), config=SlotConfig(output_topic="elsewhere"))
    fleet = Fleet(rollout_of(candidates(1, previous=previous), ALONE)).start()
    fleet.report("d0", reported(NEW), applied=0)
    fleet.drive()
    assert fleet.state("d0") is A.OFFERED
    fleet.report("d0", reported(NEW))
    fleet.drive()
    assert fleet.state("d0") is A.COMMITTED
    fleet.order("rollback")
    fleet.drive()
    fleet.report("d0", reported(NEW), applied=1)
    fleet.drive()
    assert fleet.state("d0") is A.REVERTING
    fleet.report("d0", reported(NEW))
    fleet.drive()
    assert fleet.state("d0") is A.ROLLED_BACK


def test_another_configuration_is_there_when_its_trial_was_seen_whatever_other_slots_do() -> None:
    previous = replace(wanted(2, NEW), config=SlotConfig(output_topic="elsewhere"))
    fleet = Fleet(rollout_of(candidates(1, previous=previous), ALONE)).start()
    fleet.report("d0", reported(NEW, Phase.TRIAL), applied=0)
    fleet.drive()
    fleet.report("d0", reported(NEW), applied=0)
    fleet.drive()
    assert fleet.state("d0") is A.COMMITTED


def test_an_update_lock_holds_an_offer_back_and_has_a_maximum() -> None:
    fleet = Fleet(rollout_of(candidates(1), replace(ALONE, lock_max_s=7200)))
    fleet.tell("d0", locked_until=DAY)
    fleet.start()
    assert fleet.state("d0") is A.QUEUED
    fleet.wait(7199)
    assert fleet.state("d0") is A.QUEUED
    fleet.wait(1)
    assert fleet.state("d0") is A.OFFERED


def test_an_update_lock_is_no_missed_deadline() -> None:
    fleet = one()
    fleet.tell("d0", locked_until=2 * HOUR)
    fleet.wait(HOUR)
    found = fleet.of("d0")
    assert (found.state, found.attempts, found.next_retry) == (A.QUEUED, 0, 2 * HOUR)
    fleet.wait(HOUR)
    assert fleet.state("d0") is A.OFFERED


def test_a_worker_that_is_being_started_again_is_no_other_version() -> None:
    fleet = one()
    fleet.obey()
    fleet.drive()
    fleet.now += 10
    fleet.report("d0", reported("", wanted=NEW))
    fleet.drive()
    assert fleet.state("d0") is A.COMMITTED


def test_a_committed_device_whose_slot_is_gone_is_reopened() -> None:
    fleet = one()
    fleet.obey()
    fleet.drive()
    fleet.now += 10
    fleet.report("d0", None)
    fleet.drive()
    assert fleet.state("d0") is A.QUEUED
    assert "runs nothing" in fleet.of("d0").reason


def test_a_device_without_anything_before_has_its_slot_taken_away_again() -> None:
    fleet = Fleet(rollout_of(candidates(1, previous=None), ALONE)).start()
    fleet.obey()
    fleet.drive()
    fleet.order("rollback")
    fleet.drive()
    assert fleet.state("d0") is A.REVERTING
    fleet.report("d0", reported(NEW))
    fleet.drive()
    assert fleet.state("d0") is A.REVERTING
    fleet.report("d0", None)
    fleet.drive()
    assert fleet.state("d0") is A.ROLLED_BACK


def test_a_device_that_went_back_by_itself_just_then_is_not_stuck() -> None:
    fleet = one()
    fleet.order("rollback")
    fleet.drive()
    fleet.report("d0", reported(OLD, Phase.ROLLED_BACK))
    fleet.drive()
    assert fleet.state("d0") is A.REVERTING
    fleet.report("d0", reported(OLD))
    fleet.drive()
    assert fleet.state("d0") is A.ROLLED_BACK


def test_a_device_that_does_not_go_back_is_a_failure_in_the_end() -> None:
    fleet = one()
    fleet.obey()
    fleet.drive()
    fleet.order("rollback")
    fleet.drive()
    fleet.wait(DAY)
    assert fleet.rollout.state is RolloutState.ROLLBACK_INCOMPLETE
    fleet.wait(29 * DAY)
    assert fleet.state("d0") is A.FAILED
    assert fleet.rollout.state is RolloutState.ROLLBACK_INCOMPLETE


def test_a_deployment_leaves_what_devices_refused_as_it_is() -> None:
    fleet = Fleet(rollout_of(candidates(2), AT_ONCE)).start()
    fleet.roll_back("d0", phase=Phase.REJECTED, code="opset_unsupported")
    fleet.obey("d1")
    assert not [d for d in fleet.drive() if isinstance(d, Revert)]
    assert fleet.of("d0").is_wanted
    fleet.order("rollback")
    taken_back = [d.device for d in fleet.drive() if isinstance(d, Revert)]
    assert sorted(taken_back) == ["d0", "d1"]
    assert fleet.state("d0") is A.REJECTED


def test_a_rollback_goes_to_what_the_slot_wanted_at_the_first_offer() -> None:
    fleet = one()
    fleet.obey()
    fleet.drive()
    assert fleet.of("d0").previous == OLD_SLOT
    fleet.order("rollback")
    fleet.drive()
    fleet.obey()
    fleet.drive()
    assert fleet.devices["d0"].slot == reported(OLD)
    assert fleet.rollout.state is RolloutState.ROLLED_BACK


def test_who_is_told_at_once_is_told_though_a_program_puts_updates_off() -> None:
    fleet = Fleet(rollout_of(candidates(2), AT_ONCE))
    fleet.tell("d0", locked_until=DAY)
    fleet.start()
    assert fleet.states() == {A.OFFERED: 2}, "the device itself says that it waits, and why"
