"""Delete protection: which devices run a module version, or should."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, select, union

from cloud_sync.db.fleet_tables import running_slots, wanted_slots
from cloud_sync.errors import InUse

_SHOWN: Final = 20


def users_of(connection: Connection, digests: Iterable[str]) -> list[str]:
    """Devices on which one of these modules is wanted or running, sorted."""
    wanted = tuple(digests)
    if not wanted:
        return []
    query = union(
        select(wanted_slots.c.device).where(wanted_slots.c.digest.in_(wanted)),
        select(running_slots.c.device).where(running_slots.c.digest.in_(wanted)),
    )
    return sorted(connection.scalars(query).all())


def refuse_if_used(connection: Connection, what: str, digests: Iterable[str]) -> None:
    """Refuse a deletion while a device needs the thing.

    Args:
        connection: of the transaction that will delete.
        what: is to be deleted, for the error.
        digests: of the module versions that stand for it.

    Raises:
        InUse: naming the devices.
    """
    devices = users_of(connection, digests)
    if not devices:
        return
    shown = ", ".join(devices[:_SHOWN])
    if len(devices) > _SHOWN:
        shown += f" and {len(devices) - _SHOWN} more"
    raise InUse(
        f"{what} cannot be deleted: it runs or should run on {shown}",
        hint="deploy another version or take it off these devices first; "
        "retire it to keep it from being deployed again",
    )
