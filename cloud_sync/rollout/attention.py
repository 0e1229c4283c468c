"""What a planner has to be shown of a rollout, and when it has to be asked again. Pure.

So that a round costs what has changed, and a rollout that waits costs nothing.
"""

from collections.abc import Iterator

from cloud_sync.rollout.deadlines import ends_at
from cloud_sync.rollout.observation import DeviceNow, World
from cloud_sync.rollout.returning import is_unsure
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.staging import current_stage
from cloud_sync.rollout.states import ENDED, ENDED_BADLY, IN_FLIGHT
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState

_A = AssignmentState
_R = RolloutState
_IDLE = frozenset({_R.DRAFT, _R.READY, _R.ROLLED_BACK})
_GOING_BACK = frozenset({_R.ROLLING_BACK, _R.ROLLBACK_INCOMPLETE})
_SOAKING = frozenset({_A.COMMITTED, _A.SHADOW})
_SHOWN_WHOLE = frozenset({StageState.SOAKING, StageState.JUDGING, StageState.FAILED})
"""Who has fallen silent since is judged, too; and who is there can be taken back."""

_AT_WORK = frozenset({_R.RUNNING, _R.PENDING_APPROVAL, *_GOING_BACK})


def is_live(rollout: Rollout) -> bool:
    """Whether something can still come of a rollout without a person's order."""
    if rollout.state in _AT_WORK:
        return True
    if rollout.state in _IDLE:
        return False
    return any(_is_open(one) for one in rollout.assignments.values())


def to_be_shown(rollout: Rollout) -> Iterator[str]:
    """The devices that the planner has to be shown in every round.

    Besides these it needs those that have reported something since the last round.
    """
    if rollout.state in _IDLE:
        return
    is_going_back = rollout.state in _GOING_BACK
    reached = _reached(rollout)
    current = current_stage(rollout)
    number = -1 if current is None else current.number
    is_whole = current is not None and current.state in _SHOWN_WHOLE
    for device, one in rollout.assignments.items():
        if one.state in ENDED:
            is_shown = one.stage == number and one.state in ENDED_BADLY
            is_shown = is_shown or (is_going_back and is_unsure(one))
        elif one.state is _A.COMMITTED:
            is_shown = is_going_back or (is_whole and one.stage == number)
        elif one.state is _A.QUEUED and not one.is_wanted:
            is_shown = not is_going_back and one.stage <= reached
        else:
            is_shown = True
        if is_shown:
            yield device


def due(rollout: Rollout, world: World, now: float) -> float | None:
    """When time alone makes the planner decide something; None if never.

    Args:
        rollout: after its last round.
        world: of that round.
        now: seconds since 1970; what was due before is not due again.

    Returns:
        Seconds since 1970, later than `now`.
    """
    return min((time for time in _times(rollout, world) if time > now), default=None)


def _times(rollout: Rollout, world: World) -> Iterator[float]:
    policy = rollout.wish.policy
    if (latest := ends_at(rollout)) is not None:
        yield latest
    stage = current_stage(rollout)
    if stage is not None and stage.deadline is not None and rollout.state is _R.RUNNING:
        yield stage.deadline
    is_judging = stage is not None and stage.state is StageState.JUDGING
    if world.opens_at is not None:
        yield world.opens_at
    for one in rollout.assignments.values():
        if one.state in IN_FLIGHT and one.deadline is not None:
            yield one.deadline
        if one.state is _A.REVERTING:
            yield one.since + policy.expire_after_s
        if one.next_retry is not None:
            yield one.next_retry
        if is_judging and one.state in _SOAKING:
            yield one.since + policy.soak_s
    for device, seen in world.devices.items():
        found = rollout.assignments.get(device)
        if found is not None and found.state not in ENDED:
            yield from _times_of(seen, rollout.stages[found.stage].since, policy)


def _times_of(seen: DeviceNow, begun: float, policy: Policy) -> Iterator[float]:
    """When what keeps a device from its turn ends, or ends to matter."""
    if seen.away_since is not None:
        yield seen.away_since + policy.offline_after_s
        yield seen.away_since + policy.expire_after_s
    if seen.locked_until is not None:
        yield seen.locked_until
        yield begun + policy.lock_max_s
    if seen.is_taken:
        yield begun + policy.offline_after_s


def _reached(rollout: Rollout) -> int:
    """The last stage that has begun."""
    begun = [stage.number for stage in rollout.stages if stage.state is not StageState.WAITING]
    return max(begun, default=0)


def _is_open(assignment: Assignment) -> bool:
    """Whether its device is still to come to something."""
    if assignment.state in ENDED:
        return False
    return assignment.state is not _A.COMMITTED or not assignment.is_wanted
