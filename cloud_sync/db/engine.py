"""The database connection: reading and writing transactions, and their failures as our errors.

Writers take turns, so a transaction that read first can always write, and a number that was
counted up is its own: SQLite locks the file (`BEGIN IMMEDIATE`), on PostgreSQL all services of one
database share an advisory lock. Commits are synchronous to the disk, because what is acknowledged
to a device must outlive a power cut.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from cloud_sync.errors import ConfigError, InvalidInput, ShoalError, StorageError, Unavailable

BUSY_TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10
CONNECTIONS: Final = 40
"""30 threads of the HTTP service read at once; each keeps its own connection."""

FILE_NAME: Final = "cloud-sync.db"
_WRITES: Final = "shoal_writes"
_WRITE_LOCK: Final = 5_735_160_701
"""Any number; it is the same for all services on one PostgreSQL database."""
_REFUSALS: Final = ("42", "53100", "58", "XX")
"""How PostgreSQL's codes of these begin: no right or no table, no space, the disk, damage."""


def sqlite_url(data_dir: Path) -> str:
    """URL of the SQLite file in a data folder."""
    return f"sqlite:///{data_dir / FILE_NAME}"


class Database:
    """All access to the database goes through `read` and `write`.

    Args:
        url: an SQLAlchemy URL of SQLite or PostgreSQL.
        busy_timeout_s: how long a writer waits for its turn.

    Raises:
        ConfigError: not such a URL, or its driver is not installed.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._busy_timeout_s = busy_timeout_s
        try:
            parsed = sqlalchemy.make_url(url)
            self.kind = parsed.get_backend_name()
            if self.kind == "sqlite":
                self.engine = _sqlite(parsed, busy_timeout_s)
            elif self.kind == "postgresql":
                self.engine = _postgresql(parsed, busy_timeout_s)
            else:
                raise ConfigError(
                    f"database url expected sqlite or postgresql, found {self.kind}",
                    hint="leave it empty for SQLite",
                )
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                f"database url cannot be used: {error}",
                hint="leave it empty for SQLite; for PostgreSQL: pip install 'shoal[postgres]'",
            ) from error
        self._writer = threading.Lock()
        # With the lock held, each statement must see what the writers before have committed.
        self._write_options = {_WRITES: True} | (
            {"isolation_level": "READ COMMITTED"} if self.kind == "postgresql" else {}
        )

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the database.

        Raises:
            Unavailable: it does not answer.
            StorageError: its disk refuses.
        """
        with _translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed, durably, when the block ends without an exception.

        Raises:
            Unavailable: it does not answer, or other writers do not end.
            StorageError: its disk refuses.
            InvalidInput: a value is none that a column can hold.
        """
        # In one process a lock is fairer than SQLite's polling for its own.
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise Unavailable("the database is busy with other changes", hint="try again")
        try:
            with _translated(), self.engine.connect() as connection:
                connection = connection.execution_options(**self._write_options)
                with connection.begin():
                    yield connection
        finally:
            self._writer.release()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()


def _sqlite(url: URL, busy_timeout_s: float) -> Engine:
    engine = sqlalchemy.create_engine(
        url, connect_args={"timeout": busy_timeout_s}, pool_size=CONNECTIONS
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: `_begin` says which kind.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={int(busy_timeout_s * 1000)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _is_write(connection) else "BEGIN")

    return engine


def _postgresql(url: URL, busy_timeout_s: float) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        # A server that was restarted has cut the connections that we keep.
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=CONNECTIONS - 5,
        # A reader sees one state of the database, as in SQLite.
        isolation_level="REPEATABLE READ",
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if _is_write(connection):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(busy_timeout_s * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")
        else:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    return engine


def _is_write(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_WRITES, False))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        ours = _as_ours(error)
        if ours is None:
            raise
        raise ours from error


def _as_ours(error: DBAPIError) -> ShoalError | None:
    """The error to raise instead; None for a mistake of our own, and not of the database."""
    cause = error.orig
    text = next(iter(str(cause).strip().splitlines()), "")
    if isinstance(error, DataError):
        return InvalidInput(
            f"a value cannot be stored: {text}",
            code="unstorable",
            hint="send a smaller number, or text without NUL",
        )
    if isinstance(error, IntegrityError):
        return None
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, text)
    state = getattr(cause, "sqlstate", None) or ""
    if state.startswith(_REFUSALS):
        return StorageError(
            f"the database refused: {text}",
            hint="check the server's disk, and what the service's user may do there",
        )
    return Unavailable(
        f"the database does not answer: {text}",
        hint="check that the database runs and that its URL is right; it is asked again",
    )


def _of_sqlite(cause: sqlite3.Error, text: str) -> ShoalError | None:
    if isinstance(cause, sqlite3.ProgrammingError):
        return None
    if "locked" in text:
        return Unavailable(
            f"the database does not answer: {text}",
            hint="check that the database runs and that its URL is right; it is asked again",
        )
    if isinstance(cause, sqlite3.OperationalError):
        return StorageError(
            f"the database refused: {text}",
            hint="check the free space and the permissions of the data folder",
        )
    return StorageError(
        f"the database file is damaged or is none: {text}",
        hint="put a backup of it in its place, or name another file",
    )
