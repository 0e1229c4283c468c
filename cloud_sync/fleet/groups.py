"""Groups: devices put together by name, to be meant together and configured together.

A group holds the devices that somebody put into it, and not a rule: who is in it changes only when
somebody says so. Rules are expressions, which can be asked at any time.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.fleet_tables import device_groups, group_members
from cloud_sync.errors import InvalidInput
from cloud_sync.fleet.configuration import forget
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.fleet.renewal import renew
from cloud_sync.fleet.resolve import resolve
from cloud_sync.fleet.selection import group_not_found
from cloud_sync.fleet_resources import Group, GroupChange, GroupChanged, GroupDetail
from edge_agent.contract.names import check_name

_G: Final = device_groups.c
_M: Final = group_members.c
_BATCH: Final = 500


class Groups:
    """What people do with groups.

    Args:
        database: where they are.
        publisher: tells devices whose configuration changes with their groups.
    """

    def __init__(self, database: Database, publisher: DesiredPublisher) -> None:
        self._database = database
        self._publisher = publisher

    def all(self) -> list[Group]:
        """Every group, by name."""
        with self._database.read() as connection:
            return [_group(row) for row in connection.execute(_query().order_by(_G.name))]

    def get(self, name: str) -> GroupDetail:
        """A group and its devices.

        Raises:
            NotFound: there is none of this name.
        """
        with self._database.read() as connection:
            return GroupDetail(group=_one(connection, name), devices=_members(connection, name))

    def change(self, name: str, wish: GroupChange, change: Change) -> GroupChanged:
        """Put devices into a group, or take some out; it is made if it is not there.

        Raises:
            NotFound: no such device; or no such group, and nothing is to be put into it.
            ContractError: a bad name for a new one.
            InvalidInput: a target that is none; or nothing to change.
        """
        if not wish.add and not wish.remove and wish.description is None and wish.rank is None:
            raise InvalidInput(
                "a change of a group expected something to change, found nothing",
                hint="name devices to add or to remove",
            )
        with self._database.write() as connection:
            is_new = _find(connection, name) is None
            if is_new:
                _make(connection, name, wish, change)
            before = set(_members(connection, name))
            wanted = set(resolve(connection, wish.add)) if wish.add else set()
            unwanted = set(resolve(connection, wish.remove)) if wish.remove else set()
            added = sorted(wanted - unwanted - before)
            removed = sorted(unwanted & before)
            _write_members(connection, name, added, removed)
            rank_before = _one(connection, name).rank
            _describe(connection, name, wish)
            after = _one(connection, name)
            concerned = before if after.rank != rank_before else set()
            renewed = renew(connection, sorted({*added, *removed, *concerned}), change.time)
            record(
                connection,
                change,
                "group.create" if is_new else "group.change",
                name,
                detail={"added": str(len(added)), "removed": str(len(removed))},
            )
        self._publisher.publish(*renewed.revisions)
        return GroupChanged(
            group=after,
            added=tuple(added),
            removed=tuple(removed),
            revisions=renewed.revisions,
        )

    def delete(self, name: str, change: Change) -> str:
        """Delete a group and what is configured for it. Its devices stay.

        Returns:
            What was deleted.

        Raises:
            NotFound: there is none of this name.
        """
        with self._database.write() as connection:
            _one(connection, name)
            members = _members(connection, name)
            forget(connection, "group", name)
            connection.execute(delete(device_groups).where(_G.name == name))
            renewed = renew(connection, members, change.time)
            record(connection, change, "group.delete", name, detail={"devices": str(len(members))})
        self._publisher.publish(*renewed.revisions)
        return f"group {name}"


def _query() -> Select[Any]:  # Any: columns of several types
    size = func.count(_M.device).label("size")
    return (
        select(device_groups, size)
        .outerjoin(group_members, _M.name == _G.name)
        .group_by(*device_groups.c)
    )


def _find(connection: Connection, name: str) -> Group | None:
    row = connection.execute(_query().where(_G.name == name)).first()
    return None if row is None else _group(row)


def _one(connection: Connection, name: str) -> Group:
    found = _find(connection, name)
    if found is None:
        raise group_not_found(name, dict.fromkeys(connection.scalars(select(_G.name))))
    return found


def _members(connection: Connection, name: str) -> tuple[str, ...]:
    query = select(_M.device).where(_M.name == name).order_by(_M.device)
    return tuple(connection.scalars(query))


def _make(connection: Connection, name: str, wish: GroupChange, change: Change) -> None:
    if not wish.add:
        _one(connection, name)  # refuses: nothing is to be put into it
    check_name("group", name)
    connection.execute(
        insert(device_groups).values(
            name=name,
            description=wish.description or "",
            rank=wish.rank or 0,
            created=change.time,
            created_by=change.actor,
        )
    )


def _describe(connection: Connection, name: str, wish: GroupChange) -> None:
    given = {"description": wish.description, "rank": wish.rank}
    values = {key: value for key, value in given.items() if value is not None}
    if values:
        connection.execute(update(device_groups).where(_G.name == name).values(**values))


def _write_members(
    connection: Connection, name: str, added: Sequence[str], removed: Sequence[str]
) -> None:
    if added:
        rows = [{"name": name, "device": device} for device in added]
        connection.execute(insert(group_members), rows)
    for start in range(0, len(removed), _BATCH):
        batch = removed[start : start + _BATCH]
        connection.execute(delete(group_members).where(_M.name == name, _M.device.in_(batch)))


def _group(row: Row[Any]) -> Group:  # Any: columns of several types
    return Group(
        name=row.name,
        description=row.description,
        rank=row.rank,
        size=row.size,
        created=row.created,
        created_by=row.created_by,
    )
