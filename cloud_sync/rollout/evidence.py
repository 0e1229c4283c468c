"""The evidence of a stage, read from the database: what its version did there, and the champion.

Runs inside the transaction of whoever asks. Must never count what a digest did before it was
offered in this rollout: `begin` forgets that, in the transaction that writes the offer.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace
from sqlalchemy import Connection

from cloud_sync.fleet.measures import SlotMeasures
from cloud_sync.fleet.measures_store import Place, forget, read_measures
from cloud_sync.rollout.gates import old_bound, slow_bound
from cloud_sync.rollout.observation import Measures, Sample, StageEvidence
from cloud_sync.rollout.pooling import compare_memory, pool
from cloud_sync.rollout.rollout import Assignment, Step
from cloud_sync.rollout_policy import Policy
from edge_agent.contract.scores import Profile
from edge_agent.contract.shadows import shadow_slot


def read_evidence(
    connection: Connection,
    *,
    slot: str,
    step: Step,
    assignments: Sequence[Assignment],
    labelled: Sequence[Assignment] = (),
    max_p99_ms: float | None,
    memory_mb: float | None,
    profile: Profile | None = None,
    champion_profile: Profile | None = None,
    is_shadow: bool = False,
) -> StageEvidence:
    """Read what was measured of a stage.

    Args:
        connection: of a transaction.
        slot: that the version is for.
        step: "shadow" while the version runs beside the champion.
        assignments: of the stage; those that were not offered the version yet do not count.
        labelled: of stages that have passed: of them, labels alone.
        max_p99_ms: of the version's manifest; None or 0 if it says nothing.
        memory_mb: the same.
        profile: of the version's manifest; None without one.
        champion_profile: of what runs in the slot without the rollout.
        is_shadow: the slot is for a shadow, so that its version is compared in every step.
    """
    told = [found for found in assignments if is_offered(found, step)]
    digests = _digests(told)
    before = _digests_before(told)
    champion = _read(connection, slot, before)
    shadow = {} if is_shadow else _read(connection, shadow_slot(slot), digests)
    version = shadow if step == "shadow" else _read(connection, slot, digests)
    is_beside = is_shadow or step == "shadow"
    known = StageEvidence(
        champion=pool(tuple(champion.values())),
        max_p99_ms=max_p99_ms or None,
        memory_mb=memory_mb or None,
        profile=profile.shares if profile is not None else (),
        profile_columns=profile.sizes if profile is not None else (),
        profile_rows=profile.rows if profile is not None else 0,
        champion_profile=champion_profile.shares if champion_profile is not None else (),
        champion_profile_columns=champion_profile.sizes if champion_profile is not None else (),
        is_beside=is_beside,
    )
    slow_ms, old_ms = slow_bound(known), old_bound(known)
    found = pool(tuple(version.values()), slow_ms=slow_ms, old_ms=old_ms)
    late = [found for found in labelled if step == "run" and is_offered(found, step)]
    late_version = _read(connection, slot, _digests(late))
    late_champion = _read(connection, slot, _digests_before(late))
    return replace(
        known,
        version=replace(
            _with_labels(found, (*version.values(), *late_version.values())),
            memory=compare_memory(version, champion, known.memory_mb),
            drift=found.drift if is_beside else _drift_beside(shadow, told),
        ),
        champion=_with_labels(
            pool(tuple(champion.values()), slow_ms=slow_ms, old_ms=old_ms),
            (*champion.values(), *late_champion.values()),
        ),
    )


def is_offered(assignment: Assignment, step: Step) -> bool:
    """Whether a device was offered the version in this step of this rollout.

    What is counted of others was done in an earlier rollout: `begin` forgets it with the offer.
    """
    return assignment.revision > 0 and assignment.mode == step


def is_measured(policy: Policy) -> bool:
    """Whether a policy asks what a version did at all."""
    return policy.gates is not None or policy.soak_messages > 0


def begin(connection: Connection, slot: str, step: Step, places: Iterable[Place]) -> None:
    """Forget what versions did where they are offered now, in an earlier rollout or a test.

    Args:
        connection: of the transaction that writes the offers.
        slot: that the version is for.
        step: as what it is offered.
        places: devices, and the digest that each is offered.
    """
    forget(connection, shadow_slot(slot) if step == "shadow" else slot, places)


def _read(connection: Connection, slot: str, digests: dict[str, str]) -> dict[str, SlotMeasures]:
    return {device: row for (device, _), row in read_measures(connection, slot, digests.items())}


def _digests(assignments: Sequence[Assignment]) -> dict[str, str]:
    return {found.device: found.digest for found in assignments}


def _digests_before(assignments: Sequence[Assignment]) -> dict[str, str]:
    return {
        found.device: found.previous.digest
        for found in assignments
        if found.previous is not None and found.previous.digest != found.digest
    }


def _with_labels(measures: Measures, rows: Sequence[SlotMeasures]) -> Measures:
    """The same with the labels of more devices than the rest is about."""
    labels = pool(rows)
    counted = dict(measures.counted)
    if "wrong" in labels.counted:
        counted["wrong"] = labels.counted["wrong"]
    return replace(measures, right=labels.right, wrong=labels.wrong, counted=counted)


def _drift_beside(
    shadow: dict[str, SlotMeasures], assignments: Sequence[Assignment]
) -> Sample | None:
    """How its scores were beside the champion's, when both saw the same inputs."""
    compared = [
        row
        for found in assignments
        if (row := shadow.get(found.device)) is not None
        and found.previous is not None
        and row.against == found.previous.version
    ]
    return pool(compared).drift
