"""What a device's slots should be after an offer or a revert. Pure.

Touches the rollout's slot and the slot of its shadow step, and leaves all others as they are. A
slot that somebody else has filled since is theirs: a revert does not take it away.
"""

from collections.abc import Container, Mapping

from msgspec.structs import replace

from cloud_sync.rollout.rollout import Assignment, Rollout, Step
from cloud_sync.rollout.summary import rollout_name
from edge_agent.contract.shadows import SUFFIX, shadow_slot
from edge_agent.contract.state import SlotConfig, WantedSlot

Slots = Mapping[str, WantedSlot]


def offered(
    rollout: Rollout, assignment: Assignment, mode: Step, slots: Slots
) -> dict[str, WantedSlot]:
    """A device's slots with the version in its place.

    Args:
        rollout: that offers it.
        assignment: the device's.
        mode: "shadow" to have it run beside what answers; "run" to have it answer, which takes
            the shadow away in the same breath.
        slots: until now.
    """
    after = dict(slots)
    if mode == "shadow":
        after[shadow_slot(rollout.slot)] = _version(rollout, assignment, shadows=rollout.slot)
        return after
    _drop_shadow(rollout, after)
    after[rollout.slot] = _version(
        rollout, assignment, shadows=rollout.wish.shadows, config=rollout.wish.config
    )
    return after


def reverted(rollout: Rollout, assignment: Assignment, slots: Slots) -> dict[str, WantedSlot]:
    """A device's slots as they were before the rollout, with their config.

    Shadows of what is taken away go with it: there is nothing left to compare them with.
    """
    after = dict(slots)
    _drop_shadow(rollout, after)
    current = after.get(rollout.slot)
    if current is None or not is_of(current, rollout):
        return after
    if assignment.previous is not None:
        # What has proved bad goes, whatever a program on the device asks for.
        after[rollout.slot] = replace(assignment.previous, lock_max_s=0)
        return after
    del after[rollout.slot]
    for name, other in slots.items():
        if other.mode == "shadow" and other.shadows == rollout.slot:
            after.pop(name, None)
    return after


def without_shadow_steps(
    slot: str, slots: Slots, rollouts: Container[str]
) -> dict[str, WantedSlot]:
    """A device's slots without what the shadow steps of some rollouts put beside one of them.

    Args:
        slot: that the rollouts are at work on.
        slots: until now.
        rollouts: their names; what somebody else put there stays.
    """
    place = slot + SUFFIX
    return {
        name: wanted
        for name, wanted in slots.items()
        if name != place or wanted.rollout not in rollouts
    }


def is_of(wanted: WantedSlot, rollout: Rollout) -> bool:
    """Whether a slot is wanted as it is because of this rollout."""
    return wanted.rollout == rollout_name(rollout.id)


def is_same(one: WantedSlot | None, other: WantedSlot | None) -> bool:
    """Whether two slots ask for the same, whoever asked."""
    return one is not None and other is not None and _plain(one) == _plain(other)


def _plain(wanted: WantedSlot) -> tuple[object, ...]:
    return (
        wanted.module,
        wanted.version,
        wanted.digest,
        wanted.mode,
        wanted.shadows,
        wanted.config,
    )


def _version(
    rollout: Rollout, assignment: Assignment, *, shadows: str, config: SlotConfig | None = None
) -> WantedSlot:
    return WantedSlot(
        module=assignment.module,
        version=assignment.version,
        digest=assignment.digest,
        mode="shadow" if shadows else "run",
        shadows=shadows,
        config=config or SlotConfig(),
        rollout=rollout_name(rollout.id),
        stage=assignment.stage,
        lock_max_s=rollout.wish.policy.lock_max_s,
    )


def _drop_shadow(rollout: Rollout, slots: dict[str, WantedSlot]) -> None:
    """Take away the slot of the shadow step; one that a person asked for stays."""
    name = rollout.slot + SUFFIX
    if name in slots and is_of(slots[name], rollout):
        del slots[name]
