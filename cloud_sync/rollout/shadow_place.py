"""The slot beside a slot, where a shadow step puts its version: is something else there? Reads.

A shadow that a person has deployed there answers a question of theirs: a rollout must never replace
it silently. Nor must a person's deployment replace the shadow step of a rollout that is at work,
which would be judged by what something else did.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, select

from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.errors import Conflict
from cloud_sync.fleet.desired import read_many
from cloud_sync.rollout.hearing import has_champion
from cloud_sync.rollout.rollout import Assignment, Rollout, Step
from cloud_sync.rollout.rows import LIVE
from cloud_sync.rollout_resources import Obstacle
from edge_agent.contract.shadows import SUFFIX
from edge_agent.contract.state import DesiredState, WantedSlot

TAKEN: Final = "shadow_taken"
"""Code: something that is not of this slot's rollouts is where the shadow step goes."""
STEP: Final = "shadow_step"
"""Code: a rollout's shadow step is where a version is to go."""
_R: Final = rollouts.c


class _Home(Struct, frozen=True):
    """Where the version of a rollout is to answer in the end, and whether it is at work."""

    slot: str
    is_at_work: bool


def in_the_way(
    connection: Connection, rollout: Rollout, assignments: Mapping[str, Assignment]
) -> tuple[Obstacle, ...]:
    """What a shadow step would meet beside the slot, on each device that has one.

    Args:
        connection: of a transaction.
        rollout: with its policy; it need not have begun.
        assignments: that it has, or would have.
    """
    stages = rollout.wish.policy.shadow_stages
    devices = [
        one.device
        for one in assignments.values()
        if one.stage < stages and has_champion(one, rollout)
    ]
    orders = [found for _, found in read_many(connection, devices)]
    return tuple(obstructions(connection, rollout, "shadow", orders).values())


def refuse_in_the_way(
    connection: Connection, rollout: Rollout, assignments: Mapping[str, Assignment]
) -> None:
    """Refuse to begin where a shadow step would replace what somebody else has put there.

    Raises:
        Conflict: naming the first device.
    """
    found = in_the_way(connection, rollout, assignments)
    if found:
        raise as_conflict(found[0], rollout.slot)


def as_conflict(obstacle: Obstacle, slot: str) -> Conflict:
    """An obstruction as what is told to who wants to go on nevertheless."""
    if obstacle.code == TAKEN:
        hint = (
            f"remove it: `shoal remove {slot}{SUFFIX} --to {obstacle.device}`; "
            "or leave the shadow stages out of the policy: `--set shadow_stages=0`"
        )
    else:
        hint = "wait until its shadow step is over, or deploy into a slot of another name"
    return Conflict(f"{obstacle.device}: {obstacle.text}", hint=hint, code=obstacle.code)


def obstructions(
    connection: Connection, rollout: Rollout, step: Step, orders: Iterable[DesiredState]
) -> dict[str, Obstacle]:
    """Devices where an offer would replace what it has no business with, each with what.

    Args:
        connection: of a transaction.
        rollout: that offers.
        step: as what.
        orders: what the devices are asked to run now.
    """
    place = rollout.slot + SUFFIX if step == "shadow" else rollout.slot
    if not place.endswith(SUFFIX):
        return {}  # nobody's shadow step goes there
    there = {one.device: one.slots[place] for one in orders if place in one.slots}
    homes = _homes(connection, {one.rollout for one in there.values() if one.rollout})
    found: dict[str, Obstacle] = {}
    for device, wanted in there.items():
        home = homes.get(wanted.rollout)
        name = f"{wanted.module}/{wanted.version}"
        if step == "shadow" and (home is None or home.slot != rollout.slot):
            text = f"the shadow step would replace {name}, which was deployed to slot {place!r}"
            found[device] = Obstacle(device=device, code=TAKEN, text=text)
        elif step == "run" and _is_step(home, wanted, rollout):
            text = f"{wanted.rollout} compares {name} in slot {place!r}, and would lose it"
            found[device] = Obstacle(device=device, code=STEP, text=text)
    return found


def _is_step(home: _Home | None, wanted: WantedSlot, rollout: Rollout) -> bool:
    """Whether a slot has the shadow step of a rollout that is at work on the slot beside it."""
    return (
        home is not None
        and home.is_at_work
        and home.slot != rollout.slot
        and wanted.mode == "shadow"
        and wanted.shadows == home.slot
    )


def _homes(connection: Connection, names: Iterable[str]) -> dict[str, _Home]:
    """Rollouts by name; none that are forgotten."""
    numbers = [int(name.removeprefix("r")) for name in names]
    if not numbers:
        return {}
    query = select(_R.id, _R.slot, _R.state).where(_R.id.in_(numbers))
    return {f"r{row.id}": _Home(row.slot, row.state in LIVE) for row in connection.execute(query)}
