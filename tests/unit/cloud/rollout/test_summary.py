"""What people are told to do about a rollout, and when what ends."""

from msgspec.structs import replace

from cloud_sync.rollout.summary import counts_of, needs, summarize
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from tests.support.rollouts import QUICK, Fleet, candidates, rollout_of

A = AssignmentState
STAGED = replace(
    QUICK,
    stages=("2", "100%"),
    max_in_flight="100%",
    soak_s=60,
)


def told(fleet: Fleet) -> str:
    return needs(fleet.rollout, counts_of(fleet.rollout))


def test_a_stage_that_nobody_is_left_in_is_not_to_be_resumed() -> None:
    fleet = Fleet(rollout_of(candidates(10), STAGED)).start()
    fleet.take(*[d for d, one in fleet.rollout.assignments.items() if one.stage == 0])
    fleet.drive()
    fleet.wait(60)
    assert fleet.rollout.state is RolloutState.PAUSED
    assert told(fleet).startswith("nobody is left in stage 1 who could show how the version does")
    fleet.order("resume")
    fleet.drive()
    assert fleet.rollout.stages[0].state is StageState.INCONCLUSIVE, "missing data never advances"
    assert "shoal rollout abort r1" in told(fleet)


def test_a_stage_with_somebody_left_may_be_judged_again() -> None:
    fleet = Fleet(rollout_of(candidates(10), STAGED)).start()
    fleet.roll_back(*fleet.those(A.OFFERED))
    fleet.drive()
    assert told(fleet).startswith("to have the stage judged again: shoal rollout resume r1")


def test_a_paused_stage_counts_no_time_down() -> None:
    fleet = Fleet(rollout_of(candidates(10), STAGED)).start()

    def deadline() -> float | None:
        return summarize(fleet.rollout, counts_of(fleet.rollout), {}).stages[0].deadline

    assert deadline() is not None
    fleet.order("pause")
    assert deadline() is None
    fleet.order("resume")
    assert deadline() is not None
