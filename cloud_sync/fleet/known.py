"""Which devices the service knows: those that spoke once, or were registered by hand."""

from sqlalchemy import Connection, func, insert, select

from cloud_sync.db.fleet_tables import devices
from cloud_sync.fleet.presence import DEFAULT_INTERVAL_S


def is_known(connection: Connection, device: str) -> bool:
    """Whether somebody has told us of a device, and nobody has deleted it since."""
    found = connection.scalar(select(devices.c.device).where(devices.c.device == device))
    return found is not None


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
