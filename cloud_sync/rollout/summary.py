"""Summaries: a rollout as the API shows it, with what a person has to do for it to go on. Pure."""

from collections.abc import Mapping
from typing import Final

from cloud_sync.rollout.deadlines import ends_at, is_stopped_clock
from cloud_sync.rollout.rollout import NO_STAGE, Assignment, Rollout, Stage
from cloud_sync.rollout_resources import (
    AssignmentSummary,
    RolloutDetail,
    RolloutState,
    RolloutSummary,
    StageState,
    StageSummary,
)
from cloud_sync.rollout_waiting import WaitCount, Waiting

Counts = Mapping[int, Mapping[str, int]]
"""Stage to state to number of assignments."""

_R: Final = RolloutState
_STOPPED: Final = frozenset({StageState.FAILED, StageState.INCONCLUSIVE})
_GONE: Final = frozenset({"expired", "superseded", "not_applicable", "already_present"})


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
        deadline=ends_at(rollout),
        state_reason=rollout.state_reason,
        trouble=rollout.trouble,
        needs=needs(rollout, counts),
        created=rollout.created,
        created_by=rollout.created_by,
        started=rollout.started,
        ended=rollout.ended,
        cohort=sum(sum(found.values()) for stage, found in counts.items() if stage != NO_STAGE),
        left_out=dict(sorted(counts.get(NO_STAGE, {}).items())),
        stages=tuple(
            _stage(rollout, stage, counts.get(stage.number, {}), messages.get(stage.number, 0))
            for stage in rollout.stages
        ),
        reason=rollout.wish.reason,
        per_device=rollout.wish.per_device,
    )


def detail(
    rollout: Rollout,
    counts: Counts,
    messages: Mapping[int, int],
    waits: tuple[WaitCount, ...] = (),
) -> RolloutDetail:
    """Everything about a rollout but its devices and its history.

    Args:
        rollout, counts, messages: as for `summarize`.
        waits: what its devices wait for.
    """
    return RolloutDetail(
        summary=summarize(rollout, counts, messages),
        policy=rollout.wish.policy,
        seed=rollout.seed,
        waits=waits,
    )


def needs(rollout: Rollout, counts: Counts) -> str:
    """What a person has to do for a rollout to go on; empty if nothing.

    Args:
        rollout: its assignments are not looked at.
        counts: of its assignments.
    """
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
            back = f"to take it back: shoal rollout rollback {name}"
            stopped = next((stage for stage in rollout.stages if stage.state in _STOPPED), None)
            if stopped is None:
                return f"to go on: shoal rollout resume {name}; {back}"
            if _is_deserted(counts.get(stopped.number, {})):
                return (
                    f"nobody is left in stage {stopped.number + 1} who could show how the version "
                    f"does, so resuming finds the same again: end it with shoal rollout abort "
                    f"{name} and start another, whose first stages are other devices; {back}"
                )
            return f"to have the stage judged again: shoal rollout resume {name}; {back}"
        case _R.ROLLBACK_INCOMPLETE:
            return f"look at the devices that did not go back: shoal rollout status {name}"
    return ""


def _is_deserted(counts: Mapping[str, int]) -> bool:
    """Whether every device of a stage is gone without having tried the version."""
    return bool(counts) and counts.keys() <= _GONE


def assignment_summary(assignment: Assignment, waiting: Waiting | None = None) -> AssignmentSummary:
    """One device of a rollout, with what it waits for."""
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
        waiting=waiting,
    )


def _stage(
    rollout: Rollout, stage: Stage, counts: Mapping[str, int], messages: int
) -> StageSummary:
    return StageSummary(
        number=stage.number,
        state=stage.state,
        step=stage.step,
        size=stage.size,
        counts=dict(sorted(counts.items())),
        messages=messages,
        since=stage.since,
        # Of a paused rollout it moves with every moment.
        deadline=None if is_stopped_clock(rollout, stage) else stage.deadline,
        verdict=stage.verdict,
        reason=stage.reason,
    )
