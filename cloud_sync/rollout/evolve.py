"""A rollout after decisions: each checked against the tables of transitions. Pure.

The only place that makes a rollout from another one. It decides nothing: what does not follow from
the tables is an error, never corrected.
"""

from collections.abc import Iterable, Mapping
from typing import Final, assert_never

from msgspec.structs import replace

from cloud_sync.errors import Conflict
from cloud_sync.rollout.decisions import (
    Decision,
    Extend,
    Join,
    Judged,
    Move,
    MoveRollout,
    MoveStage,
    Offer,
    Revert,
    Trouble,
)
from cloud_sync.rollout.rollout import NO_STAGE, Assignment, Rollout, Stage
from cloud_sync.rollout.states import ASSIGNMENT, ROLLOUT, STAGE, check
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from edge_agent.contract.state import WantedSlot

OVER: Final = frozenset(
    {
        RolloutState.COMPLETED,
        RolloutState.COMPLETED_DEGRADED,
        RolloutState.ROLLED_BACK,
        RolloutState.ROLLBACK_INCOMPLETE,
        RolloutState.CANCELLED,
        RolloutState.SUPERSEDED,
    }
)
"""States of a rollout that has an end."""


def evolve(rollout: Rollout, decisions: Iterable[Decision], now: float) -> Rollout:
    """The rollout after these decisions, in their order.

    Revisions are not known yet: `with_revisions` adds them when desired states are written.

    Args:
        rollout: before.
        decisions: of one round.
        now: seconds since 1970.

    Raises:
        Conflict: a decision does not follow from the tables, or is about an unknown device or
            stage.
    """
    # One copy for all of them: a round may concern every device.
    assignments: dict[str, Assignment] | None = None
    left_out: dict[str, Assignment] = {}
    for decision in decisions:
        if not isinstance(decision, Join | Move | Offer | Revert):
            rollout = _with(rollout, decision, now)
            continue
        if assignments is None:
            assignments = dict(rollout.assignments)
        if not isinstance(decision, Join):
            before = assignments.get(decision.device)
            if before is None:
                raise _unknown(f"device {decision.device!r}", rollout)
            assignments[decision.device] = _changed(before, decision, now)
            continue
        new = decision.assignment
        if any(new.device in known for known in (assignments, rollout.left_out, left_out)):
            raise _in_it_already(new.device, rollout)
        if new.stage == NO_STAGE:
            left_out[new.device] = new
        else:
            rollout = _joined(rollout, assignments, new)
    if left_out:
        rollout = replace(rollout, left_out={**rollout.left_out, **left_out})
    return rollout if assignments is None else replace(rollout, assignments=assignments)


def _with(
    rollout: Rollout, decision: MoveRollout | MoveStage | Trouble | Judged | Extend, now: float
) -> Rollout:
    """The rollout after a decision about itself or one of its stages."""
    match decision:
        case MoveRollout():
            return _moved_rollout(rollout, decision, now)
        case MoveStage():
            return _moved_stage(rollout, decision, now)
        case Trouble():
            return replace(rollout, trouble=decision.text)
        case Judged():
            judged = replace(_stage(rollout, decision.stage), verdict=decision.verdict)
            return _with_stage(rollout, judged)
        case Extend():
            extended = replace(_stage(rollout, decision.stage), deadline=decision.deadline)
            return _with_stage(rollout, extended)
        case _:  # pragma: no cover
            assert_never(decision)


def with_revisions(
    rollout: Rollout,
    revisions: Mapping[str, int],
    previous: Mapping[str, WantedSlot | None] | None = None,
) -> Rollout:
    """The rollout when the desired states of a round's offers and reverts are written.

    Args:
        rollout: after `evolve`.
        revisions: of the new desired states, by device.
        previous: what the slot wanted until then, of devices that were offered something for the
            first time: another rollout may have changed it since the start.
    """
    if not revisions:
        return rollout
    assignments = dict(rollout.assignments)
    for device, revision in revisions.items():
        before = assignments[device]
        if previous is not None and device in previous and before.revision == 0:
            before = replace(before, previous=previous[device])
        assignments[device] = replace(before, revision=revision)
    return replace(rollout, assignments=assignments)


