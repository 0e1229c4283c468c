"""Why devices wait, read for people: of a page of a rollout's devices, of its line, of one slot.

Changes nothing, and reads no more devices than it is asked about or `MOST` of each kind: whoever
watches a rollout of thousands asks every two seconds.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from sqlalchemy import Connection, and_, func, or_, select

from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.rollout.rollout import NO_STAGE, Assignment, Rollout
from cloud_sync.rollout.sightings import Sightings
from cloud_sync.rollout.states import ENDED, IN_FLIGHT
from cloud_sync.rollout.store import load_assignments, load_heads
from cloud_sync.rollout.summary import rollout_name
from cloud_sync.rollout.waiting import Crowd, counted, waiting
from cloud_sync.rollout.windows import opens_at
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from cloud_sync.rollout_waiting import SlotRollout, WaitCount, Waiting

MOST: Final = 250
"""Devices that are looked at, of a line and of those on their way: who is held up stays ahead."""

_A: Final = rollout_assignments.c
_R: Final = rollouts.c
_QUEUED: Final = AssignmentState.QUEUED
_LOOKED_AT: Final = frozenset(
    {
        RolloutState.RUNNING,
        RolloutState.PAUSED,
        RolloutState.COMPLETED_DEGRADED,
        RolloutState.ROLLING_BACK,
        RolloutState.ROLLBACK_INCOMPLETE,
    }
)
_OPEN: Final = sorted(set(AssignmentState) - ENDED - {AssignmentState.COMMITTED})


def reasons(
    connection: Connection, rollout: Rollout, assignments: Iterable[Assignment], now: float
) -> Mapping[str, Waiting]:
    """Device to what it waits for; those that wait for nothing are missing.

    Args:
        connection: of a transaction.
        rollout: its assignments are not looked at.
        assignments: the devices that are asked about.
        now: seconds since 1970.
    """
    concerned = {
        one.device: one
        for one in assignments
        if one.stage != NO_STAGE and one.state not in ENDED and one.state != "committed"
    }
    if not concerned:
        return {}
    part = replace(rollout, assignments=concerned)
    sightings = Sightings(part)
    sightings.read_presence(connection, part, now)
    crowd = _crowd(connection, rollout.id)
    opens = opens_at(rollout.wish.policy.windows, now, ZoneInfo)
    found = {
        device: waiting(one, sightings.devices[device], rollout, crowd, opens, now)
        for device, one in concerned.items()
    }
    return {device: reason for device, reason in found.items() if reason is not None}


def line(connection: Connection, rollout: Rollout, now: float) -> tuple[WaitCount, ...]:
    """What devices of the stages that have begun wait for: in line, and on their way.

    Of each, `MOST` are looked at: those that come next, and those that have been on their way for
    longest.

    Args:
        connection: of a transaction.
        rollout: its assignments are not looked at.
        now: seconds since 1970.
    """
    begun = [stage.number for stage in rollout.stages if stage.state is not StageState.WAITING]
    if rollout.state not in _LOOKED_AT or not begun:
        return ()
    mine = (_A.rollout == rollout.id, _A.stage.in_(begun))
    queued = select(rollout_assignments).where(*mine, _A.state == _QUEUED)
    moving = select(rollout_assignments).where(*mine, _A.state.in_(sorted(IN_FLIGHT)))
    looked_at = [
        *load_assignments(connection, queued.order_by(_A.position).limit(MOST)),
        *load_assignments(connection, moving.order_by(_A.since, _A.position).limit(MOST)),
    ]
    return counted(reasons(connection, rollout, looked_at, now).values())


def of_slot(connection: Connection, device: str, slot: str, now: float) -> tuple[SlotRollout, ...]:
    """The rollouts that have a slot of a device in their line, the newest first."""
    is_open = and_(_A.device == device, _A.slot == slot, _A.state.in_(_OPEN))
    query = select(rollouts).join(rollout_assignments, _R.id == _A.rollout).where(is_open)
    heads = load_heads(connection, query.order_by(_R.id.desc()))
    found: list[SlotRollout] = []
    for head in heads:
        query = select(rollout_assignments).where(is_open, _A.rollout == head.rollout.id)
        for one in load_assignments(connection, query):
            why = reasons(connection, head.rollout, [one], now)
            found.append(
                SlotRollout(
                    rollout=rollout_name(head.rollout.id),
                    version=f"{one.module}/{one.version}",
                    state=one.state.value,
                    waiting=why.get(device),
                )
            )
    return tuple(found)


def _crowd(connection: Connection, number: int) -> Crowd:
    is_busy = or_(_A.state.in_(sorted(IN_FLIGHT)), and_(_A.state == _QUEUED, _A.is_wanted))
    query = (
        select(_A.site, is_busy.label("is_busy"), func.count().label("devices"))
        .where(_A.rollout == number, _A.stage != NO_STAGE)
        .group_by(_A.site, is_busy)
    )
    sizes: dict[str, int] = {}
    busy: dict[str, int] = {}
    for row in connection.execute(query):
        sizes[row.site] = sizes.get(row.site, 0) + row.devices
        if row.is_busy:
            busy[row.site] = row.devices
    return Crowd(sizes=sizes, busy=busy)
