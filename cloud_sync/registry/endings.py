"""Endings: many versions, meant by a pattern, taken out of use or deleted in one transaction.

What a device or a rollout needs is not deleted, and said to be kept. Nothing is started or stopped.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, Table, bindparam, delete, select, update

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.registry_tables import model_versions, module_versions
from cloud_sync.db.search import matches
from cloud_sync.errors import InvalidInput
from cloud_sync.registry.usage import used_digests
from cloud_sync.registry.versions import Kind
from cloud_sync.resources import EndedVersions, EndingWish, KeptVersion

_TABLES: Final[dict[Kind, Table]] = {"model": model_versions, "module": module_versions}


class _Found(Struct, frozen=True):
    """A version that a pattern means."""

    name: str
    version: int
    is_retired: bool

    @property
    def ref(self) -> str:
        return f"{self.name}/{self.version}"


class Endings:
    """Takes many versions out of use.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def retire(self, wish: EndingWish, change: Change) -> EndedVersions:
        """Keep versions from being deployed again. What runs goes on.

        Raises:
            InvalidInput: the pattern means none.
        """
        with self._database.write() as connection:
            found = _meant(connection, wish)
            ended = [one for one in found if not one.is_retired]
            kept = [
                KeptVersion(ref=one.ref, reason="retired before") for one in found if one.is_retired
            ]
            if not wish.dry_run and ended:
                table = _TABLES[wish.kind]
                is_it = (table.c.name == bindparam("n")) & (table.c.version == bindparam("v"))
                connection.execute(update(table).where(is_it).values(is_retired=True), _keys(ended))
                _record(connection, change, wish, "retire", ended)
        return EndedVersions(ended=tuple(one.ref for one in ended), kept=tuple(kept))

    def delete(self, wish: EndingWish, change: Change) -> EndedVersions:
        """Delete versions; those that a device or a rollout needs are kept.

        Raises:
            InvalidInput: the pattern means none.
        """
        with self._database.write() as connection:
            found = _meant(connection, wish)
            needed = _needed(connection, wish.kind)
            ended = [one for one in found if one.ref not in needed]
            reason = "a device runs it, or should, or a rollout needs it"
            kept = [KeptVersion(ref=one.ref, reason=reason) for one in found if one.ref in needed]
            if not wish.dry_run and ended:
                table = _TABLES[wish.kind]
                is_it = (table.c.name == bindparam("n")) & (table.c.version == bindparam("v"))
                connection.execute(delete(table).where(is_it), _keys(ended))
                _record(connection, change, wish, "delete", ended)
        return EndedVersions(ended=tuple(one.ref for one in ended), kept=tuple(kept))


def _meant(connection: Connection, wish: EndingWish) -> list[_Found]:
    """The versions that a pattern means, less the newest of each name that are to stay."""
    column = _TABLES[wish.kind].c
    query = select(column.name, column.version, column.is_retired).where(
        matches(column.name, wish.name)
    )
    if wish.version is not None:
        query = query.where(column.version == wish.version)
    counted: dict[str, int] = {}
    found: list[_Found] = []
    for row in connection.execute(query.order_by(column.name, column.version.desc())):
        counted[row.name] = counted.get(row.name, 0) + 1
        if counted[row.name] > wish.keep:
            found.append(_Found(row.name, row.version, row.is_retired))
    if not counted:
        which = "" if wish.version is None else f" of version {wish.version}"
        raise InvalidInput(
            f"no {wish.kind}{which} matches {wish.name!r}",
            hint=f"see `shoal {wish.kind} list --name {wish.name!r}`",
            code=f"{wish.kind}_not_found",
        )
    return found


def _needed(connection: Connection, kind: Kind) -> set[str]:
    """`name/version` of what must stay."""
    used = used_digests(connection)
    v = module_versions.c
    rows = connection.execute(select(v.name, v.version, v.digest, v.source_model)).all()
    in_use = [row for row in rows if row.digest in used]
    if kind == "module":
        return {f"{row.name}/{row.version}" for row in in_use}
    return {row.source_model for row in in_use}


def _keys(found: Sequence[_Found]) -> list[dict[str, object]]:
    return [{"n": one.name, "v": one.version} for one in found]


def _record(
    connection: Connection, change: Change, wish: EndingWish, verb: str, ended: Sequence[_Found]
) -> None:
    for one in ended:
        record(connection, change, f"{wish.kind}.{verb}", one.ref, detail={"pattern": wish.name})
