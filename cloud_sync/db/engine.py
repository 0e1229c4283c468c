"""The database connection: reading and writing transactions, and their failures as our errors.

Writers of SQLite take turns (`BEGIN IMMEDIATE`), so a transaction that read first can always
write. Commits are synchronous to the disk, because what is acknowledged to a device must outlive
a power cut.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from cloud_sync.errors import ConfigError, StorageError, Unavailable

BUSY_TIMEOUT_S: Final = 30.0
FILE_NAME: Final = "cloud-sync.db"
_WRITES: Final = "shoal_writes"


def sqlite_url(data_dir: Path) -> str:
    """URL of the SQLite file in a data folder."""
    return f"sqlite:///{data_dir / FILE_NAME}"


class Database:
    """All access to the database goes through `read` and `write`.

    Args:
        url: an SQLAlchemy URL.

    Raises:
        ConfigError: not such a URL, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sqlalchemy.make_url(url)
            self.kind = parsed.get_backend_name()
            if self.kind == "sqlite":
                # 30 threads of the HTTP service read at once; each keeps its own connection.
                self.engine: Engine = sqlalchemy.create_engine(
                    parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=40
                )
                _set_up_sqlite(self.engine)
            else:
                self.engine = sqlalchemy.create_engine(parsed, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                f"database url cannot be used: {error}",
                hint="leave it empty for SQLite, or install the driver it names",
            ) from error
        self._writer = threading.Lock()

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
        """
        # In one process a lock is fairer than SQLite's polling for its own.
        if not self._writer.acquire(timeout=BUSY_TIMEOUT_S):
            raise Unavailable("the database is busy with other changes", hint="try again")
        try:
            with _translated(), self.engine.connect() as connection:
                connection = connection.execution_options(**{_WRITES: True})
                with connection.begin():
                    yield connection
        finally:
            self._writer.release()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()


def _set_up_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: `_begin` says which kind.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={int(BUSY_TIMEOUT_S * 1000)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_write = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        cause = error.orig
        text = str(cause)
        if isinstance(cause, sqlite3.OperationalError) and "locked" not in text:
            raise StorageError(
                f"the database refused: {text}",
                hint="check the free space and the permissions of the data folder",
            ) from error
        if isinstance(error, IntegrityError | ProgrammingError | DataError):
            raise  # a mistake of our own, not of the database
        if isinstance(cause, sqlite3.DatabaseError) and "locked" not in text:
            raise StorageError(f"the database file is damaged or is none: {text}") from error
        raise Unavailable(f"the database does not answer: {text.strip()}") from error
