"""A SQLite file of the agent: opened durable, checked, migrated by number, its errors made ours.

WAL with synchronous=FULL: a transaction that returned is still there after a power cut. What is
in it can be read on a disk with no byte left: a device must start on one. A file that is damaged
is set aside and never repaired; what was in it is the business of who owns the database.
"""

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from edge_agent.errors import StorageError, Unsupported
from edge_agent.store.damage import DATABASE_DAMAGED, Damage, clear_remains, set_aside

log: Final = logging.getLogger("edge_agent.store")

BUSY_TIMEOUT_S: Final = 5.0

CHECK_S: Final = 1.0
"""Longest check of a file when it is opened: nothing runs before it is through. The journal takes
a few milliseconds; what is not reached of a long outbox is found when it is read."""

MOST_DAMAGES: Final = 64
"""Most that wait to be told of."""

_CHECK_STEPS: Final = 1000
_SHARED_INDEX_BYTES: Final = 256 * 1024
_TOO_LITTLE_BYTES: Final = 64 * 1024

_NO_ROOM: Final = frozenset(
    {"SQLITE_FULL", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMMAP"}
)

_UNREADABLE: Final = (
    "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_READ", "SQLITE_IOERR_DATA",
    "SQLITE_IOERR_CORRUPTFS",
)  # fmt: skip
"""Bytes that make no sense, or that the disk cannot read any more: the kernel has tried again."""

T = TypeVar("T")


def no_room_to_make() -> bool:
    """For a database that has nothing to give up when the disk is full."""
    return False


class Database:
    """One SQLite file, safe to use from several threads (one at a time by its own lock).

    A file that is damaged when it is opened is set aside, and an empty one takes its place:
    `take_damage` tells. One that turns out to be damaged later raises `database_damaged` from then
    on; its owner calls `start_anew`.

    Args:
        path: the file; created if missing.
        migrations: SQL scripts; number N (from 1) brings version N-1 to N.
        check_s: longest check when it is opened, seconds.
        make_room: called when the disk is full; returns whether it freed anything.
        wall: the time in seconds since 1970, for the name of what is set aside.
        is_newer_replaced: a file that a newer version wrote is set aside, too, instead of refused.

    Raises:
        Unsupported: the file was written by a newer version, and is left alone.
        StorageError: it cannot be opened or migrated.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[str],
        *,
        check_s: float = CHECK_S,
        make_room: Callable[[], bool] = no_room_to_make,
        wall: Callable[[], float] = time.time,
        is_newer_replaced: bool = False,
    ) -> None:
        self._path = path
        self._migrations = migrations
        self._make_room = make_room
        self._wall = wall
        self._lock = threading.RLock()
        self._damages: list[Damage] = []
        self._is_shared = True
        self._connection: sqlite3.Connection | None = None
        clear_remains(path)
        try:
            self._connected()
            self._check(check_s)
        except StorageError as error:
            if error.code != DATABASE_DAMAGED:
                self._disconnect()
                raise
            self.start_anew(error.text)
        except Unsupported as error:
            self._disconnect()
            if not is_newer_replaced:
                raise
            self.start_anew(error.text)
        except BaseException:
            self._disconnect()
            raise

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """All or nothing, durable when it returns. On a full disk, room is made and it is tried
        again: first the log's, then what `make_room` can give up.

        Args:
            work: what is done; it may be called three times.

        Raises:
            StorageError: as `transaction`.
        """
        for is_last_resort in (False, True):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except StorageError as error:
                if error.code != "disk_full" or (is_last_resort and not self._make_room()):
                    raise
            self._empty_log()
        with self.transaction() as connection:
            return work(connection)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable when the block is left without an exception.

        Raises:
            StorageError: the disk or the file refused; nothing was changed. `disk_full` if so.
        """
        with self._lock, self._errors("write"):
            self._share()
            connection = self._connected()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back(connection)
                if getattr(error, "sqlite_errorname", "").startswith("SQLITE_READONLY"):
                    # A file that could not be opened to write was opened to read: once is enough.
                    self._disconnect()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries.

        Raises:
            StorageError: the disk or the file refused.
        """
        with self._lock, self._errors("read"):
            yield self._connected()

    def start_anew(self, reason: str) -> None:
        """Set the file aside and begin with an empty one.

        A disk that takes no new file now is asked again at the next use.

        Args:
            reason: what is wrong with the file, for people.
        """
        with self._lock:
            self._disconnect()
            self.note(set_aside(self._path, reason, self._wall()))
            try:
                self._connected()
            except StorageError as error:
                log.error("event=database_away code=%s text=%r", error.code, error.text)

    def note(self, damage: Damage) -> None:
        """Remember to tell of a damage that was found in another way."""
        with self._lock:
            self._damages.append(damage)
            del self._damages[:-MOST_DAMAGES]

    @property
    def has_damage(self) -> bool:
        """Whether something was set aside that nobody has taken note of."""
        with self._lock:
            return bool(self._damages)

    def take_damage(self) -> tuple[Damage, ...]:
        """What was set aside since this was last asked."""
        with self._lock:
            found = tuple(self._damages)
            self._damages.clear()
        return found

    def share(self) -> None:
        """Once there is room again: let other processes read a file that was opened without it.

        Raises:
            StorageError: the disk or the file refused; it is tried again at the next use.
        """
        with self._lock, self._errors("open"):
            self._share()

    def close(self) -> None:
        """Close the file; nothing may use it afterwards."""
        with self._lock:
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        with self._errors("open"):
            try:
                connection, self._is_shared = _open(self._path), True
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname not in _NO_ROOM:
                    raise
                # The index of the WAL is a file that other processes share. Without room for it,
                # it is kept in memory, and the database is this process's alone.
                connection = _open(self._path, locking_mode="EXCLUSIVE")
                self._is_shared = False
            self._connection = connection
            try:
                self._migrate(connection)
            except BaseException:
                self._disconnect()
                raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # of a file that is given up, or of a full disk
                connection.close()

    def _share(self) -> None:
        if self._is_shared or self._connection is None:
            return
        with suppress(OSError):
            if shutil.disk_usage(self._path.parent).free > _SHARED_INDEX_BYTES:
                # SQLite changes this only by opening the file anew.
                self._disconnect()
                self._connected()

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            # Nobody knows what it has in memory: the file decides.
            self._disconnect()

    def _empty_log(self) -> None:
        """Bring what is in the log into the file, most of whose pages are there already, and cut
        it off. Whether that helped, the next write shows."""
        with self._lock, suppress(sqlite3.Error, StorageError):
            self._connected().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _check(self, seconds: float) -> None:
        connection = self._connected()
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_STEPS)
        try:
            with self._errors("check"):
                found = connection.execute("PRAGMA quick_check(1)").fetchone()
        except StorageError as error:
            cause = error.__cause__
            if getattr(cause, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
                raise
            log.info("event=database_check_ended file=%s after_s=%g", self._path.name, seconds)
            return
        finally:
            connection.set_progress_handler(None, 0)
        if found is None or found[0] != "ok":
            raise self._damaged(found[0] if found else "no answer")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(self._migrations):
            raise Unsupported(
                f"{self._path} has schema version {version}, this agent reads up to "
                f"{len(self._migrations)}",
                hint="install the newer agent again; this older one would lose what it wrote",
                code="schema_newer",
            )
        for number in range(version + 1, len(self._migrations) + 1):
            connection.execute("BEGIN IMMEDIATE")
            try:
                for statement in self._migrations[number - 1].split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if name.startswith("SQLITE_FULL") or self._is_without_room(name):
                raise StorageError(
                    f"cannot {action} {self._path}: the disk is full",
                    hint="free some space on this disk; it is tried again by itself",
                    code="disk_full",
                ) from error
            if name.startswith(_UNREADABLE):
                raise self._damaged(str(error)) from error
            raise StorageError(
                f"cannot {action} {self._path}: {error} {name}".rstrip(),
                hint="check the disk, and that this is a file which the agent's user may write",
            ) from error

    def _is_without_room(self, name: str) -> bool:
        """Whether an error that may have any cause comes from a full disk."""
        if not name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")):
            return False
        try:
            return shutil.disk_usage(self._path.parent).free < _TOO_LITTLE_BYTES
        except OSError:
            return False

    def _damaged(self, found: str) -> StorageError:
        return StorageError(
            f"{self._path} is damaged: {found}",
            hint="nothing: it is set aside and built anew; if it comes back, check the disk",
            code=DATABASE_DAMAGED,
        )


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
