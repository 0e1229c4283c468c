"""The outbox's tables: SQL and nothing else. Every call is part of somebody else's transaction.

SQLite checks neither types nor values when it reads: a page that rotted may hold anything. What
makes no sense is reported as damage of the file (`database_damaged`).
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from edge_agent.errors import StorageError
from edge_agent.store.damage import DATABASE_DAMAGED
from edge_agent.store.outbox_flight import Place, RowName
from edge_agent.store.outbox_policy import (
    ROW_OVERHEAD_BYTES,
    Bounds,
    Drops,
    Priority,
    gives_way,
    over_quota,
)
from edge_agent.store.outbox_row import OutboxRow

MIGRATIONS: Final = (
    """
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        kind TEXT NOT NULL,
        time REAL NOT NULL,
        slot TEXT NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (boot_id, seq)
    );
    CREATE INDEX rows_kind ON rows (kind);
    CREATE TABLE dropped (kind TEXT PRIMARY KEY, count INTEGER NOT NULL);
    """,
    # Rows get a class, and their drops a reason. The reported state of an earlier run is of no use:
    # the next run makes its own, and keeps it in memory.
    """
    DELETE FROM rows WHERE kind = 'reported';
    ALTER TABLE rows ADD COLUMN priority INTEGER NOT NULL DEFAULT 2;
    ALTER TABLE rows ADD COLUMN uptime_s REAL;
    ALTER TABLE rows ADD COLUMN clock_synced INTEGER NOT NULL DEFAULT 0;
    UPDATE rows SET priority = CASE
        WHEN CAST(data AS TEXT) LIKE '%"name":"slot_%' THEN 0
        WHEN CAST(data AS TEXT) LIKE '%"name":"desired_%' THEN 0
        WHEN CAST(data AS TEXT) LIKE '%"level":"info"%' THEN 2
        ELSE 1 END
        WHERE kind = 'event';
    DROP INDEX rows_kind;
    CREATE INDEX rows_priority ON rows (priority);
    CREATE TABLE drops (
        priority INTEGER NOT NULL,
        reason TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (priority, reason)
    );
    INSERT INTO drops SELECT
        CASE kind WHEN 'reported' THEN 0 WHEN 'event' THEN 1 ELSE 2 END, 'full', count FROM dropped;
    DROP TABLE dropped;
    CREATE TABLE flushed (only INTEGER PRIMARY KEY CHECK (only = 1), id INTEGER NOT NULL);
    """,
)

T = TypeVar("T")

_INSERT: Final = """
    INSERT INTO rows (boot_id, seq, kind, time, slot, data, priority, uptime_s, clock_synced)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FETCH: Final = """
    SELECT id, boot_id, seq, kind, time, slot, data, priority, uptime_s, clock_synced
    FROM rows WHERE priority = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?
"""
_FETCH_ONE: Final = """
    SELECT id, boot_id, seq, kind, time, slot, data, priority, uptime_s, clock_synced
    FROM rows WHERE id = ?
"""


class Tally:
    """How many rows each class has, and how large they are."""

    def __init__(self) -> None:
        self.rows: Counter[Priority] = Counter()
        self.bytes: Counter[Priority] = Counter()

    def copy(self) -> "Tally":
        """The same numbers, to be changed alone."""
        other = Tally()
        other.rows, other.bytes = self.rows.copy(), self.bytes.copy()
        return other

    def add(self, priority: Priority, length: int, rows: int = 1) -> None:
        """Rows more (or, with -1, fewer) of so many bytes each."""
        self.rows[priority] += rows
        self.bytes[priority] += rows * length

    def cost(self) -> dict[Priority, int]:
        """Bytes by class with what rows cost besides their data."""
        return {p: self.bytes[p] + self.rows[p] * ROW_OVERHEAD_BYTES for p in Priority}


def tally(connection: sqlite3.Connection) -> Tally:
    """What is in the table."""
    found = Tally()
    for priority, rows, size in connection.execute(
        "SELECT priority, count(*), coalesce(sum(length(data)), 0) FROM rows GROUP BY priority"
    ):
        known = _checked(priority, Priority)
        found.rows[known] = rows
        found.bytes[known] = size
    return found


def drops(connection: sqlite3.Connection) -> Drops:
    """How many rows were dropped, by class and reason."""
    return Drops(
        {
            (_checked(priority, Priority), _checked(reason, str)): _checked(count, int)
            for priority, reason, count in connection.execute("SELECT * FROM drops")
        }
    )


def add_drops(connection: sqlite3.Connection, more: Drops) -> None:
    """Count dropped rows."""
    connection.executemany(
        "INSERT INTO drops VALUES (?, ?, ?) "
        "ON CONFLICT (priority, reason) DO UPDATE SET count = count + excluded.count",
        [(int(priority), reason, count) for (priority, reason), count in more.items()],
    )


def last_id(connection: sqlite3.Connection) -> int:
    """The highest number that a row ever had."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
    return 0 if found is None else int(found[0])


def next_seq(connection: sqlite3.Connection, boot_id: str) -> int:
    """One more than the highest number of a run's rows that are here; 0 if there are none."""
    query = "SELECT coalesce(max(seq) + 1, 0) FROM rows WHERE boot_id = ?"
    return int(connection.execute(query, (boot_id,)).fetchone()[0])


