"""What devices say about themselves, written down: status, reported state, health.

Runs inside the transaction of whoever took the messages off the broker; publishes nothing.
"""

import logging
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from cloud_sync.db.audit import Change, record
from cloud_sync.db.fleet_tables import (
    audit_log,
    device_health,
    devices,
    reported_states,
    running_slots,
)
from cloud_sync.fleet.desired import read_desired, write_desired
from cloud_sync.fleet.known import ensure
from cloud_sync.fleet.measures_store import count_report
from edge_agent.contract.messages import Event, Health, Status
from edge_agent.contract.state import DesiredState, ReportedState
from edge_agent.contract.wire import decode, encode

SERVICE: Final = "cloud-sync"
RAISES: Final = 10
RAISES_S: Final = 3600.0
"""So often in so many seconds we go above what a device says it saw. Whoever is still not content
is another device with its name, or a broken one, and would have us count up for ever."""

_RAISE: Final = "desired.raise"
_D: Final = devices.c
_R: Final = reported_states.c
# Built once: building a statement takes the library longer than the database takes to run it.
_SAW: Final = update(devices).where(_D.device == bindparam("of_device"))
_STORED: Final = select(_R.boot_id, _R.seq).where(_R.device == bindparam("of_device"))
_CURRENT_BOOT: Final = select(_D.boot_id).where(_D.device == bindparam("of_device"))
_REPORT_FIRST: Final = insert(reported_states)
_REPORT_AGAIN: Final = update(reported_states).where(_R.device == bindparam("of_device"))
_STOPPED: Final = delete(running_slots).where(running_slots.c.device == bindparam("of_device"))
_RUNNING: Final = insert(running_slots)
_HEALTH: Final = select(device_health.c.boot_id, device_health.c.last).where(
    device_health.c.device == bindparam("of_device")
)
_HEALTH_FIRST: Final = insert(device_health)
_HEALTH_AGAIN: Final = update(device_health).where(device_health.c.device == bindparam("of_device"))
logger = logging.getLogger(__name__)


class Outcome(Struct, frozen=True, kw_only=True):
    """What has to follow once the transaction is committed.

    Attributes:
        tell: the device has to be told again what it should run.
        event: something to be remembered about the device.
    """

    tell: bool = False
    event: Event | None = None


NOTHING: Final = Outcome()


def take_status(
    connection: Connection, status: Status, now: float, *, is_retained: bool
) -> Outcome:
    """Note that a device came or went. Its first message makes it known.

    Args:
        connection: of the transaction.
        status: what it said.
        now: seconds since 1970.
        is_retained: the broker had kept the message; it is not news.
    """
    is_new = ensure(connection, status.device, now)
    row = connection.execute(select(devices).where(_D.device == status.device)).one()
    values: dict[str, Any] = {}  # Any: columns of several types
    seen = _seen(status, now, is_retained=is_retained)
    if seen is not None:
        values["last_seen"] = max(seen, row.last_seen or 0.0)
    event: Event | None = None
    if status.state == "offline":
        if row.boot_id and status.boot_id != row.boot_id:
            # The last will of a boot that another one has replaced already.
            return NOTHING
        values |= {"state": "offline", "boot_id": status.boot_id, "host": status.host[:255]}
        if row.state != "offline":
            event = Event(name="offline", text=status.reason, level="warning")
    else:
        event = _came_online(row, status, is_new=is_new)
        values["state"] = "online"
        if status.boot_id != row.boot_id:
            values |= {
                "boot_id": status.boot_id,
                "host": status.host[:255],
                "previous_boot_id": row.boot_id,
                "previous_host": row.host,
            }
    connection.execute(update(devices).where(_D.device == status.device).values(**values))
    return Outcome(tell=status.state == "online" and not is_retained, event=event)


def _seen(status: Status, now: float, *, is_retained: bool) -> float | None:
    """When the device was there, by the service's clock; None if nobody can tell."""
    if not is_retained:
        return now
    # What a wrong clock says would make a device that is gone look alive.
    return min(now, status.time) if status.clock_synced else None


def _came_online(row: Row[Any], status: Status, *, is_new: bool) -> Event | None:  # Any: columns
    # A boot never comes back once another was there, unless both are alive and the broker lets
    # only one of them in at a time.
    if status.boot_id and status.boot_id == row.previous_boot_id != row.boot_id:
        logger.error(
            "event=two_agents device=%s host=%s other_host=%s",
            status.device,
            status.host,
            row.host,
        )
        return Event(
            name="two_agents",
            level="error",
            text=f"two agents use the name {status.device!r}: on {status.host or 'an unnamed host'}"
            f" (boot {status.boot_id}) and on {row.host or 'an unnamed host'} (boot {row.boot_id});"
            " give one of them another name",
            detail={
                "host": status.host,
                "boot_id": status.boot_id,
                "other_host": row.host,
                "other_boot_id": row.boot_id,
            },
        )
    if is_new:
        return Event(name="registered", text=f"{status.device} is new; host {status.host}")
    if row.state != "online" or row.boot_id != status.boot_id:
        return Event(name="online", detail={"boot_id": status.boot_id, "host": status.host})
    return None


