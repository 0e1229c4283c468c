"""The outbox: what the cloud must hear, kept until the cloud says that it has committed it.

A broker's acknowledgement proves nothing about the cloud's database; rows are freed by
`down/ack` and nothing else. The store is bounded: the oldest rows are dropped first, counted.
A report of the device's state replaces an older one that is still waiting: only the last matters.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

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
    """How much waits, and how much was dropped for want of room since the outbox was made."""

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
        """Keep items, in one transaction.

        Returns:
            Their sequence numbers.

        Raises:
            StorageError: the disk refused; none was kept.
        """
        with self._database.transaction() as connection:
            rows, size, dropped = self._rows, self._bytes, self._dropped
            numbers = list(range(self._next_seq, self._next_seq + len(items)))
            for seq, item in zip(numbers, items, strict=True):
                if item.kind == "reported":
                    count, length = connection.execute(
                        "SELECT count(*), coalesce(sum(length(data)), 0) FROM rows "
                        "WHERE kind = 'reported'"
                    ).fetchone()
                    connection.execute("DELETE FROM rows WHERE kind = 'reported'")
                    rows, size = rows - count, size - length
                connection.execute(
                    "INSERT INTO rows (boot_id, seq, kind, time, slot, data) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (self._boot_id, seq, item.kind, item.time, item.slot, item.data),
                )
                rows, size = rows + 1, size + len(item.data)
            while rows > self._max_rows or size > self._max_bytes:
                # State and events outlive results: a person needs them to know what happened.
                victim = connection.execute(
                    "SELECT id, kind, length(data), boot_id, seq FROM rows "
                    "WHERE kind != 'reported' ORDER BY kind = 'event', id LIMIT 1"
                ).fetchone()
                if victim is None:
                    break
                connection.execute("DELETE FROM rows WHERE id = ?", (victim[0],))
                connection.execute(
                    "INSERT INTO dropped VALUES (?, 1) "
                    "ON CONFLICT (kind) DO UPDATE SET count = count + 1",
                    (victim[1],),
                )
                rows, size, dropped = rows - 1, size - victim[2], dropped + 1
                self._sent.pop((victim[3], victim[4]), None)
        self._rows, self._bytes, self._dropped = rows, size, dropped
        self._next_seq += len(items)
        return numbers

    def due(self, now: float, *, limit: int, max_bytes: int) -> list[OutboxRow]:
        """The oldest rows to send now, all of one boot, marked as sent.

        Args:
            now: seconds, monotonic.
            limit: most rows.
            max_bytes: most bytes of data, but always at least one row.
        """
        with self._database.reading() as connection:
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
        for row in rows:
            self._sent.pop((row.boot_id, row.seq), None)

    def acknowledge(self, boot_id: str, seqs: Iterable[int]) -> int:
        """Forget rows that the cloud has committed.

        Returns:
            How many of them were here.
        """
        freed_rows = freed_bytes = 0
        with self._database.transaction() as connection:
            for seq in seqs:
                row = connection.execute(
                    "DELETE FROM rows WHERE boot_id = ? AND seq = ? RETURNING length(data)",
                    (boot_id, seq),
                ).fetchone()
                self._sent.pop((boot_id, seq), None)
                if row is not None:
                    freed_rows += 1
                    freed_bytes += row[0]
        self._rows -= freed_rows
        self._bytes -= freed_bytes
        return freed_rows

    def forget_sendings(self) -> None:
        """After a reconnect: whatever was in flight may be lost, so all of it is due again."""
        self._sent.clear()

    @property
    def size(self) -> OutboxSize:
        """How much waits, and how much was dropped."""
        return OutboxSize(rows=self._rows, bytes=self._bytes, dropped=self._dropped)
