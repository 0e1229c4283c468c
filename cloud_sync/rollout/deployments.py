"""Deployments and removals: many devices' desired states changed in one transaction.

A deployment is a rollout of one stage with the policy `AT_ONCE`, driven in the transaction that
makes it: its answer says what every device is told, and what follows is the driver's as of any
other rollout. A removal takes a slot away from devices, and from the rollouts that were at work
there. All devices of a target, or none: everything is checked before anything is written.

Every report of a device waits while a transaction writes, so what a deployment needs to know of a
large fleet is read before; in the rare case that somebody came between, it is read once more.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.errors import Conflict, NotFound
from cloud_sync.fleet.checks import Manifests, check_misfits, check_shadows_left
from cloud_sync.fleet.desired import read_many, read_orders, write_many
from cloud_sync.fleet.known import count_known
from cloud_sync.fleet.layering import Layering
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.fleet.resolve import resolve
from cloud_sync.fleet.spread import STARTS_PER_S, spread_s
from cloud_sync.resources import Deployment, DeploymentResult, Removal, ReplacedVersion
from cloud_sync.rollout import holding, journal, orders, wanted
from cloud_sync.rollout.birth import draft, gather, store_draft
from cloud_sync.rollout.course import play_at_once
from cloud_sync.rollout.enlistment import Enlisted, enlist
from cloud_sync.rollout.outlook import Outlook, revisions_of
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.settle import drop_shadows, settle
from cloud_sync.rollout.summary import rollout_name
from cloud_sync.rollout.takeover import Claim, rivals, shadow_steps, supersede
from cloud_sync.rollout_policy import AT_ONCE
from cloud_sync.rollout_resources import RolloutOrder, RolloutWish
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.state import AgentSettings, DesiredState, WantedSlot

START: Final = RolloutOrder(action="start", reason="deployed at once")


class _Overtaken(Exception):  # no error: it ends a transaction that must not be kept
    """Somebody changed a device between looking and writing."""


class Deployments:
    """Changes of what devices should run, at once.

    Args:
        database: where desired states are.
        publisher: who tells the devices.
        wake: has the driver look soon.
        starts_per_s: how many devices may begin with what concerns many, in a second.
    """

    def __init__(
        self,
        database: Database,
        publisher: DesiredPublisher,
        wake: Callable[[], None],
        *,
        starts_per_s: float = STARTS_PER_S,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._wake = wake
        self._starts_per_s = starts_per_s

    def deploy(self, wish: Deployment, change: Change) -> DeploymentResult:
        """Put a module on all devices of a target, or on none if anything is wrong.

        Raises:
            NotFound: no such module, version or device.
            Conflict: the version is retired, or on a device the results would go round through
                its slots for ever, or a shadow would have nothing to shadow, or another rollout
                goes first there.
            InvalidInput: the configuration does not fit the module.
        """
        asked = RolloutWish(
            module=wish.module,
            to=wish.to,
            version=wish.version,
            slot=wish.slot,
            shadows=wish.shadows,
            config=wish.config,
            policy=AT_ONCE,
            reason=wish.reason,
        )
        with self._database.read() as connection:
            rollout = draft(connection, asked, change)
            outlook = Outlook(
                enlisted=(found := enlist(connection, rollout, is_strict=True)),
                revisions=revisions_of(connection, (*found.now, *found.already)),
            )
        try:
            result, tell = self._write(rollout.wish, change, outlook)
        except _Overtaken:
            result, tell = self._write(rollout.wish, change, None)
        self._publisher.publish(*sorted(tell))
        self._wake()
        return result

    def remove(self, wish: Removal, change: Change) -> DeploymentResult:
        """Take a slot off all devices of a target, and from the rollouts that are at work there.

        Raises:
            NotFound: no such device, or none of them has the slot.
            Conflict: another slot shadows it.
        """
        with self._database.write() as connection:
            names = resolve(connection, wish.to)
            lost = _free(connection, wish.slot, names, change)
            result = _take_off(connection, wish.slot, names, lost, change, self._starts_per_s)
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
        self._wake()
        return result

    def _write(
        self, wish: RolloutWish, change: Change, outlook: Outlook | None
    ) -> tuple[DeploymentResult, frozenset[str]]:
        """Deploy in one transaction.

        Args:
            wish: with its version.
            change: who asks, why, and when.
            outlook: what was seen before the transaction; None to look in it.

        Returns:
            What was done, and the devices that have to be told.

        Raises:
            _Overtaken: what was seen is not so any more; nothing was written.
        """
        with self._database.write() as connection:
            rollout = draft(connection, wish, change)
            if outlook is None:
                enlisted = enlist(connection, rollout, is_strict=True)
            elif outlook.holds(connection):
                enlisted = outlook.enlisted
            else:
                raise _Overtaken
            _refuse_taken(connection, rollout, enlisted)
            if enlisted.candidates:
                rollout, tell = self._begin(connection, rollout, enlisted, change)
            else:
                tell = _hold(connection, rollout, enlisted.already, change)
            if outlook is not None and not _is_told_to_all(rollout):
                raise _Overtaken
            result = _result(rollout, enlisted)
            detail = {
                "to": wish.to,
                "slot": rollout.slot,
                "devices": ", ".join(result.revisions),
                "rollout": result.rollout,
                "shadows": wish.shadows,
            }
            detail = {key: value for key, value in detail.items() if value or key == "devices"}
            subject = f"{rollout.module}/{rollout.version}"
            record(
                connection, change, "deployment.create", subject, reason=wish.reason, detail=detail
            )
        return result, tell

    def _begin(
        self, connection: Connection, rollout: Rollout, enlisted: Enlisted, change: Change
    ) -> tuple[Rollout, frozenset[str]]:
        """Make the rollout and drive it until it waits for its devices."""
        stored = store_draft(connection, rollout, change)
        gathered = gather(connection, stored, enlisted, change)
        started = settle(
            connection,
            gathered,
            orders.order(gathered, START, change.actor, change.time),
            actor=change.actor,
            now=change.time,
            starts_per_s=self._starts_per_s,
        )
        driven = play_at_once(
            connection,
            started.rollout,
            actor=change.actor,
            now=change.time,
            starts_per_s=self._starts_per_s,
        )
        return driven.rollout, started.tell | driven.tell


def _is_told_to_all(rollout: Rollout) -> bool:
    """Whether nobody was left without an offer by what came between looking and writing."""
    return all(one.revision > 0 for one in rollout.assignments.values())


def _refuse_taken(connection: Connection, rollout: Rollout, enlisted: Enlisted) -> None:
    """Refuse what would not hold, because another rollout goes first."""
    # A rollout that has come since the look shows on who is offered something, and only there.
    present = holding.contenders(connection, _claim(rollout, ""), enlisted.already)
    since = (holding.conflict_of(rival, rollout.slot) for rival in present)
    for obstacle in (*enlisted.conflicts, *since):
        if obstacle.code == "slot_taken":
            raise Conflict(
                f"{obstacle.device}: {obstacle.text}",
                hint="its priority is higher: abort it first, or wait until it is over",
                code=obstacle.code,
            )


def _result(rollout: Rollout, enlisted: Enlisted) -> DeploymentResult:
    (version,) = enlisted.versions
    assignments = rollout.assignments
    return DeploymentResult(
        module=version.name,
        version=version.version,
        digest=version.digest,
        slot=rollout.slot,
        revisions={name: assignments[name].revision for name in sorted(assignments)},
        unchanged=enlisted.already,
        replaced={
            device: _replaced(now) for device, now in enlisted.now.items() if now is not None
        },
        rollout=rollout_name(rollout.id) if assignments else "",
    )


def _replaced(before: WantedSlot) -> ReplacedVersion:
    return ReplacedVersion(module=before.module, version=before.version, shadows=before.shadows)


def _claim(rollout: Rollout, actor: str) -> Claim:
    """What a deployment claims that has nothing to send, and so is no rollout."""
    return Claim(
        slot=rollout.slot,
        rollout=rollout.id,
        priority=rollout.wish.policy.priority,
        started=None,
        by=f"a deployment of {rollout.module}/{rollout.version} by {actor}",
    )


def _hold(
    connection: Connection, rollout: Rollout, names: tuple[str, ...], change: Change
) -> frozenset[str]:
    """Take devices that want exactly this from rollouts that would change them; whom to tell."""
    claim = _claim(rollout, change.actor)
    found = holding.contenders(connection, claim, names)
    supersede(connection, found, claim, change.actor, journal.stamp(connection, change.time))
    return drop_shadows(connection, shadow_steps(found), rollout.slot, change.time)


def _free(
    connection: Connection, slot: str, names: tuple[str, ...], change: Change
) -> Mapping[str, frozenset[str]]:
    """Take a slot from all rollouts; devices to those of them that had put a shadow beside it."""
    claim = Claim(
        slot=slot, rollout=0, priority=None, started=None, by=f"a removal by {change.actor}"
    )
    found = rivals(connection, claim, names)
    supersede(connection, found, claim, change.actor, journal.stamp(connection, change.time))
    return shadow_steps(found)


def _take_off(
    connection: Connection,
    slot: str,
    names: tuple[str, ...],
    shadowed: Mapping[str, frozenset[str]],
    change: Change,
    starts_per_s: float,
) -> DeploymentResult:
    changes: list[tuple[DesiredState, dict[str, WantedSlot]]] = []
    unchanged: list[str] = []
    manifests, layering = Manifests(connection), Layering(connection)
    for _, before in read_many(connection, names):
        device = before.device
        slots: Mapping[str, WantedSlot] = before.slots
        if device in shadowed:
            slots = wanted.without_shadow_steps(slot, slots, shadowed[device])
        if slot not in slots:
            unchanged.append(device)
            continue
        after = {name: value for name, value in slots.items() if name != slot}
        check_shadows_left(device, slot, after)
        check_misfits(device, after, manifests)
        changes.append((before, after))
    together = AgentSettings(
        fetch_spread_s=spread_s(len(changes), starts_per_s),
        reconnect_spread_s=spread_s(count_known(connection), starts_per_s),
    )
    return DeploymentResult(
        module="",
        version=0,
        digest="",
        slot=slot,
        revisions=write_many(
            connection, changes, change.time, settings=together, layering=layering
        ),
        unchanged=tuple(unchanged),
        replaced={before.device: _replaced(before.slots[slot]) for before, _ in changes},
    )


def _nobody_has(connection: Connection, slot: str, devices: tuple[str, ...]) -> NotFound:
    """The error for a slot that is to be removed where nobody should run it."""
    where = (
        f"device {devices[0]!r} should run no"
        if len(devices) == 1
        else f"none of {len(devices)} devices should run a"
    )
    known = {name for device in devices for name in read_orders(connection, device).slots}
    return NotFound(
        f"{where} slot {slot!r}",
        hint=did_you_mean(slot, known) or "nothing is deployed there",
        code="slot_not_found",
    )
