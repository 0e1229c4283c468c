"""Version numbers: counted up per name, never given twice, not even after a deletion."""

from typing import Literal

from sqlalchemy import Connection, insert, select, update

from cloud_sync.db.registry_tables import counters
from cloud_sync.errors import NotFound
from edge_agent.contract.names import did_you_mean

Kind = Literal["model", "module"]


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
