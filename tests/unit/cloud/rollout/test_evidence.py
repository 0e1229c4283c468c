"""The evidence of a stage, from what devices reported to the service."""

from typing import Any

import pytest

from cloud_sync.fleet.measures_store import count_labels
from cloud_sync.rollout.evidence import begin, read_evidence
from cloud_sync.rollout.observation import StageEvidence
from cloud_sync.rollout.rollout import Assignment, Step
from edge_agent.contract.messages import TIME_BOUNDS_MS, Health, ShadowHealth, SlotHealth, Timing
from edge_agent.contract.scores import Profile, ScoreBins
from tests.support.cloud import NOW, Cloud
from tests.support.letters import letter, status
from tests.support.rollouts import NEW, OLD, OLD_SLOT

NAMES = ("line-1", "line-2", "line-3")
PROFILE = Profile(output="score", columns=(ScoreBins(edges=(0.5,), counts=(100, 100, 0)),))


@pytest.fixture
def fleet(parts_of_cloud: Cloud) -> Cloud:
    parts_of_cloud.ingest.write([letter(status(name)) for name in NAMES])
    return parts_of_cloud


def timing(count: int, bound_ms: float) -> Timing:
    buckets = [0] * (len(TIME_BOUNDS_MS) + 1)
    buckets[TIME_BOUNDS_MS.index(bound_ms)] = count
    point = bound_ms * 0.9
    return Timing(count=count, buckets=tuple(buckets), p50_ms=point, p99_ms=point, max_ms=point)


def health(digest: str, count: int, *, errors: int = 0, ms: float = 5.0, **more: Any) -> SlotHealth:
    values = {
        "module": "pump",
        "version": 1,
        "digest": digest,
        "state": "running",
        "pid": 1,
        "messages_in": count,
        "failed": {"model_failed": errors},
        "total": timing(count, ms),
        "pss_mb": 40.0,
        **more,
    }
    return SlotHealth(**values)


def report(fleet: Cloud, name: str, uptime_s: float, **slots: SlotHealth) -> None:
    found = {slot.replace("_", "-"): value for slot, value in slots.items()}
    message = Health(
        device=name,
        boot_id="boot",
        time=NOW + uptime_s,
        uptime_s=uptime_s,
        interval_s=30,
        slots=found,
    )
    fleet.ingest.write([letter(message)])


def assignment(name: str, **more: Any) -> Assignment:
    values = {
        "device": name,
        "stage": 0,
        "module": "pump",
        "version": 2,
        "digest": NEW,
        "previous": OLD_SLOT,
        "revision": 5,
        "is_wanted": True,
        **more,
    }
    return Assignment(**values)


def evidence(fleet: Cloud, step: Step = "run", **more: Any) -> StageEvidence:
    assigned = [assignment(name, mode=step) for name in NAMES[:2]]
    values = {"assignments": assigned, "max_p99_ms": None, "memory_mb": None, **more}
    with fleet.parts.database.read() as connection:
        return read_evidence(connection, slot="pump", step=step, **values)


def test_without_reports_nothing_is_known(fleet: Cloud) -> None:
    found = evidence(fleet)
    assert found.version.messages == found.champion.messages == 0
    assert found.version.memory is None


def test_only_the_devices_of_the_stage_count_and_each_digest_for_itself(fleet: Cloud) -> None:
    for name in NAMES:
        report(fleet, name, 30, pump=health(OLD, 1_000, errors=3))
        report(fleet, name, 60, pump=health(NEW, 500, errors=1, pid=2))
    found = evidence(fleet)
    assert (found.version.messages, found.version.errors) == (1_000, 2)
    assert (found.champion.messages, found.champion.errors) == (2_000, 6)
    assert found.version.counted["error_rate"].devices == 2


