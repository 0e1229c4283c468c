"""What a device's report, its silence or a missed deadline means for its assignment. Pure.

What is not known decides nothing.
"""

from collections.abc import Iterator
from typing import Final

from cloud_sync.rollout.decisions import Move, Revert
from cloud_sync.rollout.hearing import (
    end_of,
    evidence_of,
    has_heard,
    is_away,
    is_put_off,
    move,
    slot_of,
)
from cloud_sync.rollout.jitter import delay_s
from cloud_sync.rollout.observation import DeviceNow, World
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.standing import going_back, settled
from cloud_sync.rollout.states import ENDED, IN_FLIGHT
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from edge_agent.contract.state import Phase, ReportedSlot

_A = AssignmentState
_STEPS: Final = {
    Phase.FETCHING: _A.DOWNLOADING,
    Phase.VERIFIED: _A.VERIFIED,
    Phase.INSTALLED: _A.VERIFIED,
    Phase.TRIAL: _A.TRIAL,
}
_RANKS: Final = {_A.OFFERED: 0, _A.DOWNLOADING: 1, _A.VERIFIED: 2, _A.TRIAL: 3}


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
    state = assignment.state
    if state is _A.COMMITTED:
        slot = seen.slot
        return assignment.is_wanted and slot is not None and slot.running == assignment.digest
    if state is _A.QUEUED:
        return seen.away_since is None and not assignment.is_wanted
    return False


def _decide(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    state = assignment.state
    if state is _A.REVERTING:
        return going_back(assignment, seen, rollout.wish.policy, now)
    if state is _A.QUEUED:
        return _queued(assignment, seen, rollout, now)
    if state in IN_FLIGHT:
        return _on_the_way(assignment, seen, rollout, now)
    return settled(assignment, seen, rollout, now)


def _queued(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    policy = rollout.wish.policy
    may_get_there = assignment.is_wanted and has_heard(assignment, seen)
    if may_get_there and (end := end_of(assignment, seen, policy)) is not None:
        return end
    has_begun = rollout.stages[assignment.stage].state is not StageState.WAITING
    if has_begun and is_away(seen, now, policy.expire_after_s):
        return _expired(assignment, policy, now, seen)
    return None


def _on_the_way(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float
) -> Move | Revert | None:
    policy = rollout.wish.policy
    knows = has_heard(assignment, seen)
    slot = slot_of(assignment, seen) if knows else None
    if knows and (end := end_of(assignment, seen, policy)) is not None:
        return end
    deadline = assignment.deadline
    if deadline is not None and now >= deadline:
        return _missed(assignment, seen, rollout, now, knows=knows)
    if slot is not None and slot.wanted == assignment.digest:
        step = _STEPS.get(slot.phase)
        # Never a step back: a device that begins again and again has one deadline for all of it.
        if step is not None and _RANKS[step] > _RANKS[assignment.state]:
            return move(
                assignment,
                step,
                f"the device reports {slot.phase}",
                slot=slot,
                deadline=_step_deadline(assignment, step, policy, now),
            )
    if policy.offer_offline and is_away(seen, now, policy.offline_after_s):
        return move(
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


def _missed(
    assignment: Assignment, seen: DeviceNow, rollout: Rollout, now: float, *, knows: bool
) -> Move | Revert | None:
    """A deadline has passed."""
    policy = rollout.wish.policy
    if is_put_off(seen, assignment.since, policy, now):
        return move(
            assignment,
            _A.QUEUED,
            "a module on the device puts the update off",
            next_retry=seen.locked_until,
        )
    away = is_away(seen, now)
    if away and policy.offer_offline and not knows:
        # It was told at once though it is away: it has until its place expires.
        is_over = is_away(seen, now, policy.expire_after_s)
        return _expired(assignment, policy, now, seen) if is_over else None
    missed = f"not {_WANTED[assignment.state]} in time"
    if away and not knows:
        # It never learned of it, so it did nothing wrong; its room is others' meanwhile.
        return Revert(
            device=assignment.device,
            state=_A.QUEUED,
            reason=f"{missed}: the device is away",
        )
    attempts = assignment.attempts + 1
    slot = slot_of(assignment, seen) if knows else None
    said = slot if slot is not None and slot.wanted == assignment.digest else None
    if attempts > policy.retries or rollout.state is RolloutState.CANCELLED:
        reason = f"{missed}, {attempts} of {policy.retries + 1} times"
        return _timed_out(assignment, policy, reason, said)
    if away:
        return Revert(
            device=assignment.device,
            state=_A.QUEUED,
            reason=f"{missed}: the device went away with it",
            attempts=attempts,
        )
    wait_s = delay_s(rollout.seed, assignment.device, attempts, policy.retry_s)
    return move(
        assignment,
        _A.QUEUED,
        f"{missed}; tried again",
        slot=said,
        attempts=attempts,
        next_retry=now + wait_s,
    )


_WANTED: Final = {
    _A.OFFERED: "downloaded",
    _A.DOWNLOADING: "downloaded",
    _A.VERIFIED: "installed",
    _A.TRIAL: "proved",
}


def _expired(assignment: Assignment, policy: Policy, now: float, seen: DeviceNow) -> Move | Revert:
    days = (now - (seen.away_since or now)) / 86_400
    reason = f"the device has been away for {days:.1f} days"
    if assignment.is_wanted and policy.revert_failed:
        return Revert(device=assignment.device, state=_A.EXPIRED, reason=reason)
    return move(assignment, _A.EXPIRED, reason)


def _timed_out(
    assignment: Assignment, policy: Policy, reason: str, said: ReportedSlot | None
) -> Move | Revert:
    # Why it did not get there is what a person has to know, and what may stop a stage.
    told = {} if said is None else evidence_of(said)
    evidence = {**told, "step": str(assignment.state)}
    if policy.revert_failed:
        return Revert(
            device=assignment.device, state=_A.TIMED_OUT, reason=reason, evidence=evidence
        )
    return Move(device=assignment.device, state=_A.TIMED_OUT, reason=reason, evidence=evidence)
