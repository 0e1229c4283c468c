"""Who gets what: the devices that a rollout's target means, each with its version and its check.

Done before the start, so that what would go wrong is seen before anything is sent. Reads; writes
nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import device_tags, reported_states
from cloud_sync.errors import Conflict, ShoalError
from cloud_sync.fleet.checks import Manifests, check_config, check_misfits
from cloud_sync.fleet.desired import read_many, read_orders
from cloud_sync.fleet.layering import Layering
from cloud_sync.fleet.resolve import resolve
from cloud_sync.registry.catalogue import usable_versions
from cloud_sync.registry.modules import choose
from cloud_sync.resources import ModuleVersion
from cloud_sync.rollout import holding, omission, wanted
from cloud_sync.rollout.choice import choose_each, module_of
from cloud_sync.rollout.cohort import Candidate
from cloud_sync.rollout.fit import check_fit
from cloud_sync.rollout.previous import previous_of, running_in
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.screening import screen
from cloud_sync.rollout.shadow_place import as_conflict, obstructions
from cloud_sync.rollout.takeover import conflict_of, leaving, of_rollout, rivals
from cloud_sync.rollout_resources import Obstacle, RolloutWish
from edge_agent.contract.shadows import shadow_slot
from edge_agent.contract.state import Hardware, WantedSlot

BATCH: Final = 500


class Enlisted(Struct, frozen=True, kw_only=True):
    """What a wish means for the fleet now.

    Attributes:
        candidates: devices that would get something.
        already: devices whose slot wants exactly this.
        unfit: why devices cannot take it; a device may have several reasons.
        omitted: all of those as what they are in the rollout, each once.
        conflicts: devices whose slot another rollout is at work on; of those that want exactly
            this, the ones that it would change.
        bytes_to_send: of each candidate, the files that it has not got of its version.
        versions: every version that somebody gets, once.
        now: candidate to what its slot wants now.
    """

    slot: str
    candidates: tuple[Candidate, ...]
    already: tuple[str, ...]
    unfit: tuple[Obstacle, ...]
    omitted: tuple[Assignment, ...]
    conflicts: tuple[Obstacle, ...]
    bytes_to_send: Mapping[str, int]
    versions: tuple[ModuleVersion, ...]
    now: Mapping[str, WantedSlot | None]


def enlist(
    connection: Connection,
    rollout: Rollout,
    *,
    devices: Sequence[str] | None = None,
    is_strict: bool = False,
) -> Enlisted:
    """Find out who gets what.

    Args:
        connection: of a transaction.
        rollout: with its wish and its slot; it need not be stored yet.
        devices: only these; None for all whom its target means.
        is_strict: nobody gets anything if one device cannot take it.

    Raises:
        NotFound: the target means nobody, or there is no such module or version.
        Conflict: the version is retired; or strictly, it does not fit what else runs there.
        InvalidInput: the configuration does not fit the module.
    """
    wish = rollout.wish
    names = resolve(connection, wish.to) if devices is None else tuple(devices)
    versions, unfit = _versions(connection, wish, names)
    manifests, layering = Manifests(connection), Layering(connection)
    for manifest in manifests.of({version.digest for version in versions.values()}).values():
        check_config(manifest, wish.config)
    asked = (orders for _, orders in read_many(connection, versions))
    steps = obstructions(connection, rollout, "run", asked)
    going_back = leaving(connection, rollout.slot)
    already: list[str] = []
    fit: dict[str, WantedSlot | None] = {}
    for _, orders in read_many(connection, versions):
        device = orders.device
        now = orders.slots.get(rollout.slot)
        slots = wanted.offered(rollout, _assignment(device, versions[device]), "run", orders.slots)
        if wanted.is_same(now, slots[rollout.slot]) and device not in going_back:
            already.append(device)
            continue
        try:
            if (obstacle := steps.get(device)) is not None:
                raise as_conflict(obstacle, rollout.slot)
            check_fit(device, rollout.slot, slots, manifests, layering)
        except ShoalError as error:
            if is_strict:
                raise
            text = error.text.removeprefix(f"{device}: ")  # an obstacle has its device beside it
            unfit.append(Obstacle(device=device, code=error.code, text=text))
        else:
            fit[device] = now
    screened = screen(connection, {device: versions[device] for device in fit})
    if not is_strict:  # else the devices themselves say what they cannot run
        unfit += screened.unfit
        for obstacle in screened.unfit:
            fit.pop(obstacle.device, None)
    previous = previous_of(connection, rollout.slot, fit)
    sites = _sites(connection, wish.policy.site_tag)
    hardware = _hardware(connection, sorted(fit))
    claim = of_rollout(rollout)
    return Enlisted(
        slot=rollout.slot,
        candidates=tuple(
            Candidate(
                device=device,
                module=versions[device].name,
                version=versions[device].version,
                digest=versions[device].digest,
                site=sites.get(device, ""),
                hardware=hardware.get(device, ""),
                previous=previous[device],
            )
            for device in fit
        ),
        already=tuple(already),
        unfit=tuple(unfit),
        omitted=_omitted(connection, rollout, versions, already, unfit),
        conflicts=(
            *(
                conflict_of(rival, rollout.slot)
                for rival in rivals(connection, claim, sorted(fit))
                if rival.is_at_work
            ),
            *(
                holding.conflict_of(rival, rollout.slot)
                for rival in holding.contenders(connection, claim, already)
            ),
        ),
        bytes_to_send={device: screened.bytes_to_send[device] for device in fit},
        versions=tuple({v.digest: v for v in versions.values()}.values()),
        now=fit,
    )


def refuse_bad_shadows(
    connection: Connection, rollout: Rollout, assignments: Mapping[str, Assignment]
) -> None:
    """Refuse a shadow step where the version cannot be compared with what runs.

    Raises:
        Conflict: naming the first device on which it could not.
    """
    manifests = Manifests(connection)
    for assignment in assignments.values():
        previous = assignment.previous
        is_shadowed = assignment.stage < rollout.wish.policy.shadow_stages
        if not is_shadowed or rollout.wish.shadows or previous is None or previous.mode != "run":
            continue
        before = read_orders(connection, assignment.device)
        slots = wanted.offered(rollout, assignment, "shadow", before.slots)
        try:
            check_misfits(assignment.device, slots, manifests)
        except ShoalError as error:
            raise Conflict(
                error.text,
                hint=f"{error.hint}; or leave the shadow stages out of the policy",
                code=error.code,
            ) from error


def slot_of(wish: RolloutWish, module: str) -> str:
    """Where a version goes.

    Raises:
        ContractError: the name would be too long.
    """
    if wish.slot:
        return wish.slot
    return shadow_slot(wish.shadows) if wish.shadows else module


def _assignment(device: str, version: ModuleVersion) -> Assignment:
    return Assignment(
        device=device,
        stage=0,
        module=version.name,
        version=version.version,
        digest=version.digest,
    )


def _omitted(
    connection: Connection,
    rollout: Rollout,
    versions: Mapping[str, ModuleVersion],
    already: Sequence[str],
    unfit: Iterable[Obstacle],
) -> tuple[Assignment, ...]:
    """Who gets nothing, as what they are in the rollout."""
    running = running_in(connection, rollout.slot, already)
    reasons: dict[str, list[Obstacle]] = {}
    for obstacle in unfit:
        reasons.setdefault(obstacle.device, []).append(obstacle)
    wish = rollout.wish
    return (
        *(
            omission.already(
                device,
                versions[device],
                is_running=running.get(device) == versions[device].digest,
            )
            for device in already
        ),
        *(
            omission.unfit(
                device,
                versions.get(device),
                module_of(wish.module, device) if wish.per_device else rollout.module,
                found,
            )
            for device, found in reasons.items()
        ),
    )


def _versions(
    connection: Connection, wish: RolloutWish, devices: Sequence[str]
) -> tuple[dict[str, ModuleVersion], list[Obstacle]]:
    """Device to its version, and devices for which there is none."""
    if not wish.per_device:
        version = choose(connection, wish.module, wish.version)
        return dict.fromkeys(devices, version), []
    names = (module_of(wish.module, device) for device in devices)
    known = usable_versions(connection, names, wish.version)
    chosen = choose_each(wish.module, wish.version, devices, known)
    return dict(chosen.versions), list(chosen.missing)


def _sites(connection: Connection, tag: str) -> dict[str, str]:
    query = select(device_tags.c.device, device_tags.c.value).where(device_tags.c.key == tag)
    return {row.device: row.value for row in connection.execute(query)}


class _Said(Struct, frozen=True):
    """The part of a report that tells what kind of machine it comes from."""

    hardware: Hardware = Hardware()


_SAID: Final = msgspec.json.Decoder(_Said)


def _hardware(connection: Connection, devices: Sequence[str]) -> dict[str, str]:
    """Device to what makes it behave like others: its processor and what models run on."""
    found: dict[str, str] = {}
    for start in range(0, len(devices), BATCH):
        query = select(reported_states.c.device, reported_states.c.state).where(
            reported_states.c.device.in_(devices[start : start + BATCH])
        )
        for row in connection.execute(query):
            said = _SAID.decode(bytes(row.state)).hardware
            found[row.device] = "/".join((said.machine, said.cpu, *said.providers))
    return found
