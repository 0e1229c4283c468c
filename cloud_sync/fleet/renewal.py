"""Renewal: devices to which deployment and layers say something else are told so, and no others.

What a module says by itself is not looked at: a value that equals it must be told all the same, or
a version that the device goes back to by itself would run with its own.

Runs in the transaction that changed a layer, or who is in a group. What runs stays as it is wanted:
only what the layers say of it changes, so that a rollout on its way goes on as before.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from cloud_sync.fleet.checks import Manifests, check_cycle
from cloud_sync.fleet.desired import read_many, write_many
from cloud_sync.fleet.layering import Layering
from edge_agent.contract.state import DesiredState, WantedSlot

BATCH: Final = 1_000


class Renewed(Struct, frozen=True):
    """What a renewal did, or would do.

    Attributes:
        revisions: devices to which something else is said, to their new revision.
        unchanged: how many kept theirs.
    """

    revisions: dict[str, int]
    unchanged: int


def renew(
    connection: Connection, devices: Iterable[str], now: float, *, is_rehearsal: bool = False
) -> Renewed:
    """Tell devices what holds for them now.

    Args:
        connection: of the transaction, in which the change is written already.
        devices: whom it may concern.
        now: seconds since 1970.
        is_rehearsal: only find out whom it concerns, and whether it could be done.

    Raises:
        InvalidInput: on a device the configuration would not fit its module.
        Conflict: on a device the results would go round through its slots for ever.
    """
    layering, manifests = Layering(connection), Manifests(connection)
    revisions: dict[str, int] = {}
    changes: list[tuple[DesiredState, dict[str, WantedSlot]]] = []
    unchanged = 0

    def write() -> None:
        if not is_rehearsal:
            write_many(connection, changes, now, layering=layering)
        changes.clear()

    for told, orders in read_many(connection, devices):
        after = _effective(layering, told, orders)
        if after == told:
            unchanged += 1
            continue
        _check(told, after, manifests)
        revisions[told.device] = told.revision + 1
        changes.append((orders, orders.slots))
        if len(changes) == BATCH:
            write()
    write()
    return Renewed(revisions, unchanged)


def _effective(layering: Layering, told: DesiredState, orders: DesiredState) -> DesiredState:
    interval_s = layering.health_interval_s(told.device)
    return replace(
        told,
        slots=layering.effective(told.device, orders.slots),
        settings=replace(told.settings, health_interval_s=interval_s),
    )


def _check(before: DesiredState, after: DesiredState, manifests: Manifests) -> None:
    for name, slot in after.slots.items():
        if slot == before.slots[name]:
            continue
        manifests.check_config(slot.digest, slot.config, where=f"{name} on {after.device}")
        if slot.digest in manifests.of({slot.digest}):
            check_cycle(after.device, name, after.slots, manifests)
