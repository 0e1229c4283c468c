"""What stops a rollout at once, what proves nothing, and when a rollback is really over."""

import pytest
from msgspec.structs import replace

from cloud_sync.rollout_gates import Gates
from cloud_sync.rollout_resources import AssignmentState, RolloutState
from edge_agent.contract.state import Phase
from tests.support.rollouts import NEW, OLD, QUICK, Fleet, candidates, reported, rollout_of

A = AssignmentState
R = RolloutState


def stages(fleet: Fleet) -> list[str]:
    return [str(stage.state) for stage in fleet.rollout.stages]


@pytest.mark.parametrize("gates", [None, Gates()])
def test_other_bytes_stop_a_rollout_while_the_device_still_downloads(gates: Gates | None) -> None:
    policy = replace(QUICK, stages=("2", "100%"), max_in_flight="100%", gates=gates)
    fleet = Fleet(rollout_of(candidates(10), policy)).start()
    first, _ = fleet.those(A.OFFERED)
    fleet.report(first, reported(OLD, Phase.FAILED, wanted=NEW, code="digest_mismatch"))
    fleet.drive()
    assert fleet.rollout.state is R.PAUSED
    assert f"{first} got other bytes" in fleet.rollout.state_reason


def test_why_a_device_did_not_get_there_in_time_is_kept() -> None:
    fleet = Fleet(rollout_of(candidates(10), replace(QUICK, stages=("2", "100%"), retries=0)))
    fleet.start()
    first = fleet.those(A.OFFERED)[0]
    fleet.report(first, reported(OLD, Phase.FAILED, wanted=NEW, code="blob_missing"))
    fleet.wait(QUICK.download_s + 1)
    assert fleet.state(first) is A.TIMED_OUT
    assert fleet.of(first).evidence["code"] == "blob_missing"


def test_a_stage_that_lost_its_only_device_opens_no_other() -> None:
    fleet = Fleet(rollout_of(candidates(10), replace(QUICK, stages=("1", "100%")))).start()
    fleet.take(*fleet.those(A.OFFERED))
    fleet.drive()
    assert (fleet.rollout.state, stages(fleet)) == (R.PAUSED, ["inconclusive", "waiting"])


def test_a_rollback_waits_for_a_device_that_was_given_up_and_may_have_got_there() -> None:
    policy = replace(QUICK, stages=("2", "100%"), max_in_flight="100%", retries=0)
    fleet = Fleet(rollout_of(candidates(10), policy)).start()
    gone, other = fleet.those(A.OFFERED)
    fleet.obey(other)
    fleet.report(gone, reported(OLD, Phase.TRIAL, wanted=NEW))
    fleet.drive()
    fleet.leave(gone)
    fleet.wait(policy.trial_s + 1)
    assert fleet.state(gone) is A.TIMED_OUT
    fleet.order("rollback")
    fleet.drive()
    fleet.obey(other)
    fleet.drive()
    assert fleet.rollout.state is R.ROLLING_BACK
    fleet.wait(policy.rollback_s + 1)
    assert fleet.rollout.state is R.ROLLBACK_INCOMPLETE
    fleet.report(gone, reported(NEW), revision=fleet.of(gone).revision - 1)
    fleet.drive()
    assert fleet.rollout.state is R.ROLLBACK_INCOMPLETE, "it runs the new version"
    fleet.report(gone, reported(OLD))
    fleet.drive()
    assert fleet.rollout.state is R.ROLLED_BACK