def _changed(before: Assignment, decision: Move | Offer | Revert, now: float) -> Assignment:
    match decision:
        case Move():
            return replace(
                before,
                state=_checked(before, decision.state),
                # What the desired state asks for is its successor's from now on.
                is_wanted=before.is_wanted and decision.state is not AssignmentState.SUPERSEDED,
                since=now,
                deadline=decision.deadline,
                attempts=before.attempts if decision.attempts is None else decision.attempts,
                next_retry=decision.next_retry,
                reason=decision.reason,
                evidence=decision.evidence,
            )
        case Offer():
            return replace(
                before,
                state=_checked(before, AssignmentState.OFFERED),
                mode=decision.mode,
                is_wanted=True,
                since=now,
                deadline=decision.deadline,
                next_retry=None,
                reason=decision.reason,
                evidence={},
            )
        case Revert():
            # Only its desired state goes back where the state stays: the device is away, or it
            # has ended.
            is_same = decision.state is before.state
            return replace(
                before,
                state=before.state if is_same else _checked(before, decision.state),
                is_wanted=False,
                since=before.since if is_same else now,
                deadline=decision.deadline,
                attempts=before.attempts if decision.attempts is None else decision.attempts,
                next_retry=None,
                reason=decision.reason,
                evidence=decision.evidence,
            )
        case _:  # pragma: no cover
            assert_never(decision)


def _checked(before: Assignment, after: AssignmentState) -> AssignmentState:
    try:
        return check(ASSIGNMENT, before.state, after)
    except Conflict as error:
        raise Conflict(
            f"{before.device}: {error.text}", hint=error.hint, code=error.code
        ) from error


def _moved_rollout(rollout: Rollout, decision: MoveRollout, now: float) -> Rollout:
    state = check(ROLLOUT, rollout.state, decision.state)
    is_running = state is RolloutState.RUNNING
    return replace(
        rollout,
        state=state,
        state_since=now,
        state_reason=decision.reason,
        deadline=decision.deadline,
        started=now if is_running and rollout.started is None else rollout.started,
        ended=now if state in OVER else None,
    )


def _moved_stage(rollout: Rollout, decision: MoveStage, now: float) -> Rollout:
    before = _stage(rollout, decision.stage)
    state = check(STAGE, before.state, decision.state)
    step = decision.step or before.step
    is_new_step = step != before.step
    return _with_stage(
        rollout,
        replace(
            before,
            state=state,
            step=step,
            is_full=state is StageState.SOAKING or (before.is_full and not is_new_step),
            since=now,
            deadline=decision.deadline,
            verdict=decision.verdict or before.verdict,
            reason=decision.reason,
        ),
    )


def _joined(rollout: Rollout, assignments: dict[str, Assignment], new: Assignment) -> Rollout:
    stage = _stage(rollout, new.stage)
    assignments[new.device] = new
    return _with_stage(rollout, replace(stage, size=stage.size + 1))


def _stage(rollout: Rollout, number: int) -> Stage:
    if not 0 <= number < len(rollout.stages):
        raise _unknown(f"stage {number + 1}", rollout)
    return rollout.stages[number]


def _with_stage(rollout: Rollout, stage: Stage) -> Rollout:
    stages = rollout.stages
    number = stage.number
    return replace(rollout, stages=(*stages[:number], stage, *stages[number + 1 :]))


def _in_it_already(device: str, rollout: Rollout) -> Conflict:
    return Conflict(
        f"device {device!r} is in rollout r{rollout.id} already",
        hint="a device joins once, and is left out once",
        code="already_joined",
    )


def _unknown(what: str, rollout: Rollout) -> Conflict:
    return Conflict(
        f"rollout r{rollout.id} has no {what}",
        hint="plan again from the rollout as it is now",
        code="not_in_rollout",
    )
