"""Which rollout has a device's slot, in memory: the rules of `rollout.takeover`, written again.

Pure: it looks at rollouts as they are stored, and changes nothing.
"""

from collections.abc import Iterable, Iterator

from cloud_sync.rollout.decisions import Decision, Offer
from cloud_sync.rollout.observation import Joiner
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.states import ACTIVE, IN_FLIGHT
from cloud_sync.rollout.violation import Invariant
from cloud_sync.rollout_resources import AssignmentState, RolloutState

_A = AssignmentState
_R = RolloutState
LIVE = frozenset({_R.RUNNING, _R.PAUSED, _R.ROLLING_BACK})
NOT_BEGUN = frozenset({_R.DRAFT, _R.PENDING_APPROVAL, _R.READY})


def claimed(decisions: Iterable[Decision]) -> list[str]:
    """The devices whose slot a rollout takes with these decisions."""
    return sorted({one.device for one in decisions if isinstance(one, Offer)})


def check_begun(
    rollouts: Iterable[Rollout], rollout: Rollout, decisions: Iterable[Decision]
) -> None:
    """Nobody begins anything on a device that another rollout goes first on.

    Args:
        rollouts: all of them.
        rollout: that has decided this, as it was before.
        decisions: what it has decided.
    """
    everybody = list(rollouts)
    for offer in decisions:
        if not isinstance(offer, Offer):
            continue
        own = rollout.assignments[offer.device]
        is_repeated = own.is_wanted and own.state is not _A.SHADOW and own.mode == offer.mode
        first = taken_by(everybody, rollout, offer.device)
        assert not first or is_repeated, (
            f"{Invariant.ONE_ACTIVE}: r{rollout.id} began something on {offer.device}, "
            f"where r{first} goes first"
        )


def taken_by(rollouts: Iterable[Rollout], rollout: Rollout, device: str) -> int:
    """The number of the rollout that goes before another one on a device; 0 for none."""
    first = _first(rollouts, rollout, device)
    return 0 if first is None else first.id


def taken(rollouts: Iterable[Rollout], rollout: Rollout, device: str) -> tuple[int, bool]:
    """The same, and whether the one that goes first has changed what the slot is to run."""
    first = _first(rollouts, rollout, device)
    return (0, False) if first is None else (first.id, first.assignments[device].is_wanted)


def is_returning(rollouts: Iterable[Rollout], device: str) -> bool:
    """Whether a device is on its way back to what its slot wants."""
    return any(
        one.state in ACTIVE and one.revision > 0 and not one.is_wanted
        for rollout in rollouts
        if (one := rollout.assignments.get(device)) is not None
    )


def losers(
    rollouts: Iterable[Rollout], rollout: Rollout, devices: Iterable[str]
) -> Iterator[tuple[Rollout, list[str]]]:
    """Rollouts that lose devices when this one takes their slot, with the devices."""
    wanted = list(devices)
    for other in list(_others(rollouts, rollout)):
        if _goes_before(other, rollout):
            continue
        shared = [
            device
            for device in wanted
            if (theirs := other.assignments.get(device)) is not None
            and theirs.state in ACTIVE
            and not _goes_on_waiting(other, theirs, rollout)
        ]
        if shared:
            yield other, shared


def latecomers(
    rollouts: Iterable[Rollout], rollout: Rollout, matching: Iterable[Joiner]
) -> tuple[Joiner, ...]:
    """Devices that join a rollout: of several that would take them in, the newest does.

    None does where one that started later has the device.
    """
    rollouts = list(rollouts)
    follows = LIVE | {_R.COMPLETED, _R.COMPLETED_DEGRADED}
    is_open = rollout.wish.policy.late_joiners == "include" and rollout.state in follows
    if not is_open or any(
        other.id > rollout.id
        and other.started is not None
        and other.wish.policy.late_joiners == "include"
        and other.state in follows
        for other in rollouts
    ):
        return ()
    newer = [
        other for other in _others(rollouts, rollout) if _place(other)[1:] > _place(rollout)[1:]
    ]
    return tuple(
        one
        for one in matching
        if one.device not in rollout.assignments
        and not any(
            (theirs := other.assignments.get(one.device)) is not None and theirs.state in ACTIVE
            for other in newer
        )
    )


def _first(rollouts: Iterable[Rollout], rollout: Rollout, device: str) -> Rollout | None:
    before = [
        other
        for other in _others(rollouts, rollout)
        if _goes_before(other, rollout)
        and (theirs := other.assignments.get(device)) is not None
        and theirs.state in ACTIVE
    ]
    return max(before, key=_place, default=None)


def _goes_before(one: Rollout, other: Rollout) -> bool:
    """Whether one that is at work has its turn before another."""
    return one.state in LIVE and _place(one) > _place(other)


def _place(rollout: Rollout) -> tuple[int, float, int]:
    return rollout.wish.policy.priority, rollout.started or 0.0, rollout.id


def _goes_on_waiting(other: Rollout, theirs: Assignment, rollout: Rollout) -> bool:
    """Whether it came later and has not got the slot: it still has its turn."""
    has_it = (
        theirs.state in IN_FLIGHT
        or theirs.state is _A.SHADOW
        or (theirs.state is _A.QUEUED and theirs.is_wanted)
        or (theirs.state is _A.COMMITTED and other.state in LIVE)
    )
    return not has_it and _place(other)[1:] > _place(rollout)[1:]


def _others(rollouts: Iterable[Rollout], rollout: Rollout) -> Iterator[Rollout]:
    return (one for one in rollouts if one.state not in NOT_BEGUN and one.id != rollout.id)
