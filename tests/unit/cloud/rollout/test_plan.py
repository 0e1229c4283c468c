"""A rollout from its start to its end, planned for devices that do what they are told, or not."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict
from cloud_sync.rollout.decisions import Offer, Revert
from cloud_sync.rollout.observation import Joiner
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.states import ENDED, IN_FLIGHT
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import AT_ONCE
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from edge_agent.contract.state import Phase
from tests.support.rollouts import (
    NEW,
    OLD,
    QUICK,
    Fleet,
    candidates,
    messages,
    reported,
    rollout_of,
)

A = AssignmentState
R = RolloutState
S = StageState
DAY = 86_400.0
LABELS = Gates(wrong=Limit(good=0.05, bad=0.2))


def stages(fleet: Fleet) -> list[str]:
    return [str(stage.state) for stage in fleet.rollout.stages]


def offers(decisions: list[object]) -> list[str]:
    return [one.device for one in decisions if isinstance(one, Offer)]


def test_a_fleet_that_obeys_gets_the_version_stage_by_stage() -> None:
    fleet = Fleet(rollout_of(candidates(200))).start()
    assert fleet.states() == {A.QUEUED: 199, A.OFFERED: 1}
    assert fleet.finish() is R.COMPLETED
    assert fleet.states() == {A.COMMITTED: 200}
    assert stages(fleet) == ["passed"] * 5


def test_nothing_is_decided_twice() -> None:
    fleet = Fleet(rollout_of(candidates(50))).start()
    assert plan(fleet.rollout, fleet.world(), fleet.now) == ()


def test_no_more_than_the_bound_are_in_flight_of_all_and_of_a_site() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="30%", max_in_flight_per_site="20%")
    fleet = Fleet(rollout_of(candidates(100, sites=5), policy)).start()
    flying = [one for one in fleet.rollout.assignments.values() if one.state in IN_FLIGHT]
    sites = [one.site for one in flying]
    assert len(flying) == 20
    assert all(sites.count(site) == 4 for site in set(sites))


def test_a_stage_waits_for_its_soak_and_its_inferences() -> None:
    policy = replace(QUICK, stages=("1", "100%"), soak_s=100, soak_messages=50)
    fleet = Fleet(rollout_of(candidates(10), policy)).start()
    fleet.obey()
    fleet.drive()
    assert stages(fleet) == ["soaking", "waiting"]
    fleet.evidence = messages(49)
    fleet.wait(100)
    assert stages(fleet) == ["judging", "waiting"]
    fleet.evidence = messages(50)
    fleet.drive()
    assert stages(fleet) == ["passed", "filling"]


def test_a_stage_without_evidence_is_inconclusive_in_the_end_and_pauses() -> None:
    policy = replace(QUICK, stages=("1", "100%"), soak_messages=50, judge_s=1000)
    fleet = Fleet(rollout_of(candidates(10), policy)).start()
    fleet.obey()
    fleet.drive()
    fleet.wait(1000)
    assert stages(fleet) == ["inconclusive", "waiting"]
    assert fleet.rollout.state is R.PAUSED
    assert fleet.states() == {A.COMMITTED: 1, A.QUEUED: 9}


def test_a_stage_that_fails_pauses_and_is_judged_again_when_resumed() -> None:
    fleet = Fleet(rollout_of(candidates(10), replace(QUICK, stages=("1", "100%")))).start()
    fleet.roll_back(*fleet.those(A.OFFERED))
    fleet.drive()
    assert (fleet.rollout.state, stages(fleet)) == (R.PAUSED, ["failed", "waiting"])
    fleet.order("resume")
    assert fleet.rollout.stages[0].state is S.JUDGING
    assert offers(fleet.drive()) == []
    assert (fleet.rollout.state, stages(fleet)) == (R.PAUSED, ["failed", "waiting"])


def test_a_failed_device_is_told_to_run_what_it_ran_before() -> None:
    fleet = Fleet(rollout_of(candidates(10), replace(QUICK, stages=("1", "100%")))).start()
    (device,) = fleet.those(A.OFFERED)
    fleet.roll_back(device, code="digest_mismatch")
    reverts = [one for one in fleet.drive() if isinstance(one, Revert)]
    assert [(one.device, one.state) for one in reverts] == [(device, A.ROLLED_BACK)]
    assert fleet.of(device).evidence["code"] == "digest_mismatch"
    assert not fleet.of(device).is_wanted


def test_a_pause_stops_offers_at_once_and_lets_those_in_flight_arrive() -> None:
    policy = replace(QUICK, stages=("100%",))
    fleet = Fleet(rollout_of(candidates(50), policy)).start()
    flying = fleet.those(A.OFFERED)
    fleet.order("pause")
    fleet.obey()
    assert offers(fleet.drive()) == []
    assert fleet.those(A.COMMITTED) == flying
    fleet.order("resume")
    assert len(offers(fleet.drive())) == 5


def test_a_rollback_takes_back_only_devices_that_changed_within_the_bound() -> None:
    policy = replace(QUICK, stages=("50%", "100%"), max_in_flight="10%")
    fleet = Fleet(rollout_of(candidates(40), policy)).start()
    for _ in range(3):
        fleet.obey()
        fleet.drive()
    assert fleet.states() == {A.COMMITTED: 12, A.OFFERED: 4, A.QUEUED: 24}
    fleet.order("rollback")
    fleet.drive()
    assert fleet.states() == {A.COMMITTED: 12, A.REVERTING: 4, A.EXPIRED: 24}
    assert fleet.finish() is R.ROLLED_BACK
    assert fleet.states() == {A.ROLLED_BACK: 16, A.EXPIRED: 24}
    assert all(fleet.devices[d].slot == reported(OLD) for d in fleet.those(A.ROLLED_BACK))


def test_a_device_that_can_go_neither_forward_nor_back_leaves_a_rollback_incomplete() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="100%")
    fleet = Fleet(rollout_of(candidates(4), policy)).start()
    fleet.order("rollback")
    fleet.drive()
    fleet.obey("d0", "d1", "d2")
    fleet.report("d3", reported("", Phase.REJECTED, wanted=OLD))
    fleet.drive()
    assert fleet.state("d3") is A.FAILED
    assert fleet.rollout.state is R.ROLLBACK_INCOMPLETE
    assert "1 device" in fleet.rollout.state_reason


def test_late_devices_still_go_back_after_a_rollback_was_incomplete() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="100%", rollback_s=3600)
    fleet = Fleet(rollout_of(candidates(4), policy)).start()
    fleet.obey()
    fleet.leave("d3")
    fleet.drive()
    fleet.order("rollback")
    fleet.drive()
    assert not fleet.of("d3").is_wanted
    fleet.obey()
    fleet.drive()
    fleet.wait(3600)
    assert fleet.rollout.state is R.ROLLBACK_INCOMPLETE
    fleet.come_back("d3")
    fleet.drive()
    assert fleet.state("d3") is A.REVERTING
    assert fleet.finish() is R.ROLLED_BACK


def test_one_vanished_device_does_not_stop_a_rollback() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="1")
    fleet = Fleet(rollout_of(candidates(3), policy)).start()
    first = fleet.those(A.OFFERED)[0]
    fleet.obey(first)
    fleet.drive()
    second = fleet.those(A.OFFERED)[0]
    fleet.leave(second)
    fleet.order("rollback")
    fleet.drive()
    assert (fleet.state(first), fleet.state(second)) == (A.COMMITTED, A.REVERTING)
    fleet.wait(policy.download_s + policy.install_s + policy.trial_s)
    assert fleet.state(first) is A.REVERTING


def test_the_policy_takes_the_whole_rollout_back_when_a_stage_fails() -> None:
    policy = replace(QUICK, stages=("10%", "100%"), on_error="rollback")
    fleet = Fleet(rollout_of(candidates(20), policy)).start()
    fleet.obey(fleet.those(A.OFFERED)[0])
    fleet.roll_back(fleet.those(A.OFFERED)[1])
    fleet.drive()
    assert fleet.finish() is R.ROLLED_BACK
    assert fleet.states() == {A.ROLLED_BACK: 2, A.EXPIRED: 18}


def test_the_policy_takes_only_the_failed_stage_back() -> None:
    policy = replace(QUICK, stages=("10%", "50%", "100%"), on_error="rollback-stage")
    fleet = Fleet(rollout_of(candidates(20), policy)).start()
    fleet.obey()
    fleet.drive()
    assert stages(fleet)[0] == "passed"
    fleet.obey(fleet.those(A.OFFERED)[0])
    fleet.drive()
    for _ in range(8):
        fleet.roll_back(*fleet.those(A.OFFERED))
        fleet.drive()
    assert fleet.finish() is R.PAUSED
    assert fleet.states()[A.COMMITTED] == 2
    assert all(one.stage == 0 for one in map(fleet.of, fleet.those(A.COMMITTED)))


def test_an_abort_leaves_what_runs_and_follows_who_is_on_the_way() -> None:
    fleet = Fleet(rollout_of(candidates(50), replace(QUICK, stages=("100%",)))).start()
    fleet.obey()
    fleet.drive()
    fleet.order("abort")
    assert offers(fleet.drive()) == []
    assert fleet.states() == {A.COMMITTED: 5, A.OFFERED: 5, A.EXPIRED: 40}
    fleet.obey()
    fleet.drive()
    assert fleet.states() == {A.COMMITTED: 10, A.EXPIRED: 40}
    assert fleet.rollout.state is R.CANCELLED


def test_another_person_has_to_approve() -> None:
    fleet = Fleet(rollout_of(candidates(3), replace(QUICK, approval=True)))
    fleet.order("start", "anna")
    assert fleet.rollout.state is R.PENDING_APPROVAL
    with pytest.raises(Conflict, match="somebody else"):
        fleet.order("approve", "anna")
    fleet.order("approve", "bert")
    assert fleet.rollout.state is R.RUNNING


def test_an_approval_that_never_comes_ends_the_rollout() -> None:
    fleet = Fleet(rollout_of(candidates(3), replace(QUICK, approval=True)))
    fleet.order("start", "anna")
    fleet.wait(30 * DAY)
    assert fleet.rollout.state is R.CANCELLED


def test_an_order_that_does_not_fit_says_what_does() -> None:
    fleet = Fleet(rollout_of(candidates(3)))
    with pytest.raises(Conflict, match="is draft, and cannot be resumed") as found:
        fleet.order("resume")
    assert found.value.hint == "possible now: start, abort"


def test_an_order_for_a_rollout_that_is_over_says_what_to_do_instead() -> None:
    fleet = Fleet(rollout_of(candidates(3))).start()
    fleet.order("abort")
    with pytest.raises(Conflict, match="is cancelled, and cannot be taken back") as found:
        fleet.order("rollback")
    assert "shoal deploy NAME/VERSION --to" in found.value.hint


def test_a_deployment_tells_everybody_at_once_whether_there_or_not() -> None:
    fleet = Fleet(rollout_of(candidates(20), AT_ONCE))
    fleet.leave("d3", "d4")
    fleet.start()
    assert fleet.states() == {A.OFFERED: 20}
    fleet.obey()
    fleet.drive()
    fleet.wait(DAY)
    assert fleet.rollout.state is R.COMPLETED_DEGRADED
    fleet.come_back("d3", "d4")
    assert fleet.finish() is R.COMPLETED


def test_a_device_that_runs_another_version_later_is_asked_again() -> None:
    fleet = Fleet(rollout_of(candidates(4))).start()
    assert fleet.finish() is R.COMPLETED
    fleet.now += 10
    fleet.report("d2", reported(OLD))
    fleet.drive()
    assert (fleet.state("d2"), fleet.rollout.state) == (A.QUEUED, R.RUNNING)
    fleet.wait(60)
    assert fleet.state("d2") is A.OFFERED
    assert fleet.finish() is R.COMPLETED


def test_an_older_rollout_loses_its_devices_to_a_newer_one() -> None:
    fleet = Fleet(rollout_of(candidates(20), replace(QUICK, stages=("100%",)))).start()
    fleet.take(*fleet.devices)
    fleet.drive()
    assert fleet.rollout.state is R.SUPERSEDED
    assert set(fleet.states()) == {A.SUPERSEDED}


def test_a_device_that_another_rollout_is_at_work_on_waits() -> None:
    fleet = Fleet(rollout_of(candidates(3), replace(QUICK, max_in_flight="100%", stages=("100%",))))
    fleet.tell("d1", taken_by=2)
    fleet.start()
    assert fleet.states() == {A.OFFERED: 2, A.QUEUED: 1}
    fleet.tell("d1", taken_by=0)
    assert offers(fleet.drive()) == ["d1"]


def test_late_devices_join_by_policy() -> None:
    for policy, expected in ((QUICK, 4), (replace(QUICK, late_joiners="include"), 5)):
        fleet = Fleet(rollout_of(candidates(4), policy)).start()
        fleet.joined = (Joiner(device="new", module="pump", version=2, digest=NEW),)
        fleet.tell_of("new")
        assert fleet.finish() is R.COMPLETED
        assert fleet.states() == {A.COMMITTED: expected}


def test_late_devices_join_a_completed_rollout_too() -> None:
    fleet = Fleet(rollout_of(candidates(4), replace(QUICK, late_joiners="include"))).start()
    fleet.finish()
    fleet.joined = (Joiner(device="new", module="pump", version=2, digest=NEW),)
    fleet.tell_of("new")
    fleet.drive()
    assert (fleet.rollout.state, fleet.state("new")) == (R.RUNNING, A.OFFERED)
    assert fleet.finish() is R.COMPLETED


def test_labels_that_come_late_stop_a_finished_rollout() -> None:
    gates = replace(QUICK, gates=LABELS)
    for policy, expected in (
        (gates, R.PAUSED),
        (replace(gates, on_error="rollback"), R.ROLLED_BACK),
    ):
        fleet = Fleet(rollout_of(candidates(4), policy)).start()
        fleet.evidence = messages(1000)
        assert fleet.finish() is R.COMPLETED
        fleet.evidence = messages(1000, right=0, wrong=1000)
        assert fleet.finish() is expected


def test_a_rollout_of_nobody_is_over_at_once() -> None:
    assert Fleet(rollout_of([])).start().rollout.state is R.COMPLETED


def test_nothing_is_decided_about_a_device_that_nothing_is_known_of() -> None:
    fleet = Fleet(rollout_of(candidates(3), replace(QUICK, stages=("100%",))))
    fleet.devices.clear()
    fleet.start()
    fleet.wait(365 * DAY)
    assert fleet.states() == {A.QUEUED: 3}
    assert fleet.rollout.state is not R.COMPLETED


def test_what_has_ended_stays_ended() -> None:
    fleet = Fleet(rollout_of(candidates(10), replace(QUICK, stages=("100%",)))).start()
    fleet.roll_back(*fleet.those(A.OFFERED))
    fleet.drive()
    ended = fleet.those(*ENDED)
    fleet.now += 10
    for device in ended:
        fleet.report(device, reported(NEW))
    fleet.drive()
    assert fleet.those(A.ROLLED_BACK) == ended


@pytest.mark.parametrize("on_error", ["pause", "rollback"])
def test_the_beginning_of_a_plan_is_a_plan(on_error: str) -> None:
    policy = replace(QUICK, stages=("100%",), gates=LABELS, on_error=on_error)
    for labels, first in ((messages(1000), False), (messages(1000, wrong=1000), True)):
        fleet = Fleet(rollout_of(candidates(2), replace(policy, max_in_flight="100%"))).start()
        fleet.evidence = messages(1000)
        if first:
            assert fleet.finish() is R.COMPLETED
            fleet.evidence = labels
        else:
            fleet.roll_back("d0", "d1")
        for _ in range(50):
            decisions = plan(fleet.rollout, fleet.world(), fleet.now)
            if not decisions:
                break
            fleet.carry_out(decisions[:1])
        assert fleet.rollout.stages[0].state is S.FAILED
        assert fleet.rollout.state is not R.RUNNING
