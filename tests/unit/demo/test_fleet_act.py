"""What the third act says of a rollout."""

import pytest

from cloud_sync.demo.fleet_act import POLICY, disagreement, reason_of, where
from cloud_sync.errors import Unavailable
from cloud_sync.rollout_resources import (
    GateFinding,
    RolloutDetail,
    RolloutState,
    RolloutSummary,
    StageState,
    StageSummary,
    Verdict,
)

FOUND = GateFinding(
    gate="disagreement", outcome="failed", value=0.04, limit=0.005, samples=400, text="they differ"
)


def detail(state: RolloutState, *stages: StageSummary) -> RolloutDetail:
    summary = RolloutSummary(
        id="r1",
        module="m",
        version=3,
        slot="m",
        to="sim-*",
        state=state,
        state_reason="",
        needs="",
        created=0.0,
        created_by="demo",
        started=0.0,
        ended=None,
        cohort=200,
        stages=stages,
    )
    return RolloutDetail(summary=summary, policy=POLICY, seed=1)


def stage(number: int, state: StageState, *, outcome: str = "") -> StageSummary:
    verdict = Verdict(outcome="failed", text="", findings=(FOUND,)) if outcome else None
    return StageSummary(
        number=number, state=state, step="shadow", size=4, counts={}, messages=1234, verdict=verdict
    )


def test_disagreement_is_the_share_of_rows_that_differ() -> None:
    assert disagreement([0, 1, 1, 0], [0, 1, 0, 0]) == 0.25
    with pytest.raises(Unavailable):
        disagreement([], [])


def test_the_reason_is_what_the_failed_stage_failed_by() -> None:
    assert reason_of(detail(RolloutState.RUNNING, stage(0, StageState.SOAKING))) is None
    failed = stage(0, StageState.FAILED, outcome="failed")
    assert reason_of(detail(RolloutState.ROLLED_BACK, failed)) == FOUND


def test_where_a_rollout_is_names_its_stage() -> None:
    passed = stage(0, StageState.PASSED)
    said = where(detail(RolloutState.RUNNING, passed, stage(1, StageState.SOAKING)))
    assert said == "stage 2 of 2, beside the champion on 4 devices, soaking, 1,234 messages"
    assert where(detail(RolloutState.ROLLING_BACK, passed)) == "taking it back"
    assert where(detail(RolloutState.READY)) == "ready"
