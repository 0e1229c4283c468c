"""A SQLite file of the agent: opened durable, migrated by number, its errors made ours.

WAL with synchronous=FULL: a transaction that returned is still there after a power cut. What is
in it can be read on a disk with no byte left: a device must start on one.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_agent.errors import StorageError, Unsupported

BUSY_TIMEOUT_S: Final = 5.0

_NO_ROOM: Final = frozenset(
    {"SQLITE_FULL", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMMAP"}
)


class Database:
    """One SQLite file, safe to use from several threads (one at a time by its own lock).

    Args:
        path: the file; created if missing.
        migrations: SQL scripts; number N (from 1) brings version N-1 to N.

    Raises:
        Unsupported: the file was written by a newer version.
        StorageError: it cannot be opened, is damaged, or cannot be migrated.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._errors("open"):
            try:
                self._connection = _open(path)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname not in _NO_ROOM:
                    raise
                # The index of the WAL is a file that other processes share. Without room for it,
                # it is kept in memory, and the database is this process's alone.
                self._connection = _open(path, locking_mode="EXCLUSIVE")
        try:
            self._migrate(migrations)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable when the block is left without an exception.

        Raises:
            StorageError: the disk or the file refused; nothing was changed. `disk_full` if so.
        """
        with self._lock, self._errors("write"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries.

        Raises:
            StorageError: the disk or the file refused.
        """
        with self._lock, self._errors("read"):
            yield self._connection

    def close(self) -> None:
        """Close the file; nothing may use it afterwards."""
        with self._lock:
            self._connection.close()

    def _migrate(self, migrations: Sequence[str]) -> None:
        with self._errors("read"):
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(migrations):
            raise Unsupported(
                f"{self._path} has schema version {version}, this agent reads up to "
                f"{len(migrations)}",
                hint="install the newer agent again; this older one would lose what it wrote",
                code="schema_newer",
            )
        for number in range(version + 1, len(migrations) + 1):
            with self.transaction() as connection:
                for statement in migrations[number - 1].split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if name.startswith("SQLITE_FULL"):
                raise StorageError(
                    f"cannot {action} {self._path}: the disk is full",
                    hint="free some space on this disk; it is tried again by itself",
                    code="disk_full",
                ) from error
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise StorageError(
                    f"{self._path} is damaged: {error}",
                    hint="move it away and restart the agent: it fetches its state again",
                    code="database_damaged",
                ) from error
            raise StorageError(f"cannot {action} {self._path}: {error} {name}".rstrip()) from error


def _open(path: Path, *, locking_mode: str = "NORMAL") -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA locking_mode={locking_mode}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # A page cache of 256 KiB instead of 2 MiB: the tables are small.
        connection.execute("PRAGMA cache_size=-256")
    except BaseException:
        connection.close()
        raise
    return connection
