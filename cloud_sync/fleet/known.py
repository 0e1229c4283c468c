"""Which devices the service knows: those that spoke once, or were registered by hand."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select

from cloud_sync.db.fleet_tables import devices
from cloud_sync.fleet.presence import DEFAULT_INTERVAL_S

_BATCH: Final = 500

_KNOWN: Final = select(devices.c.device).where(devices.c.device == bindparam("of_device"))


def is_known(connection: Connection, device: str) -> bool:
    """Whether somebody has told us of a device, and nobody has deleted it since."""
    return connection.scalar(_KNOWN, {"of_device": device}) is not None


def known_of(connection: Connection, names: Sequence[str]) -> list[str]:
    """Those of some devices that are known, in the given order."""
    found: set[str] = set()
    for start in range(0, len(names), _BATCH):
        column = devices.c.device
        query = select(column).where(column.in_(names[start : start + _BATCH]))
        found |= set(connection.scalars(query))
    return [name for name in names if name in found]


def count_known(connection: Connection) -> int:
    """How many devices there are."""
    return connection.scalar(select(func.count()).select_from(devices)) or 0


def ensure(connection: Connection, device: str, now: float) -> bool:
    """Make a device known if it is not.

    Returns:
        Whether it was not.
    """
    if is_known(connection, device):
        return False
    connection.execute(
        insert(devices).values(
            device=device,
            created=now,
            state="",
            boot_id="",
            host="",
            previous_boot_id="",
            previous_host="",
            last_seen=None,
            interval_s=DEFAULT_INTERVAL_S,
        )
    )
    return True