def test_slow_is_counted_by_the_manifests_limit_or_by_the_champion(fleet: Cloud) -> None:
    for name in NAMES:
        report(fleet, name, 30, pump=health(OLD, 1_000))
        report(fleet, name, 60, pump=health(NEW, 500, ms=25.0, pid=2))
    found = evidence(fleet)
    assert found.version.counted["slow"].least == 1_000  # more than twice the champion's 5 ms
    assert found.champion.counted["slow"].most == 0
    found = evidence(fleet, max_p99_ms=30.0)
    assert found.version.counted["slow"].most == 0
    found = evidence(fleet, max_p99_ms=0.0)
    assert found.max_p99_ms is None, "a manifest's 0 is no bound"


def test_a_shadow_is_read_from_its_own_slot_and_its_drift_is_kept_for_later(fleet: Cloud) -> None:
    beside = ShadowHealth(of="pump", version=1, seen=900, agreed=450, psi=0.04)
    for name in NAMES:
        report(
            fleet,
            name,
            30,
            pump=health(OLD, 1_000),
            pump_shadow=health(NEW, 900, shadow=beside, pss_mb=50.0),
        )
    found = evidence(fleet, "shadow")
    assert (found.version.compared, found.version.differed) == (1_800, 900)
    assert found.version.drift is not None
    assert found.version.drift.mean == pytest.approx(0.04)
    assert found.version.memory is not None
    assert found.version.memory.mean == pytest.approx(0.223, abs=1e-3)  # 50 MiB beside 40
    run = evidence(fleet, "run")
    assert run.version.messages == 0
    assert run.version.drift == found.version.drift


def test_what_was_done_before_the_offer_does_not_count(fleet: Cloud) -> None:
    for name in NAMES:
        report(fleet, name, 30, pump=health(NEW, 1_000, errors=900))
    with fleet.parts.database.write() as connection:
        begin(connection, "pump", "run", [(name, NEW) for name in NAMES])
    assert evidence(fleet).version.messages == 0
    for name in NAMES:
        report(fleet, name, 60, pump=health(NEW, 1_100, errors=900))
    assert (evidence(fleet).version.messages, evidence(fleet).version.errors) == (200, 0)


def test_scores_are_read_by_the_profiles_bins(fleet: Cloud) -> None:
    for name in NAMES:
        report(fleet, name, 30, pump=health(NEW, 300, scores=(100, 200, 0)))
    found = evidence(fleet, profile=PROFILE)
    assert found.version.scores == (200, 400, 0)
    assert found.profile == (0.5, 0.5, 0.0)
    assert (found.profile_columns, found.profile_rows) == ((3,), 200)


def test_devices_that_were_not_offered_it_in_this_step_say_nothing(fleet: Cloud) -> None:
    for name in NAMES:
        report(fleet, name, 30, pump=health(OLD, 500))
        report(fleet, name, 60, pump=health(NEW, 1_000, errors=900, pid=2))
    waiting = [
        assignment(NAMES[0], revision=0, is_wanted=False),
        assignment(NAMES[1], mode="shadow"),  # it passed there, and is to answer soon
    ]
    found = evidence(fleet, assignments=waiting)
    assert (found.version.messages, found.champion.messages) == (0, 0)
    one = [*waiting, assignment(NAMES[2])]
    found = evidence(fleet, assignments=one)
    assert (found.version.messages, found.champion.messages) == (1_000, 500)


def test_of_stages_that_passed_labels_alone_count(fleet: Cloud) -> None:
    for name in NAMES:
        report(fleet, name, 30, pump=health(NEW, 1_000, errors=900))
    with fleet.parts.database.write() as connection:
        for name, wrong in zip(NAMES, (1, 0, 50), strict=True):
            count_labels(
                connection, device=name, slot="pump", digest=NEW, right=10, wrong=wrong, now=NOW
            )
    found = evidence(
        fleet, assignments=[assignment(NAMES[0])], labelled=[assignment(NAMES[2], stage=1)]
    )
    assert (found.version.messages, found.version.errors) == (1_000, 900)
    assert (found.version.right, found.version.wrong) == (20, 51)
    assert (found.version.counted["wrong"].least, found.version.counted["wrong"].of) == (51, 71)
