"""What waits in the outbox, for who only looks: how much of which class, and which events.

Never reads a result: those are the user's data. Writes nothing.
"""

import sqlite3
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct

from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_policy import Priority
from edge_agent.store.remains import reading

MOST_EVENTS: Final = 200


class WaitingClass(Struct, frozen=True, kw_only=True):
    """What waits of one class.

    Attributes:
        rows: how many.
        bytes: of their data.
        oldest: time of the oldest, seconds since 1970; None if none waits.
        newest: of the newest.
    """

    rows: int = 0
    bytes: int = 0
    oldest: float | None = None
    newest: float | None = None


class WaitingEvent(Struct, frozen=True, kw_only=True):
    """An event that the cloud has not confirmed yet.

    Attributes:
        time: seconds since 1970.
        event: as it is sent.
    """

    boot_id: str
    seq: int
    time: float
    slot: str
    event: Raw


class OutboxRemains(Struct, frozen=True, kw_only=True):
    """What is in the outbox's file.

    Attributes:
        classes: by name.
        dropped: class and reason, such as `result/full`, to count, since the outbox was made.
        events: the last ones that wait, the newest first.
    """

    classes: dict[str, WaitingClass]
    dropped: dict[str, int]
    events: tuple[WaitingEvent, ...]


def read_outbox(folder: Path) -> OutboxRemains:
    """Look into the outbox of a state directory.

    Raises:
        StorageError: it is not there, cannot be read, or is damaged.
    """
    with reading(folder / OUTBOX_FILE) as connection:
        classes = connection.execute(
            "SELECT priority, count(*), sum(length(data)), min(time), max(time) "
            "FROM rows GROUP BY priority ORDER BY priority"
        ).fetchall()
        dropped = connection.execute(
            "SELECT priority, reason, count FROM drops ORDER BY priority, reason"
        ).fetchall()
        return OutboxRemains(
            classes={
                _name(priority): WaitingClass(rows=rows, bytes=size, oldest=oldest, newest=newest)
                for priority, rows, size, oldest, newest in classes
            },
            dropped={f"{_name(priority)}/{reason}": count for priority, reason, count in dropped},
            events=_events(connection),
        )


def _events(connection: sqlite3.Connection) -> tuple[WaitingEvent, ...]:
    rows = connection.execute(
        "SELECT boot_id, seq, time, slot, data FROM rows WHERE kind = 'event' "
        "ORDER BY id DESC LIMIT ?",
        (MOST_EVENTS,),
    ).fetchall()
    return tuple(
        WaitingEvent(boot_id=boot_id, seq=seq, time=time, slot=slot, event=Raw(data))
        for boot_id, seq, time, slot, data in rows
        if _is_json(data)
    )


def _is_json(data: bytes) -> bool:
    """A page that rotted may hold anything."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return False
    return True


def _name(priority: int) -> str:
    return Priority(priority).name.lower() if priority in set(Priority) else str(priority)
