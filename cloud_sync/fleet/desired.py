"""Desired states in the database: the revision only ever goes up."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection, delete, insert, select, update

from cloud_sync.db.engine import Database
from cloud_sync.db.fleet_tables import desired_states, wanted_slots
from edge_agent.contract.state import AgentSettings, DesiredState, WantedSlot
from edge_agent.contract.wire import decode, encode

_PAGE: Final = 200
_D: Final = desired_states.c


def read_desired(connection: Connection, device: str) -> DesiredState:
    """What a device should run; revision 0 and nothing if it was never told anything."""
    data = connection.scalar(select(_D.state).where(_D.device == device))
    return DesiredState(device=device, revision=0) if data is None else _decode(data)


def write_desired(
    connection: Connection,
    before: DesiredState,
    slots: dict[str, WantedSlot],
    now: float,
    *,
    above: int = 0,
    settings: AgentSettings | None = None,
) -> DesiredState:
    """Want something else of a device.

    Args:
        connection: of the transaction in which `before` was read.
        before: the state until now.
        slots: what should run from now on.
        now: seconds since 1970.
        above: a revision that the new one must be higher than, besides the one before.
        settings: of the agent from now on; None for those until now.
    """
    after = replace(
        before,
        revision=max(before.revision, above) + 1,
        slots=slots,
        settings=settings or before.settings,
    )
    values = {"revision": after.revision, "state": encode(after), "changed": now}
    key = _D.device == after.device
    if connection.execute(update(desired_states).where(key).values(**values)).rowcount == 0:
        connection.execute(insert(desired_states).values(device=after.device, **values))
    connection.execute(delete(wanted_slots).where(wanted_slots.c.device == after.device))
    if slots:
        connection.execute(
            insert(wanted_slots),
            [
                {"device": after.device, "slot": name, "digest": slot.digest}
                for name, slot in slots.items()
            ],
        )
    return after


def all_desired(database: Database) -> Iterator[str]:
    """Every device that was ever told something, page by page."""
    last = ""
    while True:
        with database.read() as connection:
            query = select(_D.device).where(_D.device > last).order_by(_D.device).limit(_PAGE)
            page = list(connection.scalars(query))
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


def _decode(data: bytes) -> DesiredState:
    # What this service wrote may be longer than what it takes from others.
    return decode(DesiredState, bytes(data), limit_bytes=len(data))
