"""How a stage goes forward: full, soaked, judged; and what follows when it fails. Pure.

One step at a time: what follows from a step is seen when the rollout is looked at again. A stage
passes by its verdict alone, and what is missing never passes it.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cloud_sync.rollout.deadlines import filled_by
from cloud_sync.rollout.decisions import Decision, Judged, MoveRollout, MoveStage
from cloud_sync.rollout.hearing import has_champion, is_away
from cloud_sync.rollout.observation import DeviceNow, World
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage, Step
from cloud_sync.rollout.states import ENDED, ENDED_BADLY, IN_FLIGHT
from cloud_sync.rollout.verdict import is_deserted, is_stopped, judge
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState, Verdict

_A = AssignmentState
_S = StageState
AT_WORK = frozenset({_S.FILLING, _S.SOAKING, _S.JUDGING})
"""The stage has begun and nothing is decided about it yet."""


def current_stage(rollout: Rollout) -> Stage | None:
    """The stage that is at work or next; None when all have passed."""
    return next((stage for stage in rollout.stages if stage.state is not _S.PASSED), None)


def next_step(rollout: Rollout, world: World, now: float) -> tuple[Decision, ...]:
    """What the current stage of a running rollout does next; nothing if it waits."""
    stage = current_stage(rollout)
    if stage is None:
        return ()
    members = members_of(rollout, stage)
    if stage.state is not _S.WAITING and stage.step == "shadow":
        # Those that run nothing yet get their turn when the version is to answer.
        members = [
            one for one in members if one.state is not _A.QUEUED or has_champion(one, rollout)
        ]
    match stage.state:
        case _S.WAITING:
            return (_begin(rollout, stage, members, now),)
        case _S.FILLING:
            return _filling(rollout, stage, members, world, now)
        case _S.SOAKING:
            return _soaking(rollout, stage, members, world, now)
        case _S.JUDGING:
            return _judging(rollout, stage, members, world, now)
        case _:
            return (_stopped(rollout, stage, now),)


def cut_short(rollout: Rollout, why: str) -> tuple[MoveStage, ...]:
    """The end of the stage that is at work when its rollout ends before it.

    Args:
        rollout: that ends, or goes back.
        why: for people.
    """
    stage = current_stage(rollout)
    if stage is None or stage.state not in AT_WORK:
        return ()
    return (MoveStage(stage=stage.number, state=_S.INCONCLUSIVE, reason=f"not finished: {why}"),)


def members_of(rollout: Rollout, stage: Stage) -> list[Assignment]:
    """The assignments of a stage."""
    number = stage.number
    return [one for one in rollout.assignments.values() if one.stage == number]


def _stop(
    rollout: Rollout, stage: Stage, verdict: Verdict, state: StageState, now: float
) -> tuple[Decision, ...]:
    """A stage does not go on, and what the policy makes of it."""
    moved = MoveStage(stage=stage.number, state=state, reason=verdict.text, verdict=verdict)
    return moved, _stopped(rollout, replace(stage, state=state, reason=verdict.text), now)


def _stopped(rollout: Rollout, stage: Stage, now: float) -> MoveRollout:
    """What becomes of a rollout whose stage does not go on."""
    policy = rollout.wish.policy
    name = f"stage {stage.number + 1} {stage.state}: {stage.reason}"
    if stage.state is _S.FAILED and policy.on_error == "rollback":
        deadline = now + policy.rollback_s
        return MoveRollout(state=RolloutState.ROLLING_BACK, reason=name, deadline=deadline)
    return MoveRollout(state=RolloutState.PAUSED, reason=name)


def is_settled(
    assignment: Assignment, seen: DeviceNow | None, rollout: Rollout, stage: Stage, now: float
) -> bool:
    """Whether a stage waits for this device no longer.

    Args:
        assignment: of the device.
        seen: None if nothing is known of it, and then it is waited for.
        rollout: that it is of.
        stage: its stage.
        now: seconds since 1970.
    """
    state = assignment.state
    if state is _A.COMMITTED or state in ENDED:
        return True
    if stage.step == "shadow" and state is _A.SHADOW:
        return True
    if seen is None or state in IN_FLIGHT:
        return False
    policy = rollout.wish.policy
    if is_away(seen, now, policy.offline_after_s):
        return True
    # What another rollout holds is not waited for for ever.
    return seen.is_taken and now >= stage.since + policy.offline_after_s


def _begin(rollout: Rollout, stage: Stage, members: Sequence[Assignment], now: float) -> MoveStage:
    policy = rollout.wish.policy
    has_shadow = stage.number < policy.shadow_stages and any(
        has_champion(one, rollout) for one in members
    )
    step: Step = "shadow" if has_shadow else "run"
    return MoveStage(
        stage=stage.number,
        state=_S.FILLING,
        step=step,
        reason=_BEGINS[step],
        deadline=filled_by(rollout, stage, now),
    )


_BEGINS: Mapping[Step, str] = {
    "shadow": "its devices run the version beside the one that answers",
    "run": "its devices get the version",
}


def _filling(
    rollout: Rollout, stage: Stage, members: Sequence[Assignment], world: World, now: float
) -> tuple[Decision, ...]:
    verdict = _early(rollout, stage, members, world, now)
    if verdict is not None and verdict.outcome == "failed":
        return _stop(rollout, stage, verdict, _S.FAILED, now)
    devices = world.devices
    if all(is_settled(one, devices.get(one.device), rollout, stage, now) for one in members):
        soak_s = rollout.wish.policy.soak_s
        return (
            MoveStage(
                stage=stage.number,
                state=_S.SOAKING,
                reason=f"every device that could be reached was; it runs for {soak_s:g} s",
                deadline=now + soak_s,
            ),
        )
    if stage.deadline is not None and now >= stage.deadline:
        text = "not all devices were done in time"
        late = Verdict(outcome="inconclusive", text=text)
        return _stop(rollout, stage, late, _S.INCONCLUSIVE, now)
    return _shown(stage, verdict)


def _soaking(
    rollout: Rollout, stage: Stage, members: Sequence[Assignment], world: World, now: float
) -> tuple[Decision, ...]:
    verdict = _early(rollout, stage, members, world, now)
    if verdict is not None and verdict.outcome == "failed":
        return _stop(rollout, stage, verdict, _S.FAILED, now)
    if stage.deadline is None or now >= stage.deadline:
        return (
            MoveStage(
                stage=stage.number,
                state=_S.JUDGING,
                reason="it has soaked",
                deadline=now + rollout.wish.policy.judge_s,
            ),
        )
    return _shown(stage, verdict)


def _judging(
    rollout: Rollout, stage: Stage, members: Sequence[Assignment], world: World, now: float
) -> tuple[Decision, ...]:
    policy = rollout.wish.policy
    verdict = judge(stage, members, world.devices, world.evidence, policy, now)
    if verdict.outcome == "failed":
        return _stop(rollout, stage, verdict, _S.FAILED, now)
    if not stage.is_full:
        # It was stopped before it was full, and a person has resumed it.
        return (
            MoveStage(
                stage=stage.number,
                state=_S.FILLING,
                reason=f"judged again and not failed: {verdict.text}",
                deadline=filled_by(rollout, stage, now),
                verdict=verdict,
            ),
        )
    messages = world.evidence.version.messages
    is_short = messages < policy.soak_messages and not is_deserted(members)
    if verdict.outcome == "passed" and is_short:
        verdict = Verdict(
            outcome="waiting",
            text=f"{messages} inferences seen, {policy.soak_messages} are needed",
            findings=verdict.findings,
        )
    if verdict.outcome == "passed" and not _has_soaked(stage, members, policy, now):
        verdict = Verdict(
            outcome="waiting",
            text=f"most of its devices have it for less than {policy.soak_s:g} s",
            findings=verdict.findings,
        )
    if verdict.outcome == "passed":
        return (_passed(rollout, stage, verdict, now),)
    is_late = stage.deadline is not None and now >= stage.deadline
    if verdict.outcome == "inconclusive" or is_late:
        if verdict.outcome == "waiting":
            text = f"not enough was seen in time: {verdict.text}"
            verdict = Verdict(outcome="inconclusive", text=text, findings=verdict.findings)
        return _stop(rollout, stage, verdict, _S.INCONCLUSIVE, now)
    return _shown(stage, verdict)


def _has_soaked(stage: Stage, members: Sequence[Assignment], policy: Policy, now: float) -> bool:
    """Whether most devices that have the version have it for long enough.

    Some may have come back, or got it a second time, after the stage began to soak.
    """
    has_it = _A.SHADOW if stage.step == "shadow" else _A.COMMITTED
    since = [one.since for one in members if one.state is has_it]
    late = sum(now < moment + policy.soak_s for moment in since)
    return late * 2 <= len(since)


def _passed(rollout: Rollout, stage: Stage, verdict: Verdict, now: float) -> MoveStage:
    if stage.step == "shadow":
        return MoveStage(
            stage=stage.number,
            state=_S.FILLING,
            step="run",
            reason=f"passed as a shadow: {verdict.text}",
            deadline=filled_by(rollout, stage, now),
            verdict=verdict,
        )
    return MoveStage(stage=stage.number, state=_S.PASSED, reason=verdict.text, verdict=verdict)


def _early(
    rollout: Rollout, stage: Stage, members: Sequence[Assignment], world: World, now: float
) -> Verdict | None:
    """A verdict before the stage is due; None while there is nothing that could fail it."""
    policy = rollout.wish.policy
    if not _can_fail(members, world, policy):
        return None
    return judge(stage, members, world.devices, world.evidence, policy, now)


def _can_fail(members: Sequence[Assignment], world: World, policy: Policy) -> bool:
    version = world.evidence.version
    if policy.gates is not None and (version.messages or version.compared):
        return True
    return any(one.state in ENDED_BADLY for one in members) or is_stopped(members, world.devices)


def _shown(stage: Stage, verdict: Verdict | None) -> tuple[Decision, ...]:
    if verdict is None or verdict == stage.verdict:
        return ()
    return (Judged(stage=stage.number, verdict=verdict),)
