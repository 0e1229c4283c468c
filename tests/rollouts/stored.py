"""What a story on a database reads of it: rollouts, events and labels, as they are stored.

It only reads, and by tables and values; what a rollout is to do with it is not asked here.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.fleet.measures_store import read_measures
from cloud_sync.rollout.observation import Measures, StageEvidence
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.store import load
from cloud_sync.rollout_resources import RolloutEvent


def all_rollouts(connection: Connection) -> list[Rollout]:
    """All of them, the oldest first."""
    numbers = list(connection.scalars(select(rollouts.c.id).order_by(rollouts.c.id)))
    found = [load(connection, number) for number in numbers]
    return [one.rollout for one in found if one is not None]


def labels_of(connection: Connection, rollout: Rollout) -> StageEvidence:
    """What labels say of a version, where a gate asks, and of what was there before."""
    gates = rollout.wish.policy.gates
    if gates is None or gates.wrong is None:
        return StageEvidence()
    offered = [one for one in rollout.assignments.values() if one.revision > 0]
    before = [
        (one.device, one.previous.digest)
        for one in offered
        if one.previous is not None and one.previous.digest != one.digest
    ]
    version, champion = (
        [sums for _place, sums in read_measures(connection, rollout.slot, places)]
        for places in ([(one.device, one.digest) for one in offered], before)
    )
    return StageEvidence(
        version=Measures(
            right=sum(sums.right for sums in version), wrong=sum(sums.wrong for sums in version)
        ),
        champion=Measures(wrong=sum(sums.wrong for sums in champion)),
    )


def event_of(row: Row[Any]) -> RolloutEvent:  # Any: columns of several types
    return RolloutEvent(
        id=row.id,
        time=row.time,
        stage=row.stage,
        device=row.device,
        before=row.before,
        after=row.after,
        actor=row.actor,
        reason=row.reason,
        evidence=msgspec.json.decode(row.evidence, type=dict[str, str]),
    )
