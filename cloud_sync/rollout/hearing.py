"""What is known of one device, held against what a rollout wants of it. Pure.

Success is the running digest, reported by a device that has seen the offer: never that something
was sent, taken or begun.
"""

from typing import Final

from cloud_sync.rollout.decisions import Move, Revert
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.rollout import Assignment, Rollout, Step
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState
from edge_agent.contract.state import Phase, ReportedSlot

_A = AssignmentState
_LONGEST_TEXT: Final = 500
_UNDER_WAY: Final = frozenset({_A.DOWNLOADING, _A.VERIFIED, _A.TRIAL})
GAVE_UP: Final = {Phase.REJECTED: _A.REJECTED, Phase.ROLLED_BACK: _A.ROLLED_BACK}
"""A device that reports this phase does not try again by itself."""


def is_away(seen: DeviceNow, now: float, for_s: float = 0.0) -> bool:
    """Whether nothing was heard of a device for so long, seconds."""
    return seen.away_since is not None and now - seen.away_since >= for_s


def is_put_off(seen: DeviceNow, since: float, policy: Policy, now: float) -> bool:
    """Whether a module on the device says "not now", and still may.

    Args:
        since: when it was first asked to wait, seconds since 1970.
    """
    return (
        seen.locked_until is not None
        and now < seen.locked_until
        and now < since + policy.lock_max_s
    )


def has_champion(assignment: Assignment, rollout: Rollout) -> bool:
    """Whether a device runs something that the version can be a shadow of."""
    previous = assignment.previous
    return (
        not rollout.wish.shadows
        and previous is not None
        and previous.mode == "run"
        and previous.digest != assignment.digest
    )


def is_asked_again(assignment: Assignment, step: Step) -> bool:
    """Whether an offer would only repeat what a device's desired state asks for already."""
    return assignment.state is _A.QUEUED and assignment.is_wanted and assignment.mode == step


def has_heard(assignment: Assignment, seen: DeviceNow) -> bool:
    """Whether a device has seen its last offer or revert."""
    return assignment.revision > 0 and seen.revision_seen >= assignment.revision


def slot_of(assignment: Assignment, seen: DeviceNow) -> ReportedSlot | None:
    """What it reports of the slot where it was asked to run the version."""
    return seen.shadow if assignment.mode == "shadow" else seen.slot


def end_of(assignment: Assignment, seen: DeviceNow, policy: Policy) -> Move | Revert | None:
    """How the device says that it came out; None while it is on its way."""
    slot = slot_of(assignment, seen)
    if slot is None:
        return None
    is_running = slot.running == assignment.digest and slot.phase is Phase.ACTIVE
    if is_running and not _is_as_before(assignment, seen):
        state = _A.SHADOW if assignment.mode == "shadow" else _A.COMMITTED
        return move(assignment, state, "the device reports that it runs it", slot=slot)
    gave_up = GAVE_UP.get(slot.phase)
    if gave_up is None or slot.wanted != assignment.digest:
        return None
    said = f": {slot.error.text}" if slot.error is not None else ""
    reason = f"the device {gave_up.replace('_', ' ')} it{said}"[:_LONGEST_TEXT]
    evidence = evidence_of(slot)
    if policy.revert_failed:
        return Revert(device=assignment.device, state=gave_up, reason=reason, evidence=evidence)
    return Move(device=assignment.device, state=gave_up, reason=reason, evidence=evidence)


def _is_as_before(assignment: Assignment, seen: DeviceNow) -> bool:
    """Whether a version that is only to be configured anew may still run as it did.

    Its digest does not tell. That it was seen on its way does, or that all slots are as wanted.
    """
    previous = assignment.previous
    return (
        previous is not None
        and previous.digest == assignment.digest
        and assignment.mode == "run"
        and assignment.state not in _UNDER_WAY
        and seen.revision_applied < assignment.revision
    )


def is_back(assignment: Assignment, seen: DeviceNow) -> bool:
    """Whether a device runs what it ran before, without a shadow."""
    if seen.shadow is not None and seen.shadow.running == assignment.digest:
        return False
    previous, slot = assignment.previous, seen.slot
    if previous is None:
        # What it was a shadow of is there still, also where nobody could say what that was.
        return assignment.mode == "shadow" or slot is None or not slot.running
    if previous.digest == assignment.digest and seen.revision_applied < assignment.revision:
        return False  # the same version with the configuration that it is to lose
    return slot is not None and slot.running == previous.digest and slot.phase is Phase.ACTIVE


def may_run_it(assignment: Assignment, seen: DeviceNow | None) -> bool:
    """Whether a device that was last told to go back may still run the version."""
    if seen is None or not has_heard(assignment, seen):
        return True
    previous = assignment.previous
    if previous is not None and previous.digest == assignment.digest:
        return seen.revision_applied < assignment.revision
    return any(
        slot is not None and slot.running == assignment.digest for slot in (seen.slot, seen.shadow)
    )


def move(
    assignment: Assignment,
    state: AssignmentState,
    reason: str,
    *,
    slot: ReportedSlot | None = None,
    deadline: float | None = None,
    attempts: int | None = None,
    next_retry: float | None = None,
) -> Move:
    """A transition because of what a device reported, or did not."""
    return Move(
        device=assignment.device,
        state=state,
        reason=reason,
        deadline=deadline,
        attempts=attempts,
        next_retry=next_retry,
        evidence={} if slot is None else evidence_of(slot),
    )


def evidence_of(slot: ReportedSlot) -> dict[str, str]:
    """What a slot reports, as what a transition rests on."""
    said = {"phase": str(slot.phase), "running": slot.running, "wanted": slot.wanted}
    if slot.error is not None:
        said |= {"code": slot.error.code, "step": slot.error.step}
        said["text"] = slot.error.text[:_LONGEST_TEXT]
    return said
