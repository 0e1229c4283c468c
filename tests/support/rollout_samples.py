"""Resources of rollouts as the service answers them, for what draws them and what asks for them."""

from msgspec.structs import replace

from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    GateFinding,
    Obstacle,
    PlannedStage,
    RolloutDetail,
    RolloutEvent,
    RolloutPlan,
    RolloutState,
    RolloutSummary,
    StageState,
    StageSummary,
    Verdict,
)

NOW = 1_800_000_000.0

WAITING = Verdict(
    outcome="waiting",
    text="126 of 200 inferences",
    findings=(
        GateFinding(
            gate="success", outcome="passed", value=1.0, limit=0.95, samples=9,
            text="9 of 9 devices run it",
        ),
        GateFinding(
            gate="disagreement", outcome="waiting", value=0.031, limit=0.06, samples=126,
            text="3.1 % of 126 messages; too few to tell 2 % from 6 %",
        ),
        GateFinding(
            gate="psi", outcome="waiting", value=None, limit=0.25, samples=0, text="no scores yet",
        ),
    ),
)  # fmt: skip
PASSED = Verdict(
    outcome="passed",
    text="2 gates passed",
    findings=(
        GateFinding(
            gate="error_rate", outcome="passed", value=0.0, limit=0.03, samples=2_400,
            text="none of 2,400 messages failed",
        ),
        GateFinding(
            gate="memory", outcome="passed", value=1.02, limit=1.5, samples=1, text="61 MB",
        ),
    ),
)  # fmt: skip
FAILED = Verdict(
    outcome="failed",
    text="its answers differ from the champion's in 31 % of 420 messages, where 6 % is bad",
    findings=(
        GateFinding(
            gate="disagreement", outcome="failed", value=0.31, limit=0.06, samples=420,
            text="131 of 420 messages differ",
        ),
        *WAITING.findings[:1],
    ),
)  # fmt: skip


def stage(
    number: int, size: int, state: StageState = StageState.WAITING, **counts: int
) -> StageSummary:
    """A stage with so many assignments in each state; the rest of its devices are queued."""
    queued = size - sum(counts.values())
    return StageSummary(
        number=number,
        state=state,
        step="run",
        size=size,
        counts=counts | ({"queued": queued} if queued else {}),
        since=NOW - 300,
    )


def running(**changes: object) -> RolloutDetail:
    """A rollout of 1,000 devices in its second stage, as a shadow there."""
    summary = RolloutSummary(
        id="r17",
        module="wine",
        version=3,
        slot="wine",
        to="site=oslo and not tag:lab",
        state=RolloutState.RUNNING,
        state_reason="started by ada",
        needs="",
        created=NOW - 900,
        created_by="ada",
        started=NOW - 840,
        ended=None,
        cohort=1_000,
        stages=(
            replace(
                stage(0, 1, StageState.PASSED, committed=1),
                verdict=PASSED, messages=2_400, since=NOW - 600,
            ),
            replace(
                stage(1, 9, StageState.FILLING, shadow=3, offered=1, trial=2, rejected=1),
                step="shadow", verdict=WAITING, messages=126, deadline=NOW + 1_500,
            ),
            stage(2, 90),
            stage(3, 400),
            stage(4, 500),
        ),
        reason="better recall",
    )  # fmt: skip
    return RolloutDetail(summary=replace(summary, **changes), policy=Policy(), seed=7)


def paused() -> RolloutDetail:
    """The same, stopped by a gate of its second stage."""
    before = running()
    stages = before.summary.stages
    failed = replace(
        stages[1], state=StageState.FAILED, verdict=FAILED, reason=FAILED.text, deadline=None
    )
    return running(
        state=RolloutState.PAUSED,
        state_reason=f"stage 2 failed: {FAILED.text}",
        needs="`shoal rollout rollback r17` takes it back, `shoal rollout resume r17` judges again",
        stages=(stages[0], failed, *stages[2:]),
    )


def completed() -> RolloutDetail:
    """The same at its end; two devices failed."""
    done = tuple(
        replace(
            stage(each.number, each.size, StageState.PASSED, committed=each.size - each.number % 2),
            verdict=PASSED,
        )
        for each in running().summary.stages
    )
    return running(
        state=RolloutState.COMPLETED_DEGRADED,
        state_reason="2 of 1,000 devices do not run it",
        ended=NOW - 5,
        stages=tuple(
            replace(each, counts=each.counts | {"rolled_back": each.counts.pop("queued", 0)})
            for each in done
        ),
    )


def event(
    number: int,
    before: str,
    after: str,
    *,
    stage: int | None = None,
    device: str = "",
    actor: str = "service",
    reason: str = "",
    **evidence: str,
) -> RolloutEvent:
    """One transition; the higher its number, the later."""
    return RolloutEvent(
        id=number, time=NOW - 900 + number, stage=stage, device=device, before=before, after=after,
        actor=actor, reason=reason, evidence=evidence,
    )  # fmt: skip


EVENTS = (
    event(1, "", "draft", actor="ada", reason="better recall"),
    event(2, "draft", "ready", actor="ada"),
    event(3, "ready", "running", actor="ada", reason="started by ada"),
    event(4, "waiting", "filling", stage=0),
    event(
        9,
        "judging",
        "passed",
        stage=0,
        reason="2 gates passed",
        verdict="passed",
        text="2 gates passed",
        error_rate="passed: none of 2,400 messages failed",
    ),
    event(12, "waiting", "filling", stage=1),
)


def assignment(device: str, state: AssignmentState, **changes: object) -> AssignmentSummary:
    """One device of the second stage."""
    found = AssignmentSummary(
        device=device, stage=1, state=state, module="wine", version=3, digest="sha256:" + "a" * 64,
        previous_version=2, since=NOW - 40, deadline=NOW + 3_560, next_retry=None, attempts=0,
        revision=12, reason="",
    )  # fmt: skip
    return replace(found, **changes)


def plan() -> RolloutPlan:
    """Of the same rollout."""
    return RolloutPlan(
        module="wine",
        version=3,
        slot="wine",
        cohort=1_000,
        stages=(
            PlannedStage(number=0, size=1, devices=("line-7",), has_shadow=True),
            PlannedStage(
                number=1, size=9, devices=tuple(f"press-{i}" for i in range(9)), has_shadow=True
            ),
            PlannedStage(
                number=2, size=90, devices=tuple(f"mill-{i}" for i in range(20)), has_shadow=False
            ),
            PlannedStage(number=3, size=400, devices=("oven-1", "oven-2"), has_shadow=False),
            PlannedStage(number=4, size=500, devices=("saw-1", "saw-2"), has_shadow=False),
        ),
        already=("line-1", "line-2"),
        away=("mill-4",),
        rest=("drill-1", "drill-2"),
        unfit=(
            Obstacle(device="line-9", code="memory", text="needs 64 MB, has 48 MB"),
            Obstacle(device="line-8", code="opset", text="opset 23, its onnxruntime knows 21"),
        ),
        conflicts=(Obstacle(device="oven-3", code="taken", text="r16 is at work on slot wine"),),
        bytes_to_send=1_234_567_890,
        expected_s=9_600,
        assumptions=("downloads take no time", "no device fails"),
        seed=7,
    )
