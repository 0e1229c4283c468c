"""Devices that have the version, or were told to go back: do they still, and did they? Pure."""

from typing import Final

from cloud_sync.rollout.decisions import Move, Revert
from cloud_sync.rollout.hearing import GAVE_UP, end_of, has_heard, is_back, move, slot_of
from cloud_sync.rollout.jitter import delay_s
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState

_A: Final = AssignmentState


def settled(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    """Whether a device that ran the version, or had it as a shadow, still does."""
    if not assignment.is_wanted:
        # It was told to go back while it was away.
        if has_heard(assignment, seen) and is_back(assignment, seen):
            return move(assignment, _A.ROLLED_BACK, "the device is back to what it ran before")
        return None
    if seen.reported_at is None or seen.reported_at < assignment.since:
        return None
    slot = slot_of(assignment, seen)
    if assignment.state is _A.SHADOW and slot is not None:
        end = end_of(assignment, seen, rollout.wish.policy)
        if end is not None and end.state is not _A.SHADOW:
            return end
    if slot is not None and (slot.running == assignment.digest or not slot.running):
        return None  # a worker that is being started again answers nothing, and nothing else
    attempts = assignment.attempts + 1
    found = f"version {slot.running_version}" if slot is not None else "nothing"
    return move(
        assignment,
        _A.QUEUED,
        f"the device reports that it runs {found} again",
        slot=slot,
        attempts=attempts,
        next_retry=now
        + delay_s(rollout.seed, assignment.device, attempts, rollout.wish.policy.retry_s),
    )


def going_back(assignment: Assignment, seen: DeviceNow, policy: Policy, now: float) -> Move | None:
    """What a device's report or its silence means while it is to go back."""
    if has_heard(assignment, seen):
        if is_back(assignment, seen):
            return move(assignment, _A.ROLLED_BACK, "the device is back to what it ran before")
        slot, previous = seen.slot, assignment.previous
        if (
            slot is not None
            and previous is not None
            and slot.wanted == previous.digest
            and slot.phase in GAVE_UP
            and slot.running != previous.digest
        ):
            return move(
                assignment, _A.FAILED, "the device can go neither forward nor back", slot=slot
            )
    if now >= assignment.since + policy.expire_after_s:
        return move(assignment, _A.FAILED, "the device did not go back")
    return None
