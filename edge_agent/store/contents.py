"""What the journal holds, as values, and how they are written to its tables and read from them.

Nothing here opens a file or decides when to write.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from edge_agent.contract.state import DesiredState
from edge_agent.contract.wire import encode
from edge_agent.errors import StorageError
from edge_agent.store.committed import Committed
from edge_agent.store.damage import DATABASE_DAMAGED
from edge_agent.store.slots import SlotRecord

KEPT_BOOTS: Final = 64
COPIED_BOOTS: Final = 8
GENERATION: Final = "generation"

MIGRATIONS: Final = (
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
T = TypeVar("T")
_slot_encoder: Final = msgspec.json.Encoder(order="sorted")


class Contents(Struct, frozen=True, kw_only=True):
    """All that the journal knows.

    Attributes:
        boots: boot id to when that run began, seconds since 1970; the latest last.
        counters: numbers that survive restarts.
        desired: with the highest revision ever accepted; None before the first.
        slots: by name.
    """

    boots: Mapping[str, float] = {}
    counters: Mapping[str, int] = {}
    desired: DesiredState | None = None
    slots: Mapping[str, SlotRecord] = {}

    @property
    def generation(self) -> int:
        """Of what is committed: counted up with every change of it."""
        return self.counters.get(GENERATION, 0)

    @property
    def committed(self) -> Committed:
        """What of it must outlive the journal."""
        found = {slot: record.committed for slot, record in sorted(self.slots.items())}
        return Committed(
            generation=self.generation,
            boots=dict(list(self.boots.items())[-COPIED_BOOTS:]),
            desired=self.desired,
            slots={slot: record for slot, record in found.items() if record is not None},
        )


def from_committed(committed: Committed) -> Contents:
    """What a journal holds that is built from the copy."""
    return Contents(
        boots=committed.boots,
        counters={GENERATION: committed.generation},
        desired=committed.desired,
        slots=committed.slots,
    )


def read_all(connection: sqlite3.Connection) -> Contents:
    """Everything in the tables.

    Raises:
        StorageError: a row makes no sense (`database_damaged`).
        sqlite3.Error: as SQLite says.
    """
    boots = connection.execute("SELECT boot_id, started FROM boots ORDER BY number").fetchall()
    counters = connection.execute("SELECT name, value FROM counters").fetchall()
    row = connection.execute("SELECT body FROM desired").fetchone()
    slots = connection.execute("SELECT slot, body FROM slots ORDER BY slot").fetchall()
    return Contents(
        boots=_checked(dict(boots), dict[str, float]),
        counters=_checked(dict(counters), dict[str, int]),
        desired=None if row is None else _decoded(DesiredState, row[0]),
        slots={_checked(slot, str): _decoded(SlotRecord, body) for slot, body in slots},
    )


def write_all(connection: sqlite3.Connection, contents: Contents) -> None:
    """Everything, into tables whose rows do not matter any more."""
    for table in ("boots", "desired", "counters", "slots"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  # one of four words of our own
    connection.executemany(
        "INSERT INTO boots (boot_id, started) VALUES (?, ?)", list(contents.boots.items())
    )
    if contents.desired is not None:
        put_desired(connection, contents.desired)
    for name, value in contents.counters.items():
        put_counter(connection, name, value)
    put_slots(connection, contents.slots.values())


def put_boot(connection: sqlite3.Connection, boot_id: str, started: float) -> int:
    """Note a run of the agent. Returns its number."""
    number = connection.execute(
        "INSERT INTO boots (boot_id, started) VALUES (?, ?)", (boot_id, started)
    ).lastrowid
    connection.execute("DELETE FROM boots WHERE number <= ?", ((number or 0) - KEPT_BOOTS,))
    return number or 0


def put_desired(connection: sqlite3.Connection, desired: DesiredState) -> None:
    """Replace what should run."""
    connection.execute(
        "INSERT OR REPLACE INTO desired (only, revision, body) VALUES (1, ?, ?)",
        (desired.revision, encode(desired)),
    )


def put_counter(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Set a number."""
    connection.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))


def put_slots(connection: sqlite3.Connection, records: Iterable[SlotRecord]) -> None:
    """Replace what is known about slots."""
    connection.executemany(
        "INSERT OR REPLACE INTO slots VALUES (?, ?)",
        [(record.slot, _slot_encoder.encode(record)) for record in records],
    )


def remove_slot(connection: sqlite3.Connection, name: str) -> None:
    """Forget a slot."""
    connection.execute("DELETE FROM slots WHERE slot = ?", (name,))


def _decoded(kind: type[S], body: object) -> S:
    try:
        return msgspec.json.decode(body if isinstance(body, bytes) else b"", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _senseless(kind.__name__, error) from error


def _checked(value: object, kind: type[T]) -> T:
    """SQLite checks no types: a page that rotted may hold anything."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _senseless("row", error) from error


def _senseless(what: str, error: Exception) -> StorageError:
    return StorageError(
        f"a {what} in the journal cannot be read: {error}",
        hint="nothing: it is set aside and built anew; if it comes back, check the disk",
        code=DATABASE_DAMAGED,
    )
