"""The outbox's SQLite file: never larger than its bound, and flushed only where that is asked for.

A transaction that is not durable survives the end of the process, but not a power cut; the next
durable one makes it so, too. The file stays whole either way.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.errors import StorageError, Unsupported
from edge_agent.store.damage import DATABASE_DAMAGED, Damage
from edge_agent.store.database import Database
from edge_agent.store.outbox_policy import PAGE_BYTES, Bounds
from edge_agent.store.outbox_table import MIGRATIONS, pages_used

log: Final = logging.getLogger("edge_agent.store")

OUTBOX_FILE: Final = "outbox.db"


class OutboxFile:
    """The file, for one user at a time. It is opened by its first use; if that fails, by the next.

    Args:
        folder: the state directory.
        bounds: of the file and its log.
    """

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self._bounds = bounds
        self._path = folder / OUTBOX_FILE
        self._database: Database | None = None
        self._prepared: sqlite3.Connection | None = None
        self.openings = 0
        """How often the file was opened. After an error of the disk it is opened anew, and what it
        holds then is what counts."""

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()

    @contextlib.contextmanager
    def transaction(self, *, is_durable: bool) -> Iterator[sqlite3.Connection]:
        """All or nothing.

        Args:
            is_durable: whether it is on the disk when the block is left; else when a later one is.

        Raises:
            StorageError: the disk or the file refused; nothing was changed.
        """
        with self.reading() as connection:
            connection.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}")
        with self._opened().transaction() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries.

        Raises:
            StorageError: the disk or the file refused; `schema_newer` if a newer agent wrote it.
        """
        with self._opened().reading() as connection:
            if connection is not self._prepared:
                self._prepare(connection)
            yield connection

    def give_back(self) -> bool:
        """If much of a large file is empty, make it small; returns whether it was done.

        Raises:
            StorageError: the disk or the file refused; it is as large as before.
        """
        with self.reading() as connection:
            total = int(connection.execute("PRAGMA page_count").fetchone()[0])
            if total < self._bounds.file_pages // 4:
                return False
            if pages_used(connection) > self._bounds.file_pages // 16:
                return False
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        log.info("event=outbox_shrunk from_mb=%.1f", total * PAGE_BYTES / 2**20)
        return True

    def replace_damaged(self, error: StorageError) -> bool:
        """If an error says that the file is damaged, set it aside and begin an empty one.

        Returns:
            Whether it was so.
        """
        if error.code != DATABASE_DAMAGED:
            return False
        self._opened().start_anew(error.text)
        return True

    def take_damage(self) -> tuple[Damage, ...]:
        """What was set aside since this was last asked."""
        return self._database.take_damage() if self._database is not None else ()

    def _opened(self) -> Database:
        if self._database is None:
            try:
                self._database = Database(self._path, MIGRATIONS)
            except Unsupported as error:
                # To its users it is a disk that refuses: the device works, its news have to wait.
                raise StorageError(error.text, hint=error.hint, code=error.code) from error
        return self._database

    def _prepare(self, connection: sqlite3.Connection) -> None:
        limits = self._bounds
        connection.execute(f"PRAGMA max_page_count={limits.file_pages}")
        connection.execute(f"PRAGMA wal_autocheckpoint={limits.log_pages}")
        # After a long transaction the log is cut back to what it usually takes.
        connection.execute(f"PRAGMA journal_size_limit={limits.log_pages * PAGE_BYTES}")
        connection.execute("PRAGMA temp_store=MEMORY")
        self._prepared = connection
        self.openings += 1
