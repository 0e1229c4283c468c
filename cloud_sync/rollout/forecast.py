"""What a rollout would do, told before it does anything: stages, obstacles, bytes, time. Reads."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import devices
from cloud_sync.db.registry_tables import blobs, module_blobs, module_versions
from cloud_sync.fleet.presence import presence
from cloud_sync.fleet.spread import spread_s
from cloud_sync.rollout.cohort import Candidate, compose
from cloud_sync.rollout.enlistment import enlist, refuse_bad_shadows
from cloud_sync.rollout.progress import has_champion
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout_resources import PlannedStage, RolloutPlan

SHOWN = 20
"""Devices of each stage that a plan names."""
BATCH = 500


def forecast(
    connection: Connection, rollout: Rollout, now: float, *, starts_per_s: float
) -> RolloutPlan:
    """What a rollout would do if it started now.

    Args:
        connection: of a transaction that changes nothing.
        rollout: a draft; it need not be stored.
        now: seconds since 1970.
        starts_per_s: devices that may begin in a second with what many are told at once.

    Raises:
        NotFound: its target means nobody.
        Conflict: a shadow step could not be compared with what runs.
    """
    enlisted = enlist(connection, rollout)
    policy = rollout.wish.policy
    cohort = compose(enlisted.candidates, policy, rollout.seed, now)
    refuse_bad_shadows(connection, rollout, cohort.assignments)
    names = sorted(cohort.assignments)
    stages = tuple(_stage(rollout, stage, cohort.assignments.values()) for stage in cohort.stages)
    return RolloutPlan(
        module=rollout.module,
        version=rollout.version,
        slot=rollout.slot,
        seed=rollout.seed,
        cohort=len(cohort.assignments),
        stages=stages,
        already=enlisted.already,
        away=_away(connection, names, now),
        unfit=enlisted.unfit,
        conflicts=enlisted.conflicts,
        bytes_to_send=_bytes_to_send(connection, enlisted.candidates),
        expected_s=sum(
            (1 + stage.has_shadow) * (policy.soak_s + spread_s(stage.size, starts_per_s))
            for stage in stages
        ),
    )


def _stage(rollout: Rollout, stage: Stage, assignments: Iterable[Assignment]) -> PlannedStage:
    members = [one for one in assignments if one.stage == stage.number]
    return PlannedStage(
        number=stage.number,
        size=stage.size,
        devices=tuple(one.device for one in members[:SHOWN]),
        has_shadow=stage.number < rollout.wish.policy.shadow_stages
        and any(has_champion(one, rollout) for one in members),
    )


def _away(connection: Connection, names: Sequence[str], now: float) -> tuple[str, ...]:
    """Those of some devices that are not online."""
    column = devices.c
    away: list[str] = []
    for start in range(0, len(names), BATCH):
        query = select(column.device, column.state, column.last_seen, column.interval_s).where(
            column.device.in_(names[start : start + BATCH])
        )
        away += [
            row.device
            for row in connection.execute(query)
            if presence(now, row.state, row.last_seen, row.interval_s) != "online"
        ]
    return tuple(sorted(away))


def _bytes_to_send(connection: Connection, candidates: Sequence[Candidate]) -> int:
    """Files that devices lack: those of their version that are not in what they run now too."""
    pairs: dict[tuple[str, str], int] = {}
    for one in candidates:
        before = "" if one.previous is None else one.previous.digest
        pairs[one.digest, before] = pairs.get((one.digest, before), 0) + 1
    files = _files(connection, {digest for pair in pairs for digest in pair if digest})
    sizes = _sizes(connection, {digest for found in files.values() for digest in found})
    return sum(
        count
        * sum(sizes.get(digest, 0) for digest in files.get(after, set()) - files.get(before, set()))
        for (after, before), count in pairs.items()
    )


def _files(connection: Connection, modules: set[str]) -> dict[str, set[str]]:
    """Digest of a module version to those of its files."""
    v, b = module_versions.c, module_blobs.c
    query = (
        select(v.digest.label("module"), b.digest.label("file"))
        .join(module_blobs, (b.name == v.name) & (b.version == v.version))
        .where(v.digest.in_(modules))
    )
    found: dict[str, set[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.module, set()).add(row.file)
    return found


def _sizes(connection: Connection, digests: set[str]) -> dict[str, int]:
    query = select(blobs.c.digest, blobs.c.size).where(blobs.c.digest.in_(digests))
    return {row.digest: row.size for row in connection.execute(query)}
