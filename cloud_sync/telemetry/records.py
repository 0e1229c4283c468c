"""Telemetry in the database: outbox rows once each, events, results, health history.

A row keeps the time that the device says, right or wrong, and beside it the true one where that is
known to be another.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from cloud_sync.db.telemetry_tables import events, health_history, received_rows, results
from cloud_sync.telemetry.device_time import Anchor, anchor, is_doubtful, true_time
from cloud_sync.telemetry.labels import key_of, match_results
from edge_agent.contract.messages import Event, Health, Telemetry, TelemetryRow
from edge_agent.contract.wire import encode

MALFORMED: Final = "malformed_event"
_event_decoder = msgspec.json.Decoder(Event)

# Built once: building a statement takes the library longer than the database takes to run it.
_SEEN: Final = select(received_rows.c.seq).where(
    received_rows.c.device == bindparam("of_device"),
    received_rows.c.boot_id == bindparam("of_boot"),
    received_rows.c.seq.in_(bindparam("seqs", expanding=True)),
)
_SAW: Final = insert(received_rows)
_ADD_EVENT: Final = insert(events)
_ADD_HEALTH: Final = insert(health_history)
_CORRECT: Final = tuple(
    update(table)
    .where(
        table.c.device == bindparam("of_device"),
        table.c.boot_id == bindparam("of_boot"),
        table.c.uptime_s.is_not(None),
        table.c.true_time.is_(None),
    )
    .values(true_time=table.c.uptime_s + bindparam("began"))
    for table in (events, results)
)


def take_rows(connection: Connection, batch: Telemetry, now: float) -> int:
    """Store the rows of a batch that are not there yet.

    Returns:
        How many were new.
    """
    rows = {row.seq: row for row in batch.rows}
    new = unseen(connection, batch.device, batch.boot_id, tuple(rows), now)
    found_results = [rows[seq] for seq in new if rows[seq].kind == "result"]
    if found_results:
        keys = {row.seq: key_of(bytes(row.data)) for row in found_results}
        connection.execute(
            insert(results),
            [
                {
                    "time": row.time,
                    "received": now,
                    "device": batch.device,
                    "slot": row.slot,
                    "result": bytes(row.data),
                    "message": keys[row.seq],
                    **_clock(row, batch),
                }
                for row in found_results
            ],
        )
        named: dict[str, list[str]] = {}
        for row in found_results:
            if key := keys[row.seq]:
                named.setdefault(row.slot, []).append(key)
        match_results(connection, batch.device, named, now)
    for seq in new:
        if rows[seq].kind == "event":
            row = rows[seq]
            clock = _clock(row, batch)
            add_event(connection, _event(row), batch.device, row.time, now, slot=row.slot, **clock)
    return len(new)


def correct_times(connection: Connection, device: str, boot_id: str, known: Anchor) -> int:
    """Give every row of one run of an agent its true time whose own came from a wrong clock.

    Args:
        connection: of the transaction.
        device: its name.
        boot_id: of the run.
        known: a moment of that run that is known by both clocks.

    Returns:
        How many rows were corrected.
    """
    of = {"of_device": device, "of_boot": boot_id, "began": known.began}
    return sum(connection.execute(statement, of).rowcount for statement in _CORRECT)


def _clock(row: TelemetryRow, batch: Telemetry) -> dict[str, Any]:  # Any: columns of several types
    """What is kept to tell the true time of a row by; nothing for one whose time is right."""
    if not is_doubtful(row):
        return {"boot_id": None, "uptime_s": None, "true_time": None}
    return {
        "boot_id": batch.boot_id,
        "uptime_s": row.uptime_s,
        "true_time": true_time(row, anchor(batch)),
    }


def seen(
    connection: Connection, device: str, boot_id: str, seqs: tuple[int, ...]
) -> frozenset[int]:
    """Which of these outbox rows are here already."""
    found: set[int] = set()
    for start in range(0, len(seqs), 500):
        page = {"of_device": device, "of_boot": boot_id, "seqs": seqs[start : start + 500]}
        found.update(connection.scalars(_SEEN, page))
    return frozenset(found)


def unseen(
    connection: Connection, device: str, boot_id: str, seqs: tuple[int, ...], now: float
) -> list[int]:
    """Which outbox rows come for the first time; from now on they are seen.

    Returns:
        Their numbers, in the given order.
    """
    known = seen(connection, device, boot_id, seqs)
    new = [seq for seq in seqs if seq not in known]
    if new:
        connection.execute(
            _SAW,
            [{"device": device, "boot_id": boot_id, "seq": seq, "received": now} for seq in new],
        )
    return new


def add_event(
    connection: Connection,
    event: Event,
    device: str,
    time: float,
    now: float,
    *,
    slot: str = "",
    boot_id: str | None = None,
    uptime_s: float | None = None,
    true_time: float | None = None,
) -> None:
    """Store an event.

    Args:
        connection: of the transaction.
        event: what happened.
        device: on which device; empty for the service itself.
        time: when, by the device's clock, seconds since 1970.
        now: by the service's clock.
        slot: what it is about, or empty.
        boot_id: the run of the agent, where the device's clock was not synchronized.
        uptime_s: how long after its start, seconds.
        true_time: when it really was, seconds since 1970, if that is known.
    """
    connection.execute(
        _ADD_EVENT,
        {
            "time": time,
            "received": now,
            "device": device,
            "slot": slot,
            "name": event.name[:100],
            "level": event.level,
            "text": event.text,
            "detail": msgspec.json.encode(event.detail),
            "boot_id": boot_id,
            "uptime_s": uptime_s,
            "true_time": true_time,
        },
    )


def add_health(connection: Connection, health: Health, now: float) -> None:
    """Add a report to the history."""
    connection.execute(
        _ADD_HEALTH, {"device": health.device, "received": now, "health": encode(health)}
    )


def _event(row: TelemetryRow) -> Event:
    try:
        return _event_decoder.decode(row.data)
    except msgspec.DecodeError as error:
        # Refusing it would make the device send it for ever.
        return Event(name=MALFORMED, level="warning", text=f"row {row.seq}: {error}")
