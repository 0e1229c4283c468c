"""What a rollout would do, told before it does anything: stages, obstacles, bytes, time. Reads."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import devices
from cloud_sync.fleet.presence import presence
from cloud_sync.registry.modules import manifests_of
from cloud_sync.rollout.cohort import compose
from cloud_sync.rollout.enlistment import Enlisted, enlist, refuse_bad_shadows
from cloud_sync.rollout.hearing import has_champion
from cloud_sync.rollout.omission import ASKED_ALREADY
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout.shadow_place import in_the_way
from cloud_sync.rollout.timetable import Leg, assumptions, least_s
from cloud_sync.rollout.windows import opens_at
from cloud_sync.rollout_resources import AssignmentState, Obstacle, PlannedStage, RolloutPlan

TAKEN = "slot_taken"
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
    of_stage: dict[int, list[Assignment]] = {stage.number: [] for stage in cohort.stages}
    for one in cohort.assignments.values():
        of_stage[one.stage].append(one)
    stages = tuple(_stage(rollout, stage, of_stage[stage.number]) for stage in cohort.stages)
    away = _away(connection, names, now)
    beside = in_the_way(connection, rollout, cohort.assignments)
    concerned = cohort.assignments.keys() | set(enlisted.already)
    conflicts = _once((*enlisted.conflicts, *beside), concerned)
    has_conflicts = any(one.device in cohort.assignments for one in conflicts)
    expected_s = least_s(
        [_leg(stage, of_stage[stage.number]) for stage in stages],
        policy,
        trial_s=_trial_s(connection, enlisted),
        starts_per_s=starts_per_s,
        now=now,
        opens_at=lambda time: opens_at(policy.windows, time, ZoneInfo),
    )
    return RolloutPlan(
        module=rollout.module,
        version=rollout.version,
        slot=rollout.slot,
        seed=rollout.seed,
        cohort=len(cohort.assignments),
        stages=stages,
        already=_omitted(enlisted, AssignmentState.ALREADY_PRESENT),
        asked_already=_omitted(enlisted, AssignmentState.NOT_APPLICABLE, ASKED_ALREADY),
        away=away,
        unfit=enlisted.unfit,
        rest=tuple(sorted(one.device for one in cohort.rest)),
        conflicts=conflicts,
        bytes_to_send=sum(enlisted.bytes_to_send[device] for device in names),
        expected_s=expected_s,
        assumptions=assumptions(policy, is_away=bool(away), has_conflicts=has_conflicts),
    )


def _stage(rollout: Rollout, stage: Stage, members: Sequence[Assignment]) -> PlannedStage:
    return PlannedStage(
        number=stage.number,
        size=stage.size,
        devices=tuple(one.device for one in members[:SHOWN]),
        has_shadow=stage.number < rollout.wish.policy.shadow_stages
        and any(has_champion(one, rollout) for one in members),
    )


def _leg(stage: PlannedStage, members: Iterable[Assignment]) -> Leg:
    sites = Counter(one.site for one in members if one.site)
    return Leg(size=stage.size, sites=sites, has_shadow=stage.has_shadow)


def _trial_s(connection: Connection, enlisted: Enlisted) -> float:
    """How long a version may be on trial: the one of several that may take longest."""
    manifests = manifests_of(connection, {version.digest for version in enlisted.versions})
    return max((found.health.trial.seconds for found in manifests.values()), default=0.0)


def _omitted(enlisted: Enlisted, state: AssignmentState, code: str = "") -> tuple[str, ...]:
    """Devices that are left out as this, and for this reason."""
    return tuple(
        sorted(
            one.device
            for one in enlisted.omitted
            if one.state is state and one.evidence.get("code", "") == code
        )
    )


def _once(conflicts: Iterable[Obstacle], concerned: Container[str]) -> tuple[Obstacle, ...]:
    """The conflicts of those that would get something, or have it; each device once, by name."""
    found: dict[str, list[Obstacle]] = {}
    for conflict in conflicts:
        if conflict.device in concerned:
            found.setdefault(conflict.device, []).append(conflict)
    return tuple(
        Obstacle(
            device=device,
            # Who has to wait for one of them waits, whatever becomes of the others.
            code=next((one.code for one in several if one.code == TAKEN), several[0].code),
            text="; ".join(one.text for one in several),
        )
        for device, several in sorted(found.items())
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
