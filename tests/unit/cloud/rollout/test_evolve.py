"""A rollout changes by what the tables allow, and by nothing else."""

import pytest

from cloud_sync.errors import Conflict
from cloud_sync.rollout.decisions import (
    Decision,
    Join,
    Move,
    MoveRollout,
    MoveStage,
    Offer,
    Revert,
)
from cloud_sync.rollout.evolve import evolve, with_revisions
from cloud_sync.rollout.rollout import Assignment
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from tests.support.rollouts import NEW, OLD_SLOT, candidates, rollout_of, wanted

A = AssignmentState
OFFER = Offer(device="d0", mode="run", deadline=60.0, reason="its turn")


@pytest.mark.parametrize(
    "decision",
    [
        Move(device="d0", state=A.TRIAL, reason=""),
        Move(device="nobody", state=A.OFFERED, reason=""),
        MoveRollout(state=RolloutState.COMPLETED, reason=""),
        MoveStage(stage=0, state=StageState.PASSED, reason=""),
        MoveStage(stage=9, state=StageState.FILLING, reason=""),
        Join(assignment=Assignment(device="d0", stage=0, module="m", version=1, digest=NEW)),
        Join(assignment=Assignment(device="new", stage=9, module="m", version=1, digest=NEW)),
    ],
)
def test_what_does_not_follow_is_refused(decision: Decision) -> None:
    with pytest.raises(Conflict):
        evolve(rollout_of(candidates(2)), [decision], 1.0)


def test_a_rollout_is_never_changed_in_place() -> None:
    before = rollout_of(candidates(2))
    after = evolve(before, [OFFER], 5.0)
    assert before.assignments["d0"].state is A.QUEUED
    assert (after.assignments["d0"].state, after.assignments["d0"].since) == (A.OFFERED, 5.0)
    assert after.assignments["d1"] is before.assignments["d1"]


def test_a_desired_state_asks_for_the_version_from_an_offer_to_a_revert() -> None:
    offered = evolve(rollout_of(candidates(2)), [OFFER], 5.0)
    assert offered.assignments["d0"].is_wanted
    reverted = evolve(
        offered, [Revert(device="d0", state=A.REVERTING, reason="", deadline=9.0)], 6.0
    )
    assert not reverted.assignments["d0"].is_wanted


def test_only_the_desired_state_goes_back_where_the_state_stays() -> None:
    committed = evolve(
        rollout_of(candidates(2)), [OFFER, Move(device="d0", state=A.COMMITTED, reason="")], 5.0
    )
    after = evolve(committed, [Revert(device="d0", state=A.COMMITTED, reason="away")], 9.0)
    found = after.assignments["d0"]
    assert (found.state, found.since, found.is_wanted) == (A.COMMITTED, 5.0, False)


def test_what_was_there_before_is_taken_again_at_the_first_offer_only() -> None:
    rollout = evolve(rollout_of(candidates(2)), [OFFER], 5.0)
    newer = wanted(9, "sha256:" + "9" * 64)
    rollout = with_revisions(rollout, {"d0": 3}, {"d0": newer})
    assert (rollout.assignments["d0"].revision, rollout.assignments["d0"].previous) == (3, newer)
    rollout = with_revisions(rollout, {"d0": 4}, {"d0": OLD_SLOT})
    assert (rollout.assignments["d0"].revision, rollout.assignments["d0"].previous) == (4, newer)


def test_a_stage_grows_with_those_who_join_it() -> None:
    joiner = Assignment(device="new", stage=1, module="m", version=1, digest=NEW)
    rollout = rollout_of(candidates(2))
    after = evolve(rollout, [Join(assignment=joiner)], 5.0)
    assert after.stages[1].size == rollout.stages[1].size + 1
    assert after.assignments["new"] is joiner
