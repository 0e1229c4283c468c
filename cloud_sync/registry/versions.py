"""Versions of models and modules: numbered per name, never twice, not even after a deletion."""

from collections.abc import Callable
from typing import Literal, TypeVar

from sqlalchemy import Connection, Select, Table, insert, select, update

from cloud_sync.db.registry_tables import counters
from cloud_sync.errors import NotFound
from edge_agent.contract.names import did_you_mean

Kind = Literal["model", "module"]
V = TypeVar("V")
Load = Callable[[Connection, Select[tuple[object, ...]]], list[V]]
"""Reads the versions of a query, in its order."""


def next_version(connection: Connection, kind: Kind, name: str) -> int:
    """Count up the version of a name. Must run in the transaction that writes the version."""
    key = (counters.c.kind == kind) & (counters.c.name == name)
    counted = connection.execute(update(counters).where(key).values(last=counters.c.last + 1))
    if counted.rowcount == 0:
        connection.execute(insert(counters).values(kind=kind, name=name, last=1))
        return 1
    return int(connection.execute(select(counters.c.last).where(key)).scalar_one())


def not_found(kind: Kind, name: str, version: int | None, known: list[str]) -> NotFound:
    """The error for a name or version that is not there.

    Args:
        kind: of thing.
        name: that was asked for.
        version: that was asked for, if one was.
        known: names of the same kind, or versions of the name if it exists.
    """
    if version is None:
        return NotFound(
            f"no {kind} is named {name!r}",
            hint=did_you_mean(name, known),
            code=f"{kind}_not_found",
        )
    return NotFound(
        f"{kind} {name!r} has no version {version}",
        hint=f"it has {', '.join(known[:20])}" if known else f"there is no {kind} of this name",
        code=f"{kind}_not_found",
    )


def all_versions(
    connection: Connection, table: Table, kind: Kind, name: str, load: Load[V]
) -> list[V]:
    """All versions of a name, newest first.

    Raises:
        NotFound: there is none.
    """
    column = table.c
    found = load(
        connection, select(table).where(column.name == name).order_by(column.version.desc())
    )
    if not found:
        known = list(connection.scalars(select(column.name).distinct()))
        raise not_found(kind, name, None, known)
    return found


def one_version(
    connection: Connection, table: Table, kind: Kind, name: str, version: int, load: Load[V]
) -> V:
    """One version of a name.

    Raises:
        NotFound: it is not there; the hint names those that are.
    """
    column = table.c
    found = load(connection, select(table).where(column.name == name, column.version == version))
    if not found:
        others = select(column.version).where(column.name == name).order_by(column.version.desc())
        raise not_found(kind, name, version, [str(other) for other in connection.scalars(others)])
    return found[0]
