"""What was seen of a fleet before a transaction, and whether it is still so in the transaction.

Looking at thousands of devices takes seconds in which nobody else may have to wait to write. Must
never say that something holds when a device was told anything since, or was deleted.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import desired_states, devices
from cloud_sync.rollout.enlistment import Enlisted

_BATCH: Final = 500
_D: Final = desired_states.c


class Outlook(Struct, frozen=True, kw_only=True):
    """What was seen.

    Attributes:
        enlisted: who would get what.
        revisions: each device that this is about, with the number of its desired state then.
    """

    enlisted: Enlisted
    revisions: Mapping[str, int]

    def holds(self, connection: Connection) -> bool:
        """Whether all these devices are still there, and wanted to run what they were then."""
        return revisions_of(connection, self.revisions) == self.revisions


def revisions_of(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """Devices with the numbers of their desired states; 0 for none, and nothing of who is gone."""
    wanted = list(names)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), _BATCH):
        query = (
            select(devices.c.device, _D.revision)
            .outerjoin(desired_states, _D.device == devices.c.device)
            .where(devices.c.device.in_(wanted[start : start + _BATCH]))
        )
        found |= {row.device: row.revision or 0 for row in connection.execute(query)}
    return found
