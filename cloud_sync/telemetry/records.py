"""Telemetry in the database: outbox rows once each, events, results, health history."""

import msgspec
from sqlalchemy import Connection, insert, select

from cloud_sync.db.telemetry_tables import events, health_history, received_rows, results
from edge_agent.contract.messages import Event, Health, Telemetry, TelemetryRow
from edge_agent.contract.wire import encode

MALFORMED = "malformed_event"
_event_decoder = msgspec.json.Decoder(Event)


def take_rows(connection: Connection, batch: Telemetry, now: float) -> int:
    """Store the rows of a batch that are not there yet.

    Returns:
        How many were new.
    """
    rows = {row.seq: row for row in batch.rows}
    new = unseen(connection, batch.device, batch.boot_id, tuple(rows), now)
    found_results = [rows[seq] for seq in new if rows[seq].kind == "result"]
    if found_results:
        connection.execute(
            insert(results),
            [
                {
                    "time": row.time,
                    "received": now,
                    "device": batch.device,
                    "slot": row.slot,
                    "result": bytes(row.data),
                }
                for row in found_results
            ],
        )
    for seq in new:
        if rows[seq].kind == "event":
            row = rows[seq]
            add_event(connection, _event(row), batch.device, row.time, now, slot=row.slot)
    return len(new)


def seen(
    connection: Connection, device: str, boot_id: str, seqs: tuple[int, ...]
) -> frozenset[int]:
    """Which of these outbox rows are here already."""
    column = received_rows.c
    found: set[int] = set()
    for start in range(0, len(seqs), 500):
        query = select(column.seq).where(
            column.device == device,
            column.boot_id == boot_id,
            column.seq.in_(seqs[start : start + 500]),
        )
        found.update(connection.scalars(query))
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
            insert(received_rows),
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
) -> None:
    """Store an event.

    Args:
        connection: of the transaction.
        event: what happened.
        device: on which device; empty for the service itself.
        time: when, by the device's clock, seconds since 1970.
        now: by the service's clock.
        slot: what it is about, or empty.
    """
    connection.execute(
        insert(events).values(
            time=time,
            received=now,
            device=device,
            slot=slot,
            name=event.name[:100],
            level=event.level,
            text=event.text,
            detail=msgspec.json.encode(event.detail),
        )
    )


def add_health(connection: Connection, health: Health, now: float) -> None:
    """Add a report to the history."""
    connection.execute(
        insert(health_history).values(device=health.device, received=now, health=encode(health))
    )


def _event(row: TelemetryRow) -> Event:
    try:
        return _event_decoder.decode(row.data)
    except msgspec.DecodeError as error:
        # Refusing it would make the device send it for ever.
        return Event(name=MALFORMED, level="warning", text=f"row {row.seq}: {error}")
