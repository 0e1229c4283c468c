"""The layers of configuration that hold for a device, read from the database.

Made for one transaction and used for many devices in it; writes nothing.
"""

from collections import defaultdict

from sqlalchemy import Connection, Row, exists, select

from cloud_sync.db.fleet_tables import config_values, device_groups, group_members
from cloud_sync.fleet.layers import Value, effective_slots, health_interval_s, ordered
from edge_agent.contract.state import WantedSlot

_C = config_values.c


class Layering:
    """What is layered, as it is in one transaction.

    A value that is written in the same transaction must be written before this is made.

    Args:
        connection: of the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fleet: list[Value] = []
        groups: dict[str, list[Value]] = defaultdict(list)
        query = (
            select(config_values, device_groups.c.rank)
            .outerjoin(device_groups, (_C.layer == "group") & (device_groups.c.name == _C.name))
            .where(_C.layer != "device")
        )
        for row in connection.execute(query):
            value = _value(row, row.rank or 0)
            (groups[row.name] if row.layer == "group" else self._fleet).append(value)
        self._groups: dict[str, list[Value]] = defaultdict(list)
        if groups:
            m = group_members.c
            for name, device in connection.execute(select(m.name, m.device)):
                self._groups[device] += groups.get(name, ())
        of_devices = select(exists().where(_C.layer == "device"))
        self._has_devices = bool(connection.scalar(of_devices))

    def of(self, device: str) -> tuple[Value, ...]:
        """Values of a device's layers, so that the later one holds."""
        own: list[Value] = []
        if self._has_devices:
            query = select(config_values).where(_C.layer == "device", _C.name == device)
            own = [_value(row) for row in self._connection.execute(query)]
        return ordered((*self._fleet, *self._groups.get(device, ()), *own))

    def effective(self, device: str, slots: dict[str, WantedSlot]) -> dict[str, WantedSlot]:
        """A device's slots with what they get, from slots with what their deployments say."""
        return effective_slots(self.of(device), slots)

    def health_interval_s(self, device: str) -> float | None:
        """Seconds between two health reports of a device; None if no layer says."""
        return health_interval_s(self.of(device))


def _value(row: Row[tuple[object, ...]], rank: int = 0) -> Value:
    return Value(
        layer=row.layer, name=row.name, rank=rank, slot=row.slot, key=row.key, value=row.value
    )