def take_reported(connection: Connection, reported: ReportedState, now: float) -> Outcome:
    """Note what a device runs. The device must be known."""
    of = {"of_device": reported.device}
    row = connection.execute(_STORED, of).first()
    current = connection.scalar(_CURRENT_BOOT, of)
    if row is not None and not is_newer(
        reported, stored_boot=row.boot_id, stored_seq=row.seq, current_boot=current or ""
    ):
        return NOTHING
    values = {
        "boot_id": reported.boot_id,
        "seq": reported.seq,
        "time": reported.time,
        "received": now,
        "revision_seen": reported.revision_seen,
        "revision_applied": reported.revision_applied,
        "state": encode(reported),
    }
    if row is None:
        connection.execute(_REPORT_FIRST, {"device": reported.device, **values})
    else:
        connection.execute(_REPORT_AGAIN, of | values)
    connection.execute(_STOPPED, of)
    running = [
        {"device": reported.device, "slot": name, "digest": slot.running}
        for name, slot in reported.slots.items()
        if slot.running
    ]
    if running:
        connection.execute(_RUNNING, running)
    return _compare_revisions(connection, reported, now)


def is_newer(
    reported: ReportedState, *, stored_boot: str, stored_seq: int, current_boot: str
) -> bool:
    """Whether a report replaces the stored one. Pure.

    Reports go through the device's outbox, so those of an earlier boot may come late.

    Args:
        reported: the report.
        stored_boot: boot id of the stored one.
        stored_seq: its number.
        current_boot: boot id of the last status message, or empty.
    """
    if reported.boot_id == stored_boot:
        return reported.seq > stored_seq
    return stored_boot != current_boot or reported.boot_id == current_boot


def has_other_orders(reported: ReportedState, desired: DesiredState) -> bool:
    """Whether a device follows orders that are not, or no longer, those of this service. Pure.

    A service that was set back to a backup may have given a number a second time, to other orders.
    Other settings of the same versions are not seen: a report does not tell them.

    Args:
        reported: the device's report, of a revision not below the desired one.
        desired: what the service wants.
    """
    if reported.revision_seen != desired.revision:
        return reported.revision_seen > desired.revision
    followed = {slot: found.wanted for slot, found in reported.slots.items() if found.wanted}
    return followed != {slot: wanted.digest for slot, wanted in desired.slots.items()}


def _compare_revisions(connection: Connection, reported: ReportedState, now: float) -> Outcome:
    desired = read_desired(connection, reported.device)
    is_behind = reported.revision_seen < desired.revision
    if is_behind or not has_other_orders(reported, desired):
        return Outcome(tell=is_behind)
    raises = _recent_raises(connection, reported.device, now)
    if raises >= RAISES:
        return NOTHING
    # The device remembers orders that we do not: the database is from a backup, or the device was
    # deleted and came back. It takes nothing up to what it has seen, so we go above it.
    after = write_desired(connection, desired, desired.slots, now, above=reported.revision_seen)
    change = Change(
        actor=SERVICE,
        reason=f"the device had already seen revision {reported.revision_seen}",
        time=now,
    )
    record(connection, change, _RAISE, f"{reported.device}@{after.revision}")
    return Outcome(tell=True, event=_disputed(reported) if raises == RAISES - 1 else None)


def _recent_raises(connection: Connection, device: str, now: float) -> int:
    """How often a device's revision was raised above what it had seen, in the last hour."""
    column = audit_log.c
    query = select(func.count()).where(
        column.action == _RAISE,
        column.time > now - RAISES_S,
        column.subject.startswith(f"{device}@", autoescape=True),
    )
    return connection.scalar(query) or 0


def _disputed(reported: ReportedState) -> Event:
    return Event(
        name="orders_disputed",
        level="error",
        text=f"{reported.device!r} was given newer orders {RAISES} times within an hour, and says "
        f"each time that it has seen others (now revision {reported.revision_seen}); it is told no "
        "more for an hour. Look whether another service or another device uses this name",
    )


def take_health(connection: Connection, health: Health, now: float) -> Outcome:
    """Note a device's counters, and the report before them. The device must be known."""
    of = {"of_device": health.device}
    row = connection.execute(_HEALTH, of).first()
    data = encode(health)
    before: Health | None = None
    if row is None:
        first = {"boot_id": health.boot_id, "received": now, "last": data, "previous": None}
        connection.execute(_HEALTH_FIRST, {"device": health.device, **first})
        count_report(connection, health, None, now)
    elif bytes(row.last) != data:  # the broker may send one twice
        previous = row.last if row.boot_id == health.boot_id else None
        before = decode(Health, bytes(previous)) if previous is not None else None
        count_report(connection, health, before, now)
        again = {"boot_id": health.boot_id, "received": now, "last": data, "previous": previous}
        connection.execute(_HEALTH_AGAIN, of | again)
    if before is None or before.interval_s != health.interval_s:
        connection.execute(_SAW, of | {"interval_s": health.interval_s})
    return NOTHING


def saw(connection: Connection, device: str, now: float) -> bool:
    """Note that a message came from a device.

    Returns:
        Whether the device is known.
    """
    return connection.execute(_SAW, {"of_device": device, "last_seen": now}).rowcount > 0
