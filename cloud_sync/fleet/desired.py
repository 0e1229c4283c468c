"""Desired states in the database: the revision only ever goes up.

A slot's configuration is kept twice: what its deployment says of it (`read_orders`), and what comes
of that and of the layers (`read_desired`), which is what the device is told.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from cloud_sync.db.engine import Database
from cloud_sync.db.fleet_tables import desired_states, wanted_slots
from cloud_sync.fleet.layering import Layering
from edge_agent.contract.state import AgentSettings, DesiredState, SlotConfig, WantedSlot
from edge_agent.contract.wire import decode, encode

_PAGE: Final = 200
_D: Final = desired_states.c
_W: Final = wanted_slots.c
# Built once: a rollout asks these for thousands of devices in one transaction.
_READ: Final = select(_D.state).where(_D.device == bindparam("of_device"))
_AGAIN: Final = update(desired_states).where(_D.device == bindparam("of_device"))
_FIRST: Final = insert(desired_states)
_FORGET: Final = delete(wanted_slots).where(_W.device == bindparam("of_device"))
_WANT: Final = insert(wanted_slots)
_CONFIGS: Final = select(_W.slot, _W.config).where(_W.device == bindparam("of_device"))


def read_desired(connection: Connection, device: str) -> DesiredState:
    """What a device is told; revision 0 and nothing if it was never told anything."""
    data = connection.scalar(_READ, {"of_device": device})
    return DesiredState(device=device, revision=0) if data is None else _decode(data)


def read_orders(connection: Connection, device: str) -> DesiredState:
    """What was asked for a device: as `read_desired`, with its deployments' own configuration.

    Compare with this, and keep it to go back to: the layers may be others by then.
    """
    told = read_desired(connection, device)
    return _with_configs(told, _own_configs(connection, device))


def read_many(
    connection: Connection, devices: Iterable[str]
) -> Iterator[tuple[DesiredState, DesiredState]]:
    """What many devices are told, and what was asked for them, in the given order."""
    remaining = iter(devices)
    while names := list(islice(remaining, _PAGE)):
        query = select(_D.device, _D.state).where(_D.device.in_(names))
        told = {row.device: _decode(row.state) for row in connection.execute(query)}
        own: dict[str, dict[str, SlotConfig]] = defaultdict(dict)
        configs = select(_W.device, _W.slot, _W.config).where(_W.device.in_(names))
        for row in connection.execute(configs):
            own[row.device][row.slot] = msgspec.json.decode(row.config, type=SlotConfig)
        for name in names:
            state = told.get(name, DesiredState(device=name, revision=0))
            yield state, _with_configs(state, own[name])


def write_desired(
    connection: Connection,
    before: DesiredState,
    slots: dict[str, WantedSlot],
    now: float,
    *,
    above: int = 0,
    settings: AgentSettings | None = None,
    layering: Layering | None = None,
) -> DesiredState:
    """Want something else of a device.

    Args:
        connection: of the transaction in which `before` was read.
        before: the state until now, from `read_orders` or `read_desired`.
        slots: what should run from now on. One that is as in `before` keeps what its deployment
            said; of any other the configuration is what its deployment says.
        now: seconds since 1970.
        above: a revision that the new one must be higher than, besides the one before.
        settings: of the agent from now on; None for those until now. Its interval of health
            reports is what the layers say.
        layering: of this transaction, where it is used for many devices.

    Returns:
        What the device is told.
    """
    layering = layering or Layering(connection)
    kept = _own_configs(connection, before.device)
    own = {
        name: replace(slot, config=kept.get(name, slot.config))
        if slot == before.slots.get(name)
        else slot
        for name, slot in slots.items()
    }
    interval_s = layering.health_interval_s(before.device)
    after = replace(
        before,
        revision=max(before.revision, above) + 1,
        slots=layering.effective(before.device, own),
        settings=replace(settings or before.settings, health_interval_s=interval_s),
    )
    _store(connection, [_Change(before, after, own)], now)
    return after


def write_many(
    connection: Connection,
    changes: Iterable[tuple[DesiredState, dict[str, WantedSlot]]],
    now: float,
    *,
    settings: AgentSettings | None = None,
    layering: Layering,
) -> dict[str, int]:
    """Want something else of many devices, in a few statements for all of them.

    Args:
        connection: of the transaction in which the states were read.
        changes: the state until now, from `read_orders` or the second of `read_many`; and what
            should run from now on, each slot with what its deployment says.
        now: seconds since 1970.
        settings: as for `write_desired`.
        layering: of this transaction.

    Returns:
        Device to its new revision.
    """
    made = [
        _Change(
            before,
            replace(
                before,
                revision=before.revision + 1,
                slots=layering.effective(before.device, own),
                settings=replace(
                    settings or before.settings,
                    health_interval_s=layering.health_interval_s(before.device),
                ),
            ),
            own,
        )
        for before, own in changes
    ]
    _store(connection, made, now)
    return {change.after.device: change.after.revision for change in made}


class _Change(Struct, frozen=True):
    """One device's change.

    Attributes:
        before: what it was told, or what was asked for it.
        after: what it is told now.
        own: what is asked for each of its slots now.
    """

    before: DesiredState
    after: DesiredState
    own: Mapping[str, WantedSlot]


def _store(connection: Connection, changes: Sequence[_Change], now: float) -> None:
    """Write what devices are told, and what was asked for each of their slots."""
    again: list[dict[str, object]] = []
    first: list[dict[str, object]] = []
    for change in changes:
        after = change.after
        row = {"revision": after.revision, "state": encode(after), "changed": now}
        if change.before.revision > 0:
            again.append({"of_device": after.device} | row)
        else:
            first.append({"device": after.device} | row)
    # As it was before, it need not be written again: then only the layers are others.
    asked = [change for change in changes if change.own != change.before.slots]
    wanted = [
        {
            "device": change.after.device,
            "slot": name,
            "digest": slot.digest,
            "config": msgspec.json.encode(slot.config).decode(),
        }
        for change in asked
        for name, slot in change.own.items()
    ]
    for statement, rows in (
        (_AGAIN, again),
        (_FIRST, first),
        (_FORGET, [{"of_device": change.after.device} for change in asked]),
        (_WANT, wanted),
    ):
        if rows:
            connection.execute(statement, rows)


def all_desired(database: Database) -> Iterator[str]:
    """Every device that was ever told something, page by page."""
    last = ""
    while True:
        with database.read() as connection:
            query = select(_D.device).where(_D.device > last).order_by(_D.device).limit(_PAGE)
            page = list(connection.scalars(query))
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


def _with_configs(told: DesiredState, own: Mapping[str, SlotConfig]) -> DesiredState:
    slots = {
        name: replace(slot, config=own.get(name, slot.config)) for name, slot in told.slots.items()
    }
    return replace(told, slots=slots)


def _own_configs(connection: Connection, device: str) -> dict[str, SlotConfig]:
    """What deployments say of the configuration of a device's slots."""
    rows = connection.execute(_CONFIGS, {"of_device": device})
    return {row.slot: msgspec.json.decode(row.config, type=SlotConfig) for row in rows}


def _decode(data: bytes) -> DesiredState:
    # What this service wrote may be longer than what it takes from others.
    return decode(DesiredState, bytes(data), limit_bytes=len(data))
