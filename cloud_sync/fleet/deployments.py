"""Deployments and removals: many devices' desired states changed in one transaction.

What a deployment would make of each device is checked as a whole before anything is written.
"""

from sqlalchemy import Connection

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.errors import NotFound
from cloud_sync.fleet.checks import (
    Manifests,
    check_config,
    check_cycle,
    check_misfits,
    check_shadows_left,
)
from cloud_sync.fleet.desired import read_desired, read_orders, write_desired
from cloud_sync.fleet.known import count_known
from cloud_sync.fleet.layering import Layering
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.fleet.resolve import resolve
from cloud_sync.fleet.spread import STARTS_PER_S, spread_s
from cloud_sync.registry.modules import choose, manifest_of
from cloud_sync.resources import (
    Deployment,
    DeploymentResult,
    ModuleVersion,
    Removal,
    ReplacedVersion,
)
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.shadows import shadow_slot
from edge_agent.contract.state import AgentSettings, DesiredState, WantedSlot


class Deployments:
    """Changes of what devices should run.

    Args:
        database: where desired states are.
        publisher: who tells the devices.
        starts_per_s: how many devices may begin with what concerns many, in a second.
    """

    def __init__(
        self,
        database: Database,
        publisher: DesiredPublisher,
        *,
        starts_per_s: float = STARTS_PER_S,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._starts_per_s = starts_per_s

    def deploy(self, wish: Deployment, change: Change) -> DeploymentResult:
        """Put a module on all devices of a target, or on none if anything is wrong.

        Raises:
            NotFound: no such module, version or device.
            Conflict: the version is retired, or on a device the results would go round through
                its slots for ever, or a shadow would have nothing to shadow.
            InvalidInput: the configuration does not fit the module.
        """
        with self._database.write() as connection:
            module = choose(connection, wish.module, wish.version)
            check_config(manifest_of(connection, module), wish.config)
            slot = wish.slot or (shadow_slot(wish.shadows) if wish.shadows else module.name)
            wanted = WantedSlot(
                module=module.name,
                version=module.version,
                digest=module.digest,
                mode="shadow" if wish.shadows else "run",
                shadows=wish.shadows,
                config=wish.config,
            )
            result = _change_slot(
                connection, wish.to, slot, wanted, module, change, self._starts_per_s
            )
            record(
                connection,
                change,
                "deployment.create",
                f"{module.name}/{module.version}",
                reason=wish.reason,
                detail={
                    "to": wish.to,
                    "slot": slot,
                    "devices": ", ".join(result.revisions),
                    **({"shadows": wish.shadows} if wish.shadows else {}),
                },
            )
        self._publisher.publish(*result.revisions)
        return result

    def remove(self, wish: Removal, change: Change) -> DeploymentResult:
        """Take a slot off all devices of a target.

        Raises:
            NotFound: no such device, or none of them has the slot.
            Conflict: another slot shadows it.
        """
        with self._database.write() as connection:
            result = _change_slot(
                connection, wish.to, wish.slot, None, None, change, self._starts_per_s
            )
            if not result.revisions:
                raise _nobody_has(connection, wish.slot, result.unchanged)
            record(
                connection,
                change,
                "deployment.remove",
                wish.slot,
                reason=wish.reason,
                detail={"to": wish.to, "devices": ", ".join(result.revisions)},
            )
        self._publisher.publish(*result.revisions)
        return result


def _change_slot(
    connection: Connection,
    target: str,
    slot: str,
    wanted: WantedSlot | None,
    module: ModuleVersion | None,
    change: Change,
    starts_per_s: float,
) -> DeploymentResult:
    changes: list[tuple[DesiredState, dict[str, WantedSlot]]] = []
    unchanged: list[str] = []
    replaced: dict[str, ReplacedVersion] = {}
    manifests = Manifests(connection)
    layering = Layering(connection)
    for device in resolve(connection, target):
        before = read_orders(connection, device)
        if before.slots.get(slot) == wanted:
            unchanged.append(device)
            continue
        slots = {name: value for name, value in before.slots.items() if name != slot}
        if wanted is not None:
            slots[slot] = wanted
        else:
            check_shadows_left(device, slot, slots)
        check_misfits(device, slots, manifests)
        if wanted is not None and wanted.mode == "run":
            effective = layering.effective(device, slots)
            check_cycle(device, slot, effective, manifests)
            check_config(manifests.of({wanted.digest})[wanted.digest], effective[slot].config)
        changes.append((before, slots))
        if (old := before.slots.get(slot)) is not None:
            replaced[device] = ReplacedVersion(
                module=old.module, version=old.version, shadows=old.shadows
            )
    together = AgentSettings(
        fetch_spread_s=spread_s(len(changes), starts_per_s),
        reconnect_spread_s=spread_s(count_known(connection), starts_per_s),
    )
    revisions = {
        before.device: write_desired(
            connection,
            before,
            slots,
            change.time,
            settings=together,
            layering=layering,
        ).revision
        for before, slots in changes
    }
    return DeploymentResult(
        module=module.name if module else "",
        version=module.version if module else 0,
        digest=module.digest if module else "",
        slot=slot,
        revisions=revisions,
        unchanged=tuple(unchanged),
        replaced=replaced,
    )


def _nobody_has(connection: Connection, slot: str, devices: tuple[str, ...]) -> NotFound:
    """The error for a slot that is to be removed where nobody should run it."""
    where = (
        f"device {devices[0]!r} should run no"
        if len(devices) == 1
        else f"none of {len(devices)} devices should run a"
    )
    known = {name for device in devices for name in read_desired(connection, device).slots}
    return NotFound(
        f"{where} slot {slot!r}",
        hint=did_you_mean(slot, known) or "nothing is deployed there",
        code="slot_not_found",
    )
