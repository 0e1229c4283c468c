"""Delete protection: which devices run a module version, or should, or are about to.

A rollout that is under way needs what it brings, and what it would go back to, on every device.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Connection, Select, select, union

from cloud_sync.db.fleet_tables import devices, running_slots, wanted_slots
from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.errors import InUse
from cloud_sync.rollout_resources import AssignmentState, RolloutState

_SHOWN: Final = 20
_UNDER_WAY: Final = (
    RolloutState.DRAFT,
    RolloutState.PENDING_APPROVAL,
    RolloutState.READY,
    RolloutState.RUNNING,
    RolloutState.PAUSED,
    RolloutState.ROLLING_BACK,
    RolloutState.ROLLBACK_INCOMPLETE,
)
_NEEDS: Final = (
    AssignmentState.QUEUED,
    AssignmentState.OFFERED,
    AssignmentState.DOWNLOADING,
    AssignmentState.VERIFIED,
    AssignmentState.TRIAL,
    AssignmentState.SHADOW,
    AssignmentState.COMMITTED,
    AssignmentState.REVERTING,
)
_A: Final = rollout_assignments.c
T = TypeVar("T")


class _Slot(Struct, frozen=True):
    """The part of a wanted slot that tells which version it is."""

    digest: str


_SLOT: Final = msgspec.json.Decoder(_Slot)


def users_of(connection: Connection, digests: Iterable[str]) -> list[str]:
    """Devices on which one of these modules is wanted or running, sorted."""
    wanted = tuple(digests)
    if not wanted:
        return []
    query = union(
        select(wanted_slots.c.device).where(wanted_slots.c.digest.in_(wanted)),
        select(running_slots.c.device).where(running_slots.c.digest.in_(wanted)),
        _under_way(_A.device).where(_A.digest.in_(wanted)),
        _under_way(_A.device).where(_A.previous.in_(_previous_with(connection, set(wanted)))),
    )
    return sorted(connection.scalars(query).all())


def used_digests(connection: Connection) -> set[str]:
    """Every module version that a device runs or should run, or that a rollout needs."""
    query = union(
        select(wanted_slots.c.digest), select(running_slots.c.digest), _under_way(_A.digest)
    )
    return {*connection.scalars(query), *_previous(connection).values()}


def _under_way(column: Column[T]) -> Select[T]:
    """A column of the assignments, of devices that are known, of rollouts not at their end."""
    return (
        select(column)
        .join(rollouts, rollouts.c.id == _A.rollout)
        .join(devices, devices.c.device == _A.device)
        .where(rollouts.c.state.in_(_UNDER_WAY), _A.state.in_(_NEEDS))
        .distinct()
    )


def _previous(connection: Connection) -> dict[bytes, str]:
    """What rollouts under way would go back to: as it is stored, to its digest."""
    stored = connection.scalars(_under_way(_A.previous).where(_A.previous.is_not(None)))
    return {data: _SLOT.decode(bytes(data)).digest for data in stored if data is not None}


def _previous_with(connection: Connection, digests: set[str]) -> list[bytes]:
    return [data for data, digest in _previous(connection).items() if digest in digests]


def refuse_if_used(connection: Connection, what: str, digests: Iterable[str]) -> None:
    """Refuse a deletion while a device needs the thing.

    Args:
        connection: of the transaction that will delete.
        what: is to be deleted, for the error.
        digests: of the module versions that stand for it.

    Raises:
        InUse: naming the devices.
    """
    users = users_of(connection, digests)
    if not users:
        return
    shown = ", ".join(users[:_SHOWN])
    if len(users) > _SHOWN:
        shown += f" and {len(users) - _SHOWN} more"
    raise InUse(
        f"{what} cannot be deleted: it runs or should run on {shown}",
        hint="deploy another version or take it off these devices first; "
        "retire it to keep it from being deployed again",
    )
