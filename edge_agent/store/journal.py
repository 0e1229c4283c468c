"""The journal: what should run, what does, and how far a change has come. Survives a power cut.

Every step of an install is written here before its effect matters to anybody else, so that the
agent that starts after a crash finds the old version or the new one, never neither.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from edge_agent.contract.state import DesiredState
from edge_agent.contract.wire import encode
from edge_agent.errors import StorageError
from edge_agent.store.database import Database
from edge_agent.store.slots import SlotRecord

JOURNAL_FILE: Final = "journal.db"
KEPT_BOOTS: Final = 64

_MIGRATIONS: Final = (
    """
    CREATE TABLE boots (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        boot_id TEXT NOT NULL UNIQUE,
        started REAL NOT NULL
    );
    CREATE TABLE desired (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        revision INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    CREATE TABLE slots (slot TEXT PRIMARY KEY, body BLOB NOT NULL);
    """,
)

S = TypeVar("S", bound=Struct)
_slot_encoder: Final = msgspec.json.Encoder(order="sorted")


class Journal:
    """The agent's memory in one SQLite file. Safe to use from any of the agent's threads.

    Args:
        folder: the state directory.

    Raises:
        Unsupported: the file is of a newer version.
        StorageError: it cannot be opened or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_FILE
        self._database = Database(self._path, _MIGRATIONS)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def begin_boot(self, boot_id: str, started: float) -> int:
        """Note that the agent started.

        Args:
            boot_id: unique to this run.
            started: seconds since 1970.

        Returns:
            How many times an agent has started on this state directory, this one included.
        """
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO boots (boot_id, started) VALUES (?, ?)", (boot_id, started)
            )
            number = int(cursor.lastrowid or 0)
            connection.execute("DELETE FROM boots WHERE number <= ?", (number - KEPT_BOOTS,))
        return number

    def boot_ids(self) -> frozenset[str]:
        """The last runs on this state directory: a status of theirs is an echo, not a double."""
        with self._database.reading() as connection:
            return frozenset(row[0] for row in connection.execute("SELECT boot_id FROM boots"))

    def desired(self) -> DesiredState | None:
        """The desired state with the highest revision ever accepted; None before the first.

        Raises:
            StorageError: it was written, but cannot be read.
        """
        with self._database.reading() as connection:
            row = connection.execute("SELECT body FROM desired").fetchone()
        return None if row is None else self._read(DesiredState, row[0])

    def accept_desired(self, desired: DesiredState) -> bool:
        """Keep a desired state if its revision is higher than any before.

        Returns:
            Whether it was kept. False for a lower or equal revision; nothing was changed then.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                "INSERT INTO desired (only, revision, body) VALUES (1, ?, ?) "
                "ON CONFLICT (only) DO UPDATE SET revision = excluded.revision, "
                "body = excluded.body WHERE excluded.revision > desired.revision",
                (desired.revision, encode(desired)),
            ).rowcount
        return changed > 0

    def counter(self, name: str) -> int:
        """A number that survives restarts; 0 if it was never set."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT value FROM counters WHERE name = ?", (name,)
            ).fetchone()
        return 0 if row is None else int(row[0])

    def set_counter(self, name: str, value: int) -> None:
        """Set a number that survives restarts."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))

    def slots(self) -> dict[str, SlotRecord]:
        """Every slot that is known.

        Raises:
            StorageError: a row cannot be read.
        """
        with self._database.reading() as connection:
            rows = connection.execute("SELECT slot, body FROM slots ORDER BY slot").fetchall()
        return {slot: self._read(SlotRecord, body) for slot, body in rows}

    def slot(self, name: str) -> SlotRecord:
        """One slot; an absent one if it is not known."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT body FROM slots WHERE slot = ?", (name,)).fetchone()
        return SlotRecord(slot=name) if row is None else self._read(SlotRecord, row[0])

    def put_slot(self, record: SlotRecord) -> None:
        """Replace what is known about a slot, in one transaction."""
        self.put_slots((record,))

    def put_slots(self, records: Iterable[SlotRecord]) -> None:
        """Replace what is known about several slots, all or none."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO slots VALUES (?, ?)",
                [(record.slot, _slot_encoder.encode(record)) for record in records],
            )

    def remove_slot(self, name: str) -> None:
        """Forget a slot."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM slots WHERE slot = ?", (name,))

    def _read(self, kind: type[S], body: bytes) -> S:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise StorageError(
                f"{self._path}: a {kind.__name__} in it cannot be read: {error}",
                hint="move it away and restart the agent: it fetches its state again",
                code="database_damaged",
            ) from error
