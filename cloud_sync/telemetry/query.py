"""Questions about what was taken in: events, results, health history. Reads only."""

from typing import Any

import msgspec
from sqlalchemy import Row, select

from cloud_sync.db.engine import Database
from cloud_sync.db.search import matches
from cloud_sync.db.telemetry_tables import events, health_history, results
from cloud_sync.resources import FleetEvent, StoredResult, Tags
from edge_agent.contract.messages import Health
from edge_agent.contract.wire import decode


class Telemetry:
    """The stored telemetry.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def events(
        self,
        *,
        device: str | None = None,
        name: str | None = None,
        since: float | None = None,
        after_id: int | None = None,
        limit: int = 100,
    ) -> list[FleetEvent]:
        """Events, newest first.

        Args:
            device: only of this device; empty for the service's own.
            name: a pattern with `*` and `?`.
            since: only those received later, seconds since 1970.
            after_id: only those with a higher id.
            limit: most events in the answer.
        """
        column = events.c
        query = select(events).order_by(column.id.desc()).limit(limit)
        if device is not None:
            query = query.where(column.device == device)
        if name is not None:
            query = query.where(matches(column.name, name))
        if since is not None:
            query = query.where(column.received > since)
        if after_id is not None:
            query = query.where(column.id > after_id)
        with self._database.read() as connection:
            return [
                FleetEvent(
                    id=row.id,
                    time=_time(row),
                    device_time=_device_time(row),
                    device=row.device,
                    slot=row.slot,
                    name=row.name,
                    level=row.level,
                    text=row.text,
                    detail=msgspec.json.decode(row.detail, type=Tags),
                )
                for row in connection.execute(query)
            ]

    def results(
        self,
        *,
        device: str | None = None,
        slot: str | None = None,
        after_id: int | None = None,
        limit: int = 100,
    ) -> list[StoredResult]:
        """Results that devices sent home, newest first.

        Args:
            device: only of this device.
            slot: only of this slot.
            after_id: only those with a higher id.
            limit: most results in the answer.
        """
        column = results.c
        query = select(results).order_by(column.id.desc()).limit(limit)
        if device is not None:
            query = query.where(column.device == device)
        if slot is not None:
            query = query.where(column.slot == slot)
        if after_id is not None:
            query = query.where(column.id > after_id)
        with self._database.read() as connection:
            return [
                StoredResult(
                    id=row.id,
                    time=_time(row),
                    device_time=_device_time(row),
                    device=row.device,
                    slot=row.slot,
                    result=msgspec.Raw(bytes(row.result)),
                )
                for row in connection.execute(query)
            ]

    def health(self, device: str, *, since: float | None, limit: int) -> list[Health]:
        """Health reports of a device, newest first.

        Args:
            device: its name.
            since: only those received later, seconds since 1970.
            limit: most reports in the answer.
        """
        column = health_history.c
        query = select(column.health).where(column.device == device)
        if since is not None:
            query = query.where(column.received > since)
        query = query.order_by(column.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [decode(Health, bytes(data)) for data in connection.scalars(query)]


def _time(row: Row[Any]) -> float:  # Any: columns of several types
    """The true time where it is known to be another than the device says."""
    return float(row.time if row.true_time is None else row.true_time)


def _device_time(row: Row[Any]) -> float | None:  # Any: columns of several types
    """What the device says, where that is known to be wrong."""
    return None if row.true_time is None else float(row.time)
