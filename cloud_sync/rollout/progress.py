"""What a device's report, its silence or a missed deadline means for its assignment. Pure.

Success is the running digest, reported by a device that has seen the offer: never that something
was sent, taken or begun. What is not known decides nothing.
"""

from collections.abc import Iterator
from typing import Final

from cloud_sync.rollout.decisions import Move, Revert
from cloud_sync.rollout.jitter import delay_s
from cloud_sync.rollout.observation import DeviceNow, World
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.states import ENDED, IN_FLIGHT
from cloud_sync.rollout_resources import AssignmentState, Policy, RolloutState, StageState
from edge_agent.contract.state import Phase, ReportedSlot

_A = AssignmentState
_LONGEST_TEXT: Final = 500
_STEPS: Final = {
    Phase.FETCHING: _A.DOWNLOADING,
    Phase.VERIFIED: _A.VERIFIED,
    Phase.INSTALLED: _A.VERIFIED,
    Phase.TRIAL: _A.TRIAL,
}
_RANKS: Final = {_A.OFFERED: 0, _A.DOWNLOADING: 1, _A.VERIFIED: 2, _A.TRIAL: 3}
_GAVE_UP: Final = {Phase.REJECTED: _A.REJECTED, Phase.ROLLED_BACK: _A.ROLLED_BACK}


def reported(rollout: Rollout, world: World, now: float) -> Iterator[Move | Revert]:
    """What has become of the assignments whose devices are known of."""
    assignments = rollout.assignments
    for device, seen in world.devices.items():
        assignment = assignments.get(device)
        if assignment is None or _is_quiet(assignment, seen) or assignment.state in ENDED:
            continue
        decision = _decide(assignment, seen, rollout, now)
        if decision is not None:
            yield decision


def _is_quiet(assignment: Assignment, seen: DeviceNow) -> bool:
    """Whether a device is as most are in most rounds: done, or there and waiting for its turn.

    Only a short way to what is found anyhow.
    """
    if seen.is_taken:
        return False
    state = assignment.state
    if state is _A.COMMITTED:
        slot = seen.slot
        return assignment.is_wanted and slot is not None and slot.running == assignment.digest
    if state is _A.QUEUED:
        previous = assignment.previous
        return (
            seen.away_since is None
            and not assignment.is_wanted
            and (previous is None or previous.digest != assignment.digest)
        )
    return False


def is_away(seen: DeviceNow, now: float, for_s: float = 0.0) -> bool:
    """Whether nothing was heard of a device for so long, seconds."""
    return seen.away_since is not None and now - seen.away_since >= for_s


def has_champion(assignment: Assignment, rollout: Rollout) -> bool:
    """Whether a device runs something that the version can be a shadow of."""
    previous = assignment.previous
    return (
        not rollout.wish.shadows
        and previous is not None
        and previous.mode == "run"
        and previous.digest != assignment.digest
    )


