"""The outbox: what the cloud must hear, kept until the cloud says that it has committed it.

A broker's acknowledgement proves nothing about the cloud's database; rows are freed by
`down/ack` and nothing else. The store is bounded: the oldest rows are dropped first, counted.
A report of the device's state replaces an older one that is still waiting: only the last matters.
"""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.store.database import Database

OUTBOX_FILE: Final = "outbox.db"

Kind = Literal["event", "result", "reported"]

_MIGRATIONS: Final = (
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
)


_Victim = tuple[str, int, tuple[str, int]]
"""Kind, bytes, and the row's name: boot id and sequence number."""


class OutboxItem(Struct, frozen=True, kw_only=True):
    """What is to be put in: everything of a row but its number."""

    kind: Kind
    time: float
    data: bytes
    slot: str = ""


class OutboxRow(Struct, frozen=True, kw_only=True):
    """A row as it waits. `boot_id` and `seq` are unique together, for ever."""

    boot_id: str
    seq: int
    kind: Kind
    time: float
    slot: str
    data: bytes


class OutboxSize(Struct, frozen=True, kw_only=True):
    """How much waits, and how many rows were dropped since the outbox was made."""

    rows: int
    bytes: int
    dropped: int


class Outbox:
    """Rows that wait for the cloud. Safe to use from any of the agent's threads.

    Args:
        folder: the state directory.
        boot_id: of this run; new rows get it.
        max_rows: most rows that wait.
        max_bytes: most bytes of data that wait.
        max_in_flight: most rows that are sent and not acknowledged.
        resend_s: a row that was sent is sent again after this, if no acknowledgement came.

    Raises:
        Unsupported: the file is of a newer version.
        StorageError: it cannot be opened or is damaged.
    """

    def __init__(
        self,
        folder: Path,
        boot_id: str,
        *,
        max_rows: int = 20_000,
        max_bytes: int = 32 * 2**20,
        max_in_flight: int = 512,
        resend_s: float = 30.0,
    ) -> None:
        self._database = Database(folder / OUTBOX_FILE, _MIGRATIONS)
        self._boot_id = boot_id
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_in_flight = max_in_flight
        self._resend_s = resend_s
        self._next_seq = 0
        # Held while rows and what is known of them change: the uplink thread puts rows in, the
        # link's thread takes them out.
        self._lock = threading.Lock()
        # Rows that never got here, by kind, until the disk has taken their number.
        self._lost: Counter[str] = Counter()
        self._lost_lock = threading.Lock()
        # Row id to the monotonic time of the last sending.
        self._sent: dict[tuple[str, int], float] = {}
        with self._database.reading() as connection:
            self._rows, self._bytes = connection.execute(
                "SELECT count(*), coalesce(sum(length(data)), 0) FROM rows"
            ).fetchone()
            self._dropped = connection.execute(
                "SELECT coalesce(sum(count), 0) FROM dropped"
            ).fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def put(self, items: Sequence[OutboxItem]) -> list[int]:
        """Keep items, in one transaction. One that no message can carry is dropped, counted.

        Returns:
            The sequence numbers of those that were kept.

        Raises:
            StorageError: the disk refused; none was kept.
        """
        kept = [item for item in items if len(item.data) <= MAX_ROW_BYTES]
        refused = Counter(item.kind for item in items if len(item.data) > MAX_ROW_BYTES)
        with self._lock:
            numbers = list(range(self._next_seq, self._next_seq + len(kept)))
            with self._lost_lock:
                lost = self._lost.copy()
            with self._database.transaction() as connection:
                rows, size = self._rows, self._bytes
                for seq, item in zip(numbers, kept, strict=True):
                    more_rows, more_bytes = self._insert(connection, seq, item)
                    rows, size = rows + more_rows, size + more_bytes
                victims = self._evict(connection, rows, size)
                dropped = lost + refused + Counter(kind for kind, _, _ in victims)
                connection.executemany(
                    "INSERT INTO dropped VALUES (?, ?) "
                    "ON CONFLICT (kind) DO UPDATE SET count = count + excluded.count",
                    list(dropped.items()),
                )
            self._rows = rows - len(victims)
            self._bytes = size - sum(length for _, length, _ in victims)
            self._next_seq += len(kept)
            for _, _, name in victims:
                self._sent.pop(name, None)
            with self._lost_lock:
                self._dropped += dropped.total()
                self._lost -= lost
        return numbers

    def lose(self, kind: Kind, count: int = 1) -> None:
        """Count rows that were dropped before they could be put in. Never waits for the disk."""
        with self._lost_lock:
            self._lost[kind] += count

    def _insert(
        self, connection: sqlite3.Connection, seq: int, item: OutboxItem
    ) -> tuple[int, int]:
        """Returns by how many rows and bytes the outbox has grown."""
        rows, size = 1, len(item.data)
        if item.kind == "reported":
            waiting = connection.execute(
                "DELETE FROM rows WHERE kind = 'reported' RETURNING length(data)"
            ).fetchall()
            rows, size = rows - len(waiting), size - sum(length for (length,) in waiting)
        connection.execute(
            "INSERT INTO rows (boot_id, seq, kind, time, slot, data) VALUES (?, ?, ?, ?, ?, ?)",
            (self._boot_id, seq, item.kind, item.time, item.slot, item.data),
        )
        return rows, size

    def _evict(self, connection: sqlite3.Connection, rows: int, size: int) -> list[_Victim]:
        """Delete rows until the rest is within the bounds; state outlives events, these results."""
        victims: list[_Victim] = []
        while rows > self._max_rows or size > self._max_bytes:
            found = connection.execute(
                "SELECT id, kind, length(data), boot_id, seq FROM rows "
                "WHERE kind != 'reported' ORDER BY kind = 'event', id LIMIT 1"
            ).fetchone()
            if found is None:
                break
            number, kind, length, boot_id, seq = found
            connection.execute("DELETE FROM rows WHERE id = ?", (number,))
            victims.append((kind, length, (boot_id, seq)))
            rows, size = rows - 1, size - length
        return victims

    def due(self, now: float, *, limit: int, max_bytes: int) -> list[OutboxRow]:
        """The oldest rows to send now, all of one boot, marked as sent.

        Args:
            now: seconds, monotonic.
            limit: most rows.
            max_bytes: most bytes of data, but always at least one row.
        """
        with self._lock, self._database.reading() as connection:
            found = connection.execute(
                "SELECT boot_id, seq, kind, time, slot, data FROM rows ORDER BY id LIMIT ?",
                (self._max_in_flight,),
            )
            chosen: list[OutboxRow] = []
            size = 0
            for boot_id, seq, kind, time, slot, data in found:
                sent = self._sent.get((boot_id, seq))
                if sent is not None and now - sent < self._resend_s:
                    continue
                full = len(chosen) == limit or (chosen and size + len(data) > max_bytes)
                if full or (chosen and chosen[0].boot_id != boot_id):
                    break
                size += len(data)
                chosen.append(
                    OutboxRow(
                        boot_id=boot_id, seq=seq, kind=kind, time=time, slot=slot, data=bytes(data)
                    )
                )
            found.close()
            for row in chosen:
                self._sent[row.boot_id, row.seq] = now
        return chosen

    @property
    def next_seq(self) -> int:
        """The number that the next row gets."""
        return self._next_seq

    def not_sent(self, rows: Iterable[OutboxRow]) -> None:
        """These rows were due, but could not be sent: they are due again."""
        with self._lock:
            for row in rows:
                self._sent.pop((row.boot_id, row.seq), None)

    def acknowledge(self, boot_id: str, seqs: Iterable[int]) -> int:
        """Forget rows that the cloud has committed.

        Returns:
            How many of them were here.
        """
        freed: dict[int, int] = {}
        with self._lock:
            with self._database.transaction() as connection:
                for seq in seqs:
                    row = connection.execute(
                        "DELETE FROM rows WHERE boot_id = ? AND seq = ? RETURNING length(data)",
                        (boot_id, seq),
                    ).fetchone()
                    if row is not None:
                        freed[seq] = row[0]
            self._rows -= len(freed)
            self._bytes -= sum(freed.values())
            for seq in freed:
                self._sent.pop((boot_id, seq), None)
        return len(freed)

    def forget_sendings(self) -> None:
        """After a reconnect: whatever was in flight may be lost, so all of it is due again."""
        with self._lock:
            self._sent.clear()

    @property
    def size(self) -> OutboxSize:
        """How much waits, and how much was dropped."""
        with self._lost_lock:
            dropped = self._dropped + self._lost.total()
        return OutboxSize(rows=self._rows, bytes=self._bytes, dropped=dropped)
