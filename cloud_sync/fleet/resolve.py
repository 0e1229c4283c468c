"""Resolving: from an expression to the devices that it means now.

Reads no more of the database than the expression asks about; changes nothing.
"""

from collections import defaultdict
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select

from cloud_sync.db.fleet_tables import (
    device_groups,
    device_tags,
    devices,
    group_members,
    running_slots,
)
from cloud_sync.db.registry_tables import module_versions
from cloud_sync.fleet import selection
from cloud_sync.fleet.expression_reader import read_expression
from cloud_sync.fleet.selection import (
    COMPARED,
    Fleet,
    Needs,
    Version,
    check_meant,
    needs_of,
    nobody,
)

_COMMA: Final = ","
"""Stands in no name."""


def resolve(connection: Connection, text: str) -> tuple[str, ...]:
    """The devices that a target means, sorted.

    Raises:
        ExpressionError: the target is no expression.
        NotFound: it means nobody, or names a device or a group that is not there.
    """
    expression = read_expression(text)
    fleet = read_fleet(connection, needs_of(expression))
    check_meant(expression, fleet)
    found = selection.select(expression, fleet)
    if not found:
        raise nobody(expression, fleet, _known_tags(connection))
    return tuple(sorted(found))


def matching(connection: Connection, text: str) -> tuple[str, ...]:
    """As `resolve`, for a question and not for a change: nobody is an answer.

    Raises:
        ExpressionError: the target is no expression.
    """
    expression = read_expression(text)
    fleet = read_fleet(connection, needs_of(expression))
    return tuple(sorted(selection.select(expression, fleet)))


def read_fleet(connection: Connection, needs: Needs) -> Fleet:
    """What is stored about all devices, as far as it is asked for."""
    return Fleet(
        devices=_names(connection.scalar(select(_listed(devices.c.device)))),
        tags=_tags(connection, needs.tags) if needs.tags else {},
        groups=_groups(connection, needs.groups) if needs.groups else {},
        slots=_slots(connection, needs) if needs.slots or needs.all_slots else {},
    )


def _tags(connection: Connection, keys: frozenset[str]) -> dict[str, dict[str, frozenset[str]]]:
    t = device_tags.c
    query = select(t.key, t.value, _listed(t.device)).where(t.key.in_(keys))
    found: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for key, value, listed in connection.execute(query.group_by(t.key, t.value)):
        found[key][value] = _names(listed)
    return found


def _groups(connection: Connection, wanted: frozenset[str]) -> dict[str, frozenset[str]]:
    m = group_members.c
    query = select(m.name, _listed(m.device)).where(m.name.in_(wanted)).group_by(m.name)
    members = {name: _names(listed) for name, listed in connection.execute(query)}
    return {
        n: members.get(n, frozenset()) for n in connection.scalars(select(device_groups.c.name))
    }


def _slots(connection: Connection, needs: Needs) -> dict[str, dict[Version, frozenset[str]]]:
    r, v = running_slots.c, module_versions.c
    published = connection.execute(select(v.digest, v.name, v.version))
    versions = {digest: Version(name, version) for digest, name, version in published}
    query = select(r.slot, r.digest, _listed(r.device)).group_by(r.slot, r.digest)
    if not needs.all_slots:
        query = query.where(r.slot.in_(needs.slots))
    found: dict[str, dict[Version, frozenset[str]]] = defaultdict(dict)
    for slot, digest, listed in connection.execute(query):
        if digest in versions:
            found[slot][versions[digest]] = _names(listed)
    return found


def _listed(column: ColumnElement[str]) -> ColumnElement[str]:
    """All names of a group of rows in one text: a row for each of very many devices is slow."""
    return func.aggregate_strings(column, _COMMA)


def _names(listed: str | None) -> frozenset[str]:
    return frozenset(listed.split(_COMMA)) if listed else frozenset()


def _known_tags(connection: Connection) -> list[str]:
    """Every tag that a device has, as `KEY=VALUE`."""
    t = device_tags.c
    query = select(t.key, t.value).distinct().order_by(t.key, t.value).limit(COMPARED)
    return [f"{key}={value}" for key, value in connection.execute(query)]
