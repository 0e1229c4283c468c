"""Taking devices back to what they ran before: a new, higher revision, and only where needed. Pure.

The bounds hold here, too: a site does not lose its models all at once because it gets the old ones
back. A device that is away is told at once, and has no room kept for it.
"""

from collections.abc import Callable, Iterator
from typing import Final

from cloud_sync.rollout.bounds import Room
from cloud_sync.rollout.decisions import Move, MoveRollout, Revert
from cloud_sync.rollout.hearing import is_away, may_run_it
from cloud_sync.rollout.observation import DeviceNow, World
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.states import ENDED, IN_FLIGHT
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState

_A = AssignmentState
_R = RolloutState
_BACK = "taken back to what it ran before"

UNANSWERED: Final = frozenset({_A.TIMED_OUT, _A.EXPIRED})
"""Ends of a device that was told something and did not answer."""

_NOT_THERE: Final = UNANSWERED | {_A.REJECTED}


def taken_back(
    rollout: Rollout,
    world: World,
    now: float,
    concerns: Callable[[Assignment], bool] = lambda _: True,
) -> Iterator[Move | Revert]:
    """The devices that are asked to go back now, as many as may be on their way.

    Args:
        rollout: that is taken back, or of which a stage is.
        world: what is known of the devices.
        now: seconds since 1970.
        concerns: which assignments; all by default.
    """
    room = Room(rollout, now)
    deadline = _deadline(rollout.wish.policy, now)
    for assignment in rollout.assignments.values():
        if _is_done(assignment) or not concerns(assignment):
            continue
        seen = world.devices.get(assignment.device)
        decision = _return(assignment, seen, room, deadline, now)
        if decision is not None:
            yield decision


def is_unsure(assignment: Assignment) -> bool:
    """Whether an end says nothing of what the device runs: it did not answer when it came to it."""
    return assignment.revision > 0 and assignment.state in UNANSWERED


def finished(rollout: Rollout, world: World, now: float) -> tuple[MoveRollout, ...]:
    """Whether a rollback is over, or takes too long.

    It is over by what devices report to run. One that was given up is waited for like the others:
    it may have got there since.
    """
    assignments = rollout.assignments.values()
    late = sum(_is_late(one, world.devices.get(one.device)) for one in assignments)
    if not late:
        failed = sum(one.state is _A.FAILED for one in assignments)
        if not failed:
            return (MoveRollout(state=_R.ROLLED_BACK, reason=_outcome(rollout, world)),)
        reason = f"{_count(failed)} can go neither forward nor back"
        return _incomplete(rollout, reason)
    if rollout.deadline is not None and now >= rollout.deadline:
        return _incomplete(rollout, f"{_count(late)} did not go back in time")
    return ()


def _is_late(assignment: Assignment, seen: DeviceNow | None) -> bool:
    if not _is_done(assignment) or assignment.state is _A.REVERTING:
        return True
    if not is_unsure(assignment) or _is_lost(seen):
        return False
    return may_run_it(assignment, seen)


def _incomplete(rollout: Rollout, reason: str) -> tuple[MoveRollout, ...]:
    if rollout.state is _R.ROLLBACK_INCOMPLETE:
        return ()
    return (MoveRollout(state=_R.ROLLBACK_INCOMPLETE, reason=reason),)


def _outcome(rollout: Rollout, world: World) -> str:
    """What became of everybody that was told something; nobody is late any more."""
    told = [one for one in rollout.assignments.values() if one.revision > 0]
    back = sum(one.state is _A.ROLLED_BACK for one in told)
    not_there = sum(
        one.state in _NOT_THERE and not _is_lost(world.devices.get(one.device)) for one in told
    )
    parts = [f"{_count(back)} went back"] if back else []
    if not_there:
        devices, does = _count(not_there), "does" if not_there == 1 else "do"
        parts.append(f"{devices} that had not got there {does} not run it")
    return "; ".join(parts) or "no device had to go back"


def _is_lost(seen: DeviceNow | None) -> bool:
    return seen is not None and seen.is_lost


def _count(devices: int) -> str:
    return "1 device" if devices == 1 else f"{devices} devices"


def _deadline(policy: Policy, now: float) -> float:
    """When a device that was told to go back has to be there."""
    return now + policy.download_s + policy.install_s + policy.trial_s


def _is_done(assignment: Assignment) -> bool:
    """Whether nothing has to be asked of a device any more."""
    if assignment.is_wanted:
        return False
    return assignment.state in ENDED or assignment.state is _A.REVERTING


def _return(
    assignment: Assignment, seen: DeviceNow | None, room: Room, deadline: float, now: float
) -> Move | Revert | None:
    device, state = assignment.device, assignment.state
    if not assignment.is_wanted:
        if state is _A.QUEUED:
            reason = "the rollout was taken back before its turn"
            return Move(device=device, state=_A.EXPIRED, reason=reason)
        if seen is None or is_away(seen, now) or not room.take(assignment):
            return None
        reason = "it is there again and goes back"
        return Move(device=device, state=_A.REVERTING, reason=reason, deadline=deadline)
    if state in ENDED:
        return Revert(device=device, state=state, reason=_BACK)
    if state in IN_FLIGHT:
        return Revert(device=device, state=_A.REVERTING, reason=_BACK, deadline=deadline)
    if seen is None:
        return None
    if is_away(seen, now):
        if state is _A.QUEUED:
            return Revert(device=device, state=_A.TIMED_OUT, reason=f"{_BACK} while it is away")
        return Revert(device=device, state=state, reason=f"{_BACK} when it is there again")
    if not room.take(assignment):
        return None
    return Revert(device=device, state=_A.REVERTING, reason=_BACK, deadline=deadline)
