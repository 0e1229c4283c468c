"""Which rollout has a device's slot, in memory: the rules of `rollout.takeover`, written again.

Pure: it looks at rollouts as they are stored, and changes nothing.
"""

from collections.abc import Iterable, Iterator

from cloud_sync.rollout.decisions import Decision, Offer
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ACTIVE
from cloud_sync.rollout_resources import RolloutState

_R = RolloutState
LIVE = frozenset({_R.RUNNING, _R.PAUSED, _R.ROLLING_BACK})
NOT_BEGUN = frozenset({_R.DRAFT, _R.PENDING_APPROVAL, _R.READY})


def claimed(before: Rollout, after: Rollout, decisions: Iterable[Decision]) -> list[str]:
    """The devices whose slot a rollout takes with these decisions."""
    devices = {one.device for one in decisions if isinstance(one, Offer)}
    if before.started is None and after.started is not None:
        devices |= after.assignments.keys()
    return sorted(devices)


def is_taken(rollouts: Iterable[Rollout], rollout: Rollout, device: str) -> bool:
    """Whether another rollout goes first on this device."""
    return any(
        outranks(other, rollout)
        for other in _others(rollouts, rollout)
        if (theirs := other.assignments.get(device)) is not None and theirs.state in ACTIVE
    )


def losers(
    rollouts: Iterable[Rollout], rollout: Rollout, devices: Iterable[str]
) -> Iterator[tuple[Rollout, list[str]]]:
    """Rollouts that lose devices when this one takes their slot, with the devices."""
    wanted = list(devices)
    for other in list(_others(rollouts, rollout)):
        if outranks(other, rollout):
            continue
        shared = [
            device
            for device in wanted
            if (theirs := other.assignments.get(device)) is not None and theirs.state in ACTIVE
        ]
        if shared:
            yield other, shared


def outranks(one: Rollout, other: Rollout) -> bool:
    """Whether one that is at work keeps what it has from another."""
    return one.state in LIVE and one.wish.policy.priority > other.wish.policy.priority


def _others(rollouts: Iterable[Rollout], rollout: Rollout) -> Iterator[Rollout]:
    return (one for one in rollouts if one.state not in NOT_BEGUN and one.id != rollout.id)