def insert(connection: sqlite3.Connection, row: OutboxRow) -> int:
    """Put a row in; its number."""
    cursor = connection.execute(
        _INSERT,
        (
            row.boot_id,
            row.seq,
            row.kind,
            row.time,
            row.slot,
            row.data,
            int(row.priority),
            row.uptime_s,
            row.clock_synced,
        ),
    )
    return int(cursor.lastrowid or 0)


def delete(connection: sqlite3.Connection, names: Iterable[RowName], counts: Tally) -> int:
    """Delete rows that the cloud has; how many were here."""
    deleted = 0
    for boot_id, seq in names:
        found = connection.execute(
            "DELETE FROM rows WHERE boot_id = ? AND seq = ? RETURNING priority, length(data)",
            (boot_id, seq),
        ).fetchone()
        if found is not None:
            counts.add(Priority(found[0]), found[1], -1)
            deleted += 1
    return deleted


def fetch(
    connection: sqlite3.Connection, priority: Priority, *, above: int, up_to: int, limit: int
) -> list[tuple[int, OutboxRow]]:
    """The oldest rows of a class whose numbers are in a range, with their numbers."""
    found = connection.execute(_FETCH, (int(priority), above, up_to, limit))
    return [_row(values) for values in found]


def fetch_one(connection: sqlite3.Connection, number: int) -> OutboxRow | None:
    """The row of a number; None if it is gone."""
    found = connection.execute(_FETCH_ONE, (number,)).fetchone()
    return None if found is None else _row(found)[1]


def names(
    connection: sqlite3.Connection, priority: Priority, *, above: int, up_to: int, limit: int
) -> list[tuple[RowName, Place]]:
    """As `fetch`, without what is in the rows."""
    found = connection.execute(
        "SELECT id, boot_id, seq FROM rows WHERE priority = ? AND id > ? AND id <= ? "
        "ORDER BY id LIMIT ?",
        (int(priority), above, up_to, limit),
    )
    return [((boot_id, seq), Place(number, priority)) for number, boot_id, seq in found]


def evict(
    connection: sqlite3.Connection, bounds: Bounds, counts: Tally
) -> tuple[Drops, list[RowName]]:
    """Delete rows until every class is within its quota and the whole within the bound.

    Returns:
        How many went, by class and reason, and which.
    """
    dropped = Drops()
    gone: list[RowName] = []
    for priority in over_quota(counts.cost(), bounds):
        while counts.cost()[priority] > bounds.quota_bytes(priority):
            victim = _drop_oldest(connection, priority, counts)
            if victim is None:
                break
            gone.append(victim)
            dropped[priority, "quota"] += 1
    while pages_used(connection) > bounds.used_pages:
        lowest = gives_way(counts.rows)
        if lowest is None:
            break
        victim = _drop_oldest(connection, lowest, counts)
        if victim is None:
            break
        gone.append(victim)
        dropped[lowest, "full"] += 1
    return dropped, gone


def pages_used(connection: sqlite3.Connection) -> int:
    """Pages of the file that something is in."""
    total = int(connection.execute("PRAGMA page_count").fetchone()[0])
    return total - int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def note_flush(connection: sqlite3.Connection, number: int) -> None:
    """Something small that a durable transaction can write, so that all before it is durable."""
    connection.execute("INSERT OR REPLACE INTO flushed VALUES (1, ?)", (number,))


def has_rows(connection: sqlite3.Connection, *, above: int, up_to: int) -> bool:
    """Whether there are rows whose numbers are in a range."""
    query = "SELECT 1 FROM rows WHERE id > ? AND id <= ? LIMIT 1"
    return connection.execute(query, (above, up_to)).fetchone() is not None


def _drop_oldest(
    connection: sqlite3.Connection, priority: Priority, counts: Tally
) -> RowName | None:
    found = connection.execute(
        "SELECT id, boot_id, seq, length(data) FROM rows WHERE priority = ? ORDER BY id LIMIT 1",
        (int(priority),),
    ).fetchone()
    if found is None:
        return None
    number, boot_id, seq, length = found
    connection.execute("DELETE FROM rows WHERE id = ?", (number,))
    counts.add(priority, length, -1)
    return boot_id, seq


# Any: a row of SQLite has values of every kind.
def _row(values: tuple[Any, ...]) -> tuple[int, OutboxRow]:
    number, boot_id, seq, kind, time, slot, data, priority, uptime_s, clock_synced = values
    row = {
        "boot_id": boot_id,
        "seq": seq,
        "kind": kind,
        "time": time,
        "slot": slot,
        # Text would be taken for base64.
        "data": data if isinstance(data, bytes) else None,
        "priority": priority,
        "uptime_s": uptime_s,
        "clock_synced": clock_synced == 1,
    }
    return number, _checked(row, OutboxRow)


def _checked(value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise StorageError(
            f"a row in the outbox cannot be read: {error}",
            hint="nothing: it is set aside and built anew; if it comes back, check the disk",
            code=DATABASE_DAMAGED,
        ) from error
