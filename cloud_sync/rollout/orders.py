"""What a person's order, or a newer rollout, means for a rollout: decisions. Pure.

An order only says what is wanted; what follows from it for each device is the planner's.
"""

from collections.abc import Iterable
from shlex import quote

from cloud_sync.errors import Conflict
from cloud_sync.rollout.deadlines import after_pause
from cloud_sync.rollout.decisions import Decision, Extend, Move, MoveRollout, MoveStage
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.staging import current_stage, cut_short
from cloud_sync.rollout.states import ENDED
from cloud_sync.rollout_resources import (
    CAN_GO_BACK,
    AssignmentState,
    RolloutOrder,
    RolloutState,
    StageState,
)

_R = RolloutState
_STOPPED = frozenset({StageState.FAILED, StageState.INCONCLUSIVE})
_ALLOWED = {
    "start": frozenset({_R.DRAFT, _R.READY}),
    "approve": frozenset({_R.PENDING_APPROVAL}),
    "pause": frozenset({_R.RUNNING}),
    "resume": frozenset({_R.PAUSED}),
    "abort": frozenset({_R.DRAFT, _R.PENDING_APPROVAL, _R.READY, _R.RUNNING, _R.PAUSED}),
    "rollback": CAN_GO_BACK,
}
_DONE = {
    "start": "started",
    "approve": "approved",
    "pause": "paused",
    "resume": "resumed",
    "abort": "aborted",
    "rollback": "taken back",
}


def order(rollout: Rollout, wanted: RolloutOrder, actor: str, now: float) -> tuple[Decision, ...]:
    """What an order changes.

    Args:
        rollout: as it is.
        wanted: the order.
        actor: who gives it.
        now: seconds since 1970.

    Raises:
        Conflict: not in this state; or somebody approves what they asked for themselves.
    """
    if rollout.state not in _ALLOWED[wanted.action]:
        raise _not_now(rollout, wanted)
    policy = rollout.wish.policy
    reason = f"{actor}: {wanted.reason}" if wanted.reason else f"{_DONE[wanted.action]} by {actor}"
    match wanted.action:
        case "start" if policy.approval and rollout.state is _R.DRAFT:
            return (MoveRollout(state=_R.PENDING_APPROVAL, reason=reason),)
        case "start" if rollout.state is _R.READY:
            return (MoveRollout(state=_R.RUNNING, reason=reason),)
        case "approve" if actor == rollout.created_by:
            raise Conflict(
                f"rollout r{rollout.id} expected somebody else's approval, found {actor!r}, "
                "who asked for it",
                hint="ask another operator to approve it",
                code="own_approval",
            )
        case "start" | "approve":
            return (
                MoveRollout(state=_R.READY, reason=reason),
                MoveRollout(state=_R.RUNNING, reason=reason),
            )
        case "pause":
            return (MoveRollout(state=_R.PAUSED, reason=reason),)
        case "resume":
            return (
                MoveRollout(state=_R.RUNNING, reason=reason),
                *_taken_up_again(rollout, reason, now),
            )
        case "abort":
            return *cut_short(rollout, reason), MoveRollout(state=_R.CANCELLED, reason=reason)
        case _:
            deadline = now + policy.rollback_s
            return (
                *cut_short(rollout, reason),
                MoveRollout(state=_R.ROLLING_BACK, reason=reason, deadline=deadline),
            )


def supersede(rollout: Rollout, devices: Iterable[str], by: str) -> tuple[Decision, ...]:
    """What it means for a rollout that something newer has taken the slots of these devices.

    Args:
        rollout: the older one.
        devices: whose slot it loses; those that are not in it, or have ended, are left out.
        by: what took them, for people: `r18`.
    """
    lost = [
        Move(device=device, state=AssignmentState.SUPERSEDED, reason=f"{by} took its slot")
        for device in devices
        if (found := rollout.assignments.get(device)) is not None and found.state not in ENDED
    ]
    return tuple(lost)


def _taken_up_again(rollout: Rollout, reason: str, now: float) -> tuple[MoveStage | Extend, ...]:
    """A stage that failed never just goes on; one that did not has the time that was left."""
    stage = current_stage(rollout)
    if stage is None:
        return ()
    if stage.state not in _STOPPED:
        return after_pause(rollout, stage, now)
    return (
        MoveStage(
            stage=stage.number,
            state=StageState.JUDGING,
            reason=f"judged again; {reason}",
            deadline=now + rollout.wish.policy.judge_s,
        ),
    )


def _not_now(rollout: Rollout, wanted: RolloutOrder) -> Conflict:
    possible = [name for name, states in _ALLOWED.items() if rollout.state in states]
    state = rollout.state.value.replace("_", " ")
    return Conflict(
        f"rollout r{rollout.id} is {state}, and cannot be {_DONE[wanted.action]}",
        hint=f"possible now: {', '.join(possible)}" if possible else _over(rollout),
        code="bad_transition",
    )


def _over(rollout: Rollout) -> str:
    """What to do where no order is possible any more."""
    if rollout.state is _R.SUPERSEDED:
        return "newer rollouts have its devices, and take orders: shoal rollout list"
    return (
        "its devices keep what they run; deploy what is wanted instead: "
        f"shoal deploy NAME/VERSION --to {quote(rollout.wish.to)} --slot {rollout.slot}"
    )
