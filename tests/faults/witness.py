"""What a process under test has done, in a file of its own that outlives it, and what was on disk.

The witness writes outside the state directory, with one call a line: what stands there happened.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

Note = dict[str, Any]  # Any: lines of JSON

_TIMES: Final = ("since", "next_retry", "interruptions")


class Witness:
    """Notes of one run.

    Args:
        path: of the file; it is begun anew.
        state: a state directory to look into after every write; None for a run that is fast.
    """

    def __init__(self, path: Path, *, state: Path | None = None) -> None:
        self._state = state
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)

    def note(self, kind: str, **fields: object) -> None:
        """Add a line. It is there even if the process is killed right after it."""
        os.write(self._handle, json.dumps({"kind": kind, **fields}).encode() + b"\n")

    def wrote(self, database: str) -> None:
        """A method that writes to a database has returned."""
        if self._state is None:
            self.note(database)
        else:
            self.note(database, content=content(self._state / database))


def read_notes(path: Path) -> list[Note]:
    """What a witness wrote. A process that was killed may have left half a line."""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [json.loads(line) for line in lines[:-1]]


def witnessed(kind: type[T], methods: Iterable[str], told: Callable[[], None]) -> type[T]:
    """A class that tells whenever one of its methods has returned, and is otherwise the same.

    Args:
        kind: the class.
        methods: those that write. What one of them calls of the others is not told by itself.
        told: called after each.
    """
    inside: list[str] = []

    def telling(name: str) -> Callable[..., object]:
        original = getattr(kind, name)

        def method(*args: object, **options: object) -> object:
            inside.append(name)
            try:
                result = original(*args, **options)
            finally:
                inside.pop()
            if not inside:
                told()
            return result

        return method

    # Any: a class that is made at run time has no type of its own.
    made: Any = type(kind.__name__, (kind,), {name: telling(name) for name in methods})
    return made  # type: ignore[no-any-return]


def content(path: Path) -> str:
    """Everything in a database, as text; what times and chance decide is left out.

    How often a trial was interrupted is left out as well: every start counts.
    """
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
            "ORDER BY name"
        ).fetchall()
        found = {
            table: [[_plain(value) for value in row] for row in _rows(connection, table)]
            for (table,) in tables
        }
    return json.dumps(found, sort_keys=True)


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608


def _plain(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        decoded = json.loads(value)
    except ValueError:
        return value.hex()
    if isinstance(decoded, dict):
        return {name: item for name, item in decoded.items() if name not in _TIMES}
    return decoded
