"""Rollouts as rows: which column holds what of a value, and back. Pure.

Knows nothing of connections; `store` says when a row is read or written.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Row

from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout.states import IN_FLIGHT
from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutState,
    RolloutWish,
    StageState,
    Verdict,
)
from edge_agent.contract.state import WantedSlot

LIVE: Final = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.ROLLING_BACK})
"""It is at work: what is committed is still its own."""

_WISH: Final = msgspec.json.Decoder(RolloutWish)
_VERDICT: Final = msgspec.json.Decoder(Verdict)
_PREVIOUS: Final = msgspec.json.Decoder(WantedSlot)
_EVIDENCE: Final = msgspec.json.Decoder(dict[str, str])
_ENCODER: Final = msgspec.json.Encoder()


def rollout_values(rollout: Rollout) -> dict[str, Any]:  # Any: columns of several types
    """Columns of a rollout itself, all but its number."""
    return {
        "state": rollout.state.value,
        "state_since": rollout.state_since,
        "state_reason": rollout.state_reason,
        "trouble": rollout.trouble,
        "deadline": rollout.deadline,
        "module": rollout.module,
        "version": rollout.version,
        "slot": rollout.slot,
        "priority": rollout.wish.policy.priority,
        "seed": rollout.seed,
        "created": rollout.created,
        "created_by": rollout.created_by,
        "started": rollout.started,
        "ended": rollout.ended,
        "wish": _ENCODER.encode(rollout.wish),
        "is_followed": is_followed(rollout),
    }


def is_followed(rollout: Rollout) -> bool:
    """Whether devices that come late, or labels, concern a rollout even when it is over."""
    policy = rollout.wish.policy
    has_labels = policy.gates is not None and policy.gates.wrong is not None
    return policy.late_joiners == "include" or has_labels


def stage_values(stage: Stage) -> dict[str, object]:
    """Columns of a stage, all but its key."""
    return {
        "size": stage.size,
        "state": stage.state.value,
        "step": stage.step,
        "since": stage.since,
        "deadline": stage.deadline,
        "is_full": stage.is_full,
        "verdict": None if stage.verdict is None else _ENCODER.encode(stage.verdict),
        "reason": stage.reason,
    }


def assignment_values(rollout: Rollout, assignment: Assignment) -> dict[str, object]:
    """Columns of an assignment that may change."""
    previous = assignment.previous
    return {
        "stage": assignment.stage,
        "module": assignment.module,
        "version": assignment.version,
        "digest": assignment.digest,
        "site": assignment.site,
        "previous": None if previous is None else _ENCODER.encode(previous),
        "state": assignment.state.value,
        "mode": assignment.mode,
        "revision": assignment.revision,
        "since": assignment.since,
        "deadline": assignment.deadline,
        "attempts": assignment.attempts,
        "next_retry": assignment.next_retry,
        "reason": assignment.reason,
        "evidence": _ENCODER.encode(assignment.evidence),
        "is_wanted": assignment.is_wanted,
        "is_active": is_active(rollout.state, assignment),
    }


def is_active(state: RolloutState, assignment: Assignment) -> bool:
    """Whether a rollout is at work on an assignment's slot, so that no other may be. Pure."""
    if assignment.state is AssignmentState.COMMITTED:
        return state in LIVE
    if assignment.state is AssignmentState.QUEUED:
        return assignment.is_wanted
    return assignment.state in IN_FLIGHT or assignment.state is AssignmentState.SHADOW


def as_rollout(row: Row[Any], stages: tuple[Stage, ...]) -> Rollout:  # Any: columns
    """A rollout without its assignments."""
    return Rollout(
        id=row.id,
        wish=_WISH.decode(row.wish),
        slot=row.slot,
        module=row.module,
        version=row.version,
        seed=row.seed,
        created=row.created,
        created_by=row.created_by,
        state=RolloutState(row.state),
        state_since=row.state_since,
        state_reason=row.state_reason,
        trouble=row.trouble,
        deadline=row.deadline,
        started=row.started,
        ended=row.ended,
        stages=stages,
    )


def as_stage(row: Row[Any]) -> Stage:  # Any: columns
    """One stage."""
    return Stage(
        number=row.number,
        size=row.size,
        state=StageState(row.state),
        step=row.step,
        since=row.since,
        deadline=row.deadline,
        is_full=row.is_full,
        verdict=None if row.verdict is None else _VERDICT.decode(row.verdict),
        reason=row.reason,
    )


def as_assignment(row: Row[Any]) -> Assignment:  # Any: columns
    """One assignment."""
    return Assignment(
        device=row.device,
        stage=row.stage,
        module=row.module,
        version=row.version,
        digest=row.digest,
        site=row.site,
        previous=None if row.previous is None else _PREVIOUS.decode(row.previous),
        state=AssignmentState(row.state),
        mode=row.mode,
        revision=row.revision,
        since=row.since,
        deadline=row.deadline,
        attempts=row.attempts,
        next_retry=row.next_retry,
        reason=row.reason,
        evidence=_EVIDENCE.decode(row.evidence),
        is_wanted=row.is_wanted,
    )
