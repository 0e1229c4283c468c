"""What a rollout would do, told before it does anything: stages, obstacles, bytes, time. Reads."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import devices
from cloud_sync.fleet.presence import presence
from cloud_sync.fleet.spread import spread_s
from cloud_sync.rollout.cohort import compose
from cloud_sync.rollout.enlistment import enlist, refuse_bad_shadows
from cloud_sync.rollout.hearing import has_champion
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout.shadow_place import in_the_way
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
        conflicts=(*enlisted.conflicts, *in_the_way(connection, rollout, cohort.assignments)),
        bytes_to_send=sum(enlisted.bytes_to_send[device] for device in names),
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