def _decide(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    state = assignment.state
    if seen.is_taken and (assignment.is_wanted or state is _A.REVERTING):
        return _move(assignment, _A.SUPERSEDED, "another rollout took this device's slot")
    if state is _A.REVERTING:
        return _going_back(assignment, seen, rollout.wish.policy, now)
    if state is _A.QUEUED:
        return _queued(assignment, seen, rollout, now)
    if state in IN_FLIGHT:
        return _on_the_way(assignment, seen, rollout, now)
    return _settled(assignment, seen, rollout, now)


def _queued(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    policy = rollout.wish.policy
    if assignment.is_wanted and _has_heard(assignment, seen):
        slot = _slot(assignment, seen)
        if (end := _end(assignment, slot, policy)) is not None:
            return end
    if assignment.revision == 0 and _has_it_already(assignment, seen, rollout):
        return _move(assignment, _A.ALREADY_PRESENT, "it runs this version already", slot=seen.slot)
    has_begun = rollout.stages[assignment.stage].state is not StageState.WAITING
    if has_begun and is_away(seen, now, policy.expire_after_s):
        return _expired(assignment, policy, now, seen)
    return None


def _has_it_already(assignment: Assignment, seen: DeviceNow, rollout: Rollout) -> bool:
    previous, slot = assignment.previous, seen.slot
    return (
        previous is not None
        and slot is not None
        and previous.digest == assignment.digest
        and previous.config == rollout.wish.config
        and previous.shadows == rollout.wish.shadows
        and slot.running == assignment.digest
        and slot.phase is Phase.ACTIVE
    )


def _on_the_way(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    policy = rollout.wish.policy
    has_heard = _has_heard(assignment, seen)
    slot = _slot(assignment, seen) if has_heard else None
    if slot is not None and (end := _end(assignment, slot, policy)) is not None:
        return end
    deadline = assignment.deadline
    if deadline is not None and now >= deadline:
        return _missed(assignment, seen, rollout, now, has_heard=has_heard)
    if slot is not None and slot.wanted == assignment.digest:
        step = _STEPS.get(slot.phase)
        # Never a step back: a device that begins again and again has one deadline for all of it.
        if step is not None and _RANKS[step] > _RANKS[assignment.state]:
            return _move(
                assignment,
                step,
                f"the device reports {slot.phase}",
                slot=slot,
                deadline=_step_deadline(assignment, step, policy, now),
            )
    if policy.offer_offline and is_away(seen, now, policy.offline_after_s):
        return _move(
            assignment,
            _A.QUEUED,
            "the device is away and learns of it when it is back",
            attempts=assignment.attempts,
        )
    return None


def _step_deadline(
    assignment: Assignment, step: AssignmentState, policy: Policy, now: float
) -> float | None:
    if step is _A.DOWNLOADING:
        return assignment.deadline
    return now + (policy.install_s if step is _A.VERIFIED else policy.trial_s)


def _end(assignment: Assignment, slot: ReportedSlot | None, policy: Policy) -> Move | Revert | None:
    """How the device says that it came out; None while it is on its way."""
    if slot is None:
        return None
    if slot.running == assignment.digest and slot.phase is Phase.ACTIVE:
        state = _A.SHADOW if assignment.mode == "shadow" else _A.COMMITTED
        return _move(assignment, state, "the device reports that it runs it", slot=slot)
    gave_up = _GAVE_UP.get(slot.phase)
    if gave_up is None or slot.wanted != assignment.digest:
        return None
    said = f": {slot.error.text}" if slot.error is not None else ""
    reason = f"the device {gave_up.replace('_', ' ')} it{said}"[:_LONGEST_TEXT]
    evidence = _evidence(slot)
    if policy.revert_failed:
        return Revert(device=assignment.device, state=gave_up, reason=reason, evidence=evidence)
    return Move(device=assignment.device, state=gave_up, reason=reason, evidence=evidence)


def _missed(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float, *, has_heard: bool
) -> Move | Revert | None:
    """A deadline has passed."""
    policy = rollout.wish.policy
    if is_put_off(seen, assignment.since, policy, now):
        return _move(
            assignment,
            _A.QUEUED,
            "a module on the device puts the update off",
            next_retry=seen.locked_until,
        )
    away = is_away(seen, now)
    if away and policy.offer_offline and not has_heard:
        # It was told at once though it is away: it has until its place expires.
        is_over = is_away(seen, now, policy.expire_after_s)
        return _expired(assignment, policy, now, seen) if is_over else None
    missed = f"not {_WANTED[assignment.state]} in time"
    if away and not has_heard:
        # It never learned of it, so it did nothing wrong; its room is others' meanwhile.
        return Revert(
            device=assignment.device,
            state=_A.QUEUED,
            reason=f"{missed}: the device is away",
        )
    attempts = assignment.attempts + 1
    if attempts > policy.retries or rollout.state is RolloutState.CANCELLED:
        return _timed_out(assignment, policy, f"{missed}, {attempts} of {policy.retries + 1} times")
    if away:
        return Revert(
            device=assignment.device,
            state=_A.QUEUED,
            reason=f"{missed}: the device went away with it",
            attempts=attempts,
        )
    wait_s = delay_s(rollout.seed, assignment.device, attempts, policy.retry_s)
    return _move(
        assignment, _A.QUEUED, f"{missed}; tried again", attempts=attempts, next_retry=now + wait_s
    )


_WANTED: Final = {
    _A.OFFERED: "downloaded",
    _A.DOWNLOADING: "downloaded",
    _A.VERIFIED: "installed",
    _A.TRIAL: "proved",
}


def _settled(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    """It ran the version, or had it as a shadow: does it still?"""
    if not assignment.is_wanted:
        # It was told to go back while it was away.
        if _has_heard(assignment, seen) and _is_back(assignment, seen):
            return _move(assignment, _A.ROLLED_BACK, "the device is back to what it ran before")
        return None
    if seen.reported_at is None or seen.reported_at < assignment.since:
        return None
    slot = _slot(assignment, seen)
    if assignment.state is _A.SHADOW and slot is not None:
        end = _end(assignment, slot, rollout.wish.policy)
        if end is not None and end.state is not _A.SHADOW:
            return end
    if slot is not None and (slot.running == assignment.digest or not slot.running):
        return None  # a worker that is being started again answers nothing, and nothing else
    attempts = assignment.attempts + 1
    found = f"version {slot.running_version}" if slot is not None else "nothing"
    return _move(
        assignment,
        _A.QUEUED,
        f"the device reports that it runs {found} again",
        slot=slot,
        attempts=attempts,
        next_retry=now
        + delay_s(rollout.seed, assignment.device, attempts, rollout.wish.policy.retry_s),
    )


def _going_back(assignment: Assignment, seen: DeviceNow, policy: Policy, now: float) -> Move | None:
    if _has_heard(assignment, seen):
        if _is_back(assignment, seen):
            return _move(assignment, _A.ROLLED_BACK, "the device is back to what it ran before")
        slot, previous = seen.slot, assignment.previous
        if (
            slot is not None
            and previous is not None
            and slot.wanted == previous.digest
            and slot.phase in _GAVE_UP
        ):
            return _move(
                assignment, _A.FAILED, "the device can go neither forward nor back", slot=slot
            )
    if now >= assignment.since + policy.expire_after_s:
        return _move(assignment, _A.FAILED, "the device did not go back")
    return None


def _is_back(assignment: Assignment, seen: DeviceNow) -> bool:
    """Whether a device runs what it ran before, without a shadow."""
    if seen.shadow is not None and seen.shadow.running == assignment.digest:
        return False
    previous, slot = assignment.previous, seen.slot
    if previous is None:
        return slot is None or not slot.running
    return slot is not None and slot.running == previous.digest and slot.phase is Phase.ACTIVE


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


def _has_heard(assignment: Assignment, seen: DeviceNow) -> bool:
    return assignment.revision > 0 and seen.revision_seen >= assignment.revision


def _slot(assignment: Assignment, seen: DeviceNow) -> ReportedSlot | None:
    return seen.shadow if assignment.mode == "shadow" else seen.slot


def _expired(assignment: Assignment, policy: Policy, now: float, seen: DeviceNow) -> Move | Revert:
    days = (now - (seen.away_since or now)) / 86_400
    reason = f"the device has been away for {days:.1f} days"
    if assignment.is_wanted and policy.revert_failed:
        return Revert(device=assignment.device, state=_A.EXPIRED, reason=reason)
    return _move(assignment, _A.EXPIRED, reason)


def _timed_out(assignment: Assignment, policy: Policy, reason: str) -> Move | Revert:
    evidence = {"step": str(assignment.state)}
    if policy.revert_failed:
        return Revert(
            device=assignment.device, state=_A.TIMED_OUT, reason=reason, evidence=evidence
        )
    return Move(device=assignment.device, state=_A.TIMED_OUT, reason=reason, evidence=evidence)


def _move(
    assignment: Assignment,
    state: AssignmentState,
    reason: str,
    *,
    slot: ReportedSlot | None = None,
    deadline: float | None = None,
    attempts: int | None = None,
    next_retry: float | None = None,
) -> Move:
    return Move(
        device=assignment.device,
        state=state,
        reason=reason,
        deadline=deadline,
        attempts=attempts,
        next_retry=next_retry,
        evidence={} if slot is None else _evidence(slot),
    )


def _evidence(slot: ReportedSlot) -> dict[str, str]:
    said = {"phase": str(slot.phase), "running": slot.running, "wanted": slot.wanted}
    if slot.error is not None:
        said |= {"code": slot.error.code, "step": slot.error.step}
        said["text"] = slot.error.text[:_LONGEST_TEXT]
    return said
