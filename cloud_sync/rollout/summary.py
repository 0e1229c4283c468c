"""Summaries: a rollout as the API shows it, with what a person has to do for it to go on. Pure."""

from collections.abc import Mapping
from typing import Final

from cloud_sync.rollout.rollout import NO_STAGE, Assignment, Rollout, Stage
from cloud_sync.rollout_resources import (
    AssignmentSummary,
    RolloutDetail,
    RolloutState,
    RolloutSummary,
    StageState,
    StageSummary,
)

Counts = Mapping[int, Mapping[str, int]]
"""Stage to state to number of assignments."""

_R: Final = RolloutState


def rollout_name(number: int) -> str:
    """A rollout's number as people write it: `r17`."""
    return f"r{number}"


def counts_of(rollout: Rollout) -> Counts:
    """How many assignments of each stage are in which state."""
    found: dict[int, dict[str, int]] = {}
    for assignment in rollout.assignments.values():
        stage = found.setdefault(assignment.stage, {})
        stage[assignment.state.value] = stage.get(assignment.state.value, 0) + 1
    return found


def summarize(rollout: Rollout, counts: Counts, messages: Mapping[int, int]) -> RolloutSummary:
    """One line of the list of rollouts.

    Args:
        rollout: its assignments are not looked at.
        counts: of its assignments.
        messages: stage to inferences of the version in it.
    """
    return RolloutSummary(
        id=rollout_name(rollout.id),
        module=rollout.module,
        version=rollout.version,
        slot=rollout.slot,
        to=rollout.wish.to,
        state=rollout.state,
        state_since=rollout.state_since,
        state_reason=rollout.state_reason,
        trouble=rollout.trouble,
        needs=needs(rollout),
        created=rollout.created,
        created_by=rollout.created_by,
        started=rollout.started,
        ended=rollout.ended,
        cohort=sum(sum(found.values()) for stage, found in counts.items() if stage != NO_STAGE),
        left_out=dict(sorted(counts.get(NO_STAGE, {}).items())),
        stages=tuple(
            _stage(stage, counts.get(stage.number, {}), messages.get(stage.number, 0))
            for stage in rollout.stages
        ),
        reason=rollout.wish.reason,
        per_device=rollout.wish.per_device,
    )


def detail(rollout: Rollout, counts: Counts, messages: Mapping[int, int]) -> RolloutDetail:
    """Everything about a rollout but its devices and its history."""
    return RolloutDetail(
        summary=summarize(rollout, counts, messages), policy=rollout.wish.policy, seed=rollout.seed
    )


def needs(rollout: Rollout) -> str:
    """What a person has to do for a rollout to go on; empty if nothing."""
    name = rollout_name(rollout.id)
    match rollout.state:
        case _R.DRAFT:
            return f"start it: shoal rollout start {name}"
        case _R.PENDING_APPROVAL:
            return (
                f"somebody else than {rollout.created_by} has to approve it: "
                f"shoal rollout approve {name}"
            )
        case _R.PAUSED:
            stopped = any(
                stage.state in {StageState.FAILED, StageState.INCONCLUSIVE}
                for stage in rollout.stages
            )
            again = "to have the stage judged again" if stopped else "to go on"
            return (
                f"{again}: shoal rollout resume {name}; "
                f"to take it back: shoal rollout rollback {name}"
            )
        case _R.ROLLBACK_INCOMPLETE:
            return f"look at the devices that did not go back: shoal rollout status {name}"
    return ""


def assignment_summary(assignment: Assignment) -> AssignmentSummary:
    """One device of a rollout."""
    previous = assignment.previous
    return AssignmentSummary(
        device=assignment.device,
        stage=None if assignment.stage == NO_STAGE else assignment.stage,
        state=assignment.state,
        module=assignment.module,
        version=assignment.version,
        digest=assignment.digest,
        previous_version=0 if previous is None else previous.version,
        since=assignment.since,
        deadline=assignment.deadline,
        next_retry=assignment.next_retry,
        attempts=assignment.attempts,
        revision=assignment.revision,
        reason=assignment.reason,
    )


def _stage(stage: Stage, counts: Mapping[str, int], messages: int) -> StageSummary:
    return StageSummary(
        number=stage.number,
        state=stage.state,
        step=stage.step,
        size=stage.size,
        counts=dict(sorted(counts.items())),
        messages=messages,
        since=stage.since,
        deadline=stage.deadline,
        verdict=stage.verdict,
        reason=stage.reason,
    )
