"""Layered configuration: what people set for the fleet, a group or a device, and what comes of it.

A value that is set is written and every device that it concerns is told, in one transaction; if
one of them could not have it, none has. Which value holds is decided in `layers`.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, Select, delete, insert, select

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.fleet_tables import (
    config_values,
    device_groups,
    devices,
    group_members,
    wanted_slots,
)
from cloud_sync.errors import InvalidInput
from cloud_sync.fleet.checks import Manifests
from cloud_sync.fleet.desired import read_orders
from cloud_sync.fleet.known import is_known
from cloud_sync.fleet.layering import Layering
from cloud_sync.fleet.layers import (
    SLOT_KEYS,
    check_key,
    check_value,
    explain_agent,
    explain_slot,
)
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.fleet.renewal import renew
from cloud_sync.fleet.selection import device_not_found, group_not_found
from cloud_sync.fleet_resources import ConfigChange, ConfigChanged, ConfigValue, EffectiveSetting
from edge_agent.contract.names import check_name

_C: Final = config_values.c


class _Rehearsed(Exception):  # no error: it ends a transaction that must not be kept
    """A change was tried out."""

    def __init__(self, result: ConfigChanged) -> None:
        super().__init__()
        self.result = result


class Scope(Struct, frozen=True):
    """Where values of a change stand."""

    layer: str
    name: str
    slot: str

    @property
    def title(self) -> str:
        """As people call it."""
        return f"{self.layer} {self.name}".rstrip()


class Configuration:
    """What people do with configuration.

    Args:
        database: where it is.
        publisher: who tells the devices.
    """

    def __init__(self, database: Database, publisher: DesiredPublisher) -> None:
        self._database = database
        self._publisher = publisher

    def change(self, wish: ConfigChange, change: Change) -> ConfigChanged:
        """Set and take away values of a layer.

        Returns:
            Whom it concerns; with `dry_run`, whom it would.

        Raises:
            NotFound: no such group or device.
            InvalidInput: nothing to change, no such key, or a value that is none or does not fit a
                module somewhere.
            Conflict: on a device the results would go round through its slots for ever.
        """
        _check(wish)
        try:
            with self._database.write() as connection:
                result = _change(connection, wish, change)
                if wish.dry_run:
                    raise _Rehearsed(result)
        except _Rehearsed as rehearsed:
            return rehearsed.result
        self._publisher.publish(*result.revisions)
        return result

    def values(self) -> list[ConfigValue]:
        """Every value of every layer: of the fleet, of groups, of devices."""
        query = select(config_values).order_by(_C.layer, _C.name, _C.slot, _C.key)
        with self._database.read() as connection:
            found = [ConfigValue(**row) for row in connection.execute(query).mappings()]
        order = ("fleet", "group", "device")
        return sorted(found, key=lambda value: order.index(value.layer))

    def effective(self, device: str) -> list[EffectiveSetting]:
        """What holds for a device, slot by slot, and where each value is from.

        Raises:
            NotFound: nobody knows the device.
        """
        with self._database.read() as connection:
            _check_there(connection, "device", device)
            values = Layering(connection).of(device)
            orders = read_orders(connection, device)
            manifests = Manifests(connection).of({s.digest for s in orders.slots.values()})
        settings = explain_agent(values)
        for name, wanted in sorted(orders.slots.items()):
            settings += explain_slot(values, name, wanted, manifests.get(wanted.digest))
        return settings


def forget(connection: Connection, layer: str, name: str) -> None:
    """Take away everything that is set for a group or a device that goes."""
    connection.execute(delete(config_values).where(_C.layer == layer, _C.name == name))


def _check(wish: ConfigChange) -> None:
    if not wish.set and not wish.unset:
        raise InvalidInput(
            "a change of configuration expected something to set or to take away, found nothing",
            hint="write KEY=VALUE",
            code="config_invalid",
        )
    if (wish.layer == "fleet") is bool(wish.name):
        expected = "no name" if wish.layer == "fleet" else "a name"
        raise InvalidInput(
            f"layer {wish.layer!r} expected {expected}, found {wish.name!r}",
            hint="name the group or the device, and nothing for the fleet",
            code="config_invalid",
        )
    if wish.slot:
        check_name("slot", wish.slot)
    for key, value in wish.set.items():
        check_value(key, wish.slot, value)
    for key in wish.unset:
        check_key(key)


def _change(connection: Connection, wish: ConfigChange, change: Change) -> ConfigChanged:
    if wish.layer != "fleet":
        _check_there(connection, wish.layer, wish.name)
    scope = Scope(wish.layer, wish.name, wish.slot)
    keys = {*wish.set, *wish.unset}
    connection.execute(
        delete(config_values).where(
            _C.layer == scope.layer,
            _C.name == scope.name,
            _C.slot == scope.slot,
            _C.key.in_(keys),
        )
    )
    rows = [
        {
            "layer": scope.layer,
            "name": scope.name,
            "slot": scope.slot,
            "key": key,
            "value": value,
            "changed": change.time,
            "changed_by": change.actor,
        }
        for key, value in wish.set.items()
    ]
    if rows:
        connection.execute(insert(config_values), rows)
    concerned = list(connection.scalars(_concerned(scope, keys)))
    renewed = renew(connection, concerned, change.time, is_rehearsal=wish.dry_run)
    record(
        connection,
        change,
        "config.change",
        scope.title,
        detail={**wish.set, **dict.fromkeys(wish.unset, "")}
        | ({"slot": wish.slot} if wish.slot else {})
        | {"devices": str(len(renewed.revisions))},
    )
    return ConfigChanged(revisions=renewed.revisions, unchanged=renewed.unchanged)


def _concerned(scope: Scope, keys: Iterable[str]) -> Select[str]:
    """Devices for which something may change."""
    query = select(devices.c.device).order_by(devices.c.device)
    if scope.layer == "group":
        query = query.join(group_members, group_members.c.device == devices.c.device)
        query = query.where(group_members.c.name == scope.name)
    elif scope.layer == "device":
        query = query.where(devices.c.device == scope.name)
    if all(key in SLOT_KEYS for key in keys):
        wanted = select(wanted_slots.c.device)
        if scope.slot:
            wanted = wanted.where(wanted_slots.c.slot == scope.slot)
        query = query.where(devices.c.device.in_(wanted))
    return query


def _check_there(connection: Connection, layer: str, name: str) -> None:
    if layer == "device":
        if not is_known(connection, name):
            raise device_not_found(name, connection.scalars(select(devices.c.device)).all())
        return
    known = dict.fromkeys(connection.scalars(select(device_groups.c.name)))
    if name not in known:
        raise group_not_found(name, known)
