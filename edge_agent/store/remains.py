"""What the agent has on the disk, for who only looks: while it runs, and when it cannot.

Reads the databases without a lock of the state directory, and never writes, migrates or repairs
one. What cannot be read is said, and never stops the rest.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from edge_agent.errors import StorageError
from edge_agent.store.committed import COMMITTED_FILE, read_committed
from edge_agent.store.contents import Contents, from_committed, read_all
from edge_agent.store.damage import DATABASE_DAMAGED
from edge_agent.store.journal import JOURNAL_FILE

DATABASE_MISSING: Final = "database_missing"
"""Code of the error for a database that is not there, as before the first start."""

BUSY_S: Final = 2.0
_CHECK_STEPS: Final = 2_000_000
"""Of SQLite's machine, about a second: a large database is not checked to its end."""


class Remains(Struct, frozen=True, kw_only=True):
    """What was read of a journal.

    Attributes:
        contents: what it holds.
        source: the file that it came from; empty if there was none.
        problem: why it did not come from the journal; empty if it did.
        code: stable code of the problem, or empty.
        hint: what to do about it, or empty.
    """

    contents: Contents
    source: str
    problem: str = ""
    code: str = ""
    hint: str = ""


def read_journal(folder: Path) -> Remains:
    """What a state directory's journal holds; the copy of what is committed if it cannot be read.

    Args:
        folder: the state directory.
    """
    path = folder / JOURNAL_FILE
    try:
        with reading(path) as connection:
            return Remains(contents=read_all(connection), source=path.name)
    except StorageError as error:
        copy = read_committed(folder)
        return Remains(
            contents=Contents() if copy is None else from_committed(copy),
            source="" if copy is None else COMMITTED_FILE,
            problem=error.text,
            code=error.code,
            hint=error.hint,
        )


def check_database(path: Path) -> bool:
    """Ask SQLite whether a database makes sense, for about a second.

    Returns:
        Whether it was looked at to its end.

    Raises:
        StorageError: it cannot be read, or is damaged (`database_damaged`).
    """
    steps = iter(range(_CHECK_STEPS // 1000))
    try:
        with reading(path) as connection:
            connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except StorageError as error:
        if getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            return False
        raise
    if found is None or found[0] != "ok":
        raise StorageError(
            f"{path} is damaged: {found[0] if found else 'no answer'}",
            hint="restart the agent: it sets the file aside and builds it anew",
            code=DATABASE_DAMAGED,
        )
    return True


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A database of the agent, for queries.

    Raises:
        StorageError: it is not there, cannot be read, or makes no sense.
    """
    if not path.is_file():
        raise StorageError(
            f"{path} is not there",
            hint="the agent makes it when it starts",
            code=DATABASE_MISSING,
        )
    # Without a log nobody has it open, and it is whole: then it can be read where nothing can be
    # written, and nothing is left beside it.
    is_closed = not path.with_name(f"{path.name}-wal").exists()
    try:
        address = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if is_closed else ''}"
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        is_damaged = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
        raise StorageError(
            f"{path} cannot be read: {error}",
            hint="restart the agent: it sets a damaged file aside and builds it anew"
            if is_damaged
            else "run this as the agent's user or as root",
            code=DATABASE_DAMAGED if is_damaged else "storage",
        ) from error
