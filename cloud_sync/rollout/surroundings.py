"""What else a round looks at: measurements of the stage, late devices, the maintenance window.

Read only where the rollout's policy asks for it, and not in every round: none of it changes by the
second. So it is read before a round, whose transaction keeps everybody else from writing.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import UNSET
from sqlalchemy import Connection

from cloud_sync.errors import ShoalError
from cloud_sync.registry.modules import manifests_of
from cloud_sync.rollout.evidence import is_measured, read_evidence
from cloud_sync.rollout.latecomers import NOBODY_LATE, Late, latecomers
from cloud_sync.rollout.observation import DeviceNow, StageEvidence, World
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout.staging import current_stage, members_of
from cloud_sync.rollout.windows import opens_at
from cloud_sync.rollout_resources import RolloutState, StageState
from edge_agent.contract.manifest import Manifest
from edge_agent.contract.scores import Profile

EVIDENCE_S: Final = 2.0
EVIDENCE_EACH_S: Final = 0.001
"""More for each device of the stage: reading what one did takes a tenth of that."""

JOINERS_S: Final = 30.0
_JUDGED: Final = frozenset({StageState.FILLING, StageState.SOAKING, StageState.JUDGING})
_OVER: Final = frozenset({RolloutState.COMPLETED, RolloutState.COMPLETED_DEGRADED})

logger = logging.getLogger(__name__)


class Surroundings:
    """Reads what a rollout's policy asks about, and keeps it for a little while."""

    def __init__(self) -> None:
        self._manifests: dict[str, Manifest] = {}
        self._evidence = StageEvidence()
        self._evidence_of: tuple[int, str, StageState] | None = None
        self._evidence_at = 0.0
        self._late = NOBODY_LATE
        self._late_at: float | None = None
        self._trouble = ""

    def refresh(self, connection: Connection, rollout: Rollout, now: float) -> None:
        """Read what takes long before the transaction of a round, in which others wait to write.

        Args:
            connection: of a transaction that only reads.
            rollout: as it was after the last round.
            now: seconds since 1970, as in the round.
        """
        self._read_late(connection, rollout, now)
        self._read_evidence(connection, rollout, now)

    def read(
        self,
        connection: Connection,
        rollout: Rollout,
        devices: Mapping[str, DeviceNow],
        now: float,
    ) -> World:
        """The world of one round.

        Args:
            connection: of the round's transaction.
            rollout: as it is stored.
            devices: as they were last heard of.
            now: seconds since 1970.
        """
        late = self._read_late(connection, rollout, now)
        return World(
            devices=devices,
            evidence=self._read_evidence(connection, rollout, now),
            joined=late.joined,
            left_out=late.left_out,
            trouble=self._trouble,
            opens_at=opens_at(rollout.wish.policy.windows, now, ZoneInfo),
        )

    def _read_evidence(self, connection: Connection, rollout: Rollout, now: float) -> StageEvidence:
        policy = rollout.wish.policy
        stage = _judged_stage(rollout)
        if stage is None or not is_measured(policy):
            return StageEvidence()
        key = (stage.number, stage.step, stage.state)
        labelled = _labelled(rollout, stage)
        kept_s = max(EVIDENCE_S, (stage.size + len(labelled)) * EVIDENCE_EACH_S)
        if key == self._evidence_of and 0 <= now - self._evidence_at < kept_s:
            return self._evidence
        members = members_of(rollout, stage)
        self._know(connection, members)
        manifests = [
            found for one in members if (found := self._manifests.get(one.digest)) is not None
        ]
        self._evidence = read_evidence(
            connection,
            slot=rollout.slot,
            step=stage.step,
            assignments=members,
            labelled=labelled,
            max_p99_ms=_largest(found.health.max_p99_ms for found in manifests),
            memory_mb=_largest(found.runtime.memory_mb for found in manifests),
            profile=self._profile({one.digest for one in members}),
            champion_profile=self._profile(
                {one.previous.digest for one in members if one.previous is not None}
            ),
            is_shadow=bool(rollout.wish.shadows),
        )
        self._evidence_of = key
        self._evidence_at = now
        return self._evidence

    def _know(self, connection: Connection, members: Iterable[Assignment]) -> None:
        wanted = {one.digest for one in members}
        wanted |= {one.previous.digest for one in members if one.previous is not None}
        missing = wanted - self._manifests.keys()
        if missing:
            self._manifests |= manifests_of(connection, missing)

    def _profile(self, digests: set[str]) -> Profile | None:
        """How scores should be spread; nobody can say of several versions at once."""
        if len(digests) != 1:
            return None
        found = self._manifests.get(next(iter(digests)))
        return None if found is None or found.health.profile is UNSET else found.health.profile

    def _read_late(self, connection: Connection, rollout: Rollout, now: float) -> Late:
        is_open = rollout.state is RolloutState.RUNNING or rollout.state in _OVER
        if rollout.wish.policy.late_joiners != "include" or not is_open:
            self._trouble = ""
            return NOBODY_LATE
        if self._late_at is None or not 0 <= now - self._late_at < JOINERS_S:
            self._late = self._find_late(connection, rollout)
            self._late_at = now
        return self._late

    def _find_late(self, connection: Connection, rollout: Rollout) -> Late:
        """Late devices; none while something keeps all of them out, and the others go on."""
        try:
            found = latecomers(connection, rollout)
        except ShoalError as error:
            text = f"no late device can be taken in: {error}"
            if text != rollout.trouble:
                logger.warning(
                    "event=late_joiners_left_out rollout=r%d code=%s reason=%s hint=%s",
                    rollout.id,
                    error.code,
                    error.text,
                    error.hint,
                )
            self._trouble = text
            return NOBODY_LATE
        self._trouble = ""
        return found


def _judged_stage(rollout: Rollout) -> Stage | None:
    """The stage whose measurements count now: of a rollout that is over the last, for labels."""
    if rollout.state in _OVER:
        gates = rollout.wish.policy.gates
        has_labels = gates is not None and gates.wrong is not None
        return rollout.stages[-1] if rollout.stages and has_labels else None
    stage = current_stage(rollout)
    return stage if stage is not None and stage.state in _JUDGED else None


def _labelled(rollout: Rollout, stage: Stage) -> list[Assignment]:
    """Devices of stages that have passed: labels come late, and nearly always of these."""
    gates = rollout.wish.policy.gates
    if gates is None or gates.wrong is None:
        return []
    passed = {one.number for one in rollout.stages if one.state is StageState.PASSED}
    passed.discard(stage.number)
    return [one for one in rollout.assignments.values() if one.stage in passed]


def _largest(bounds: Iterable[float]) -> float | None:
    """The bound that holds for all of several versions; None if one of them has none."""
    found = set(bounds)
    return None if not found or 0 in found else max(found)
