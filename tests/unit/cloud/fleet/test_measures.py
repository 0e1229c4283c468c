"""What a version did in all, from reports that begin anew with each worker."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from cloud_sync.config import RetentionSettings
from cloud_sync.db.measure_tables import slot_measures
from cloud_sync.fleet.measures import FADES_S, PLENTY, SlotMeasures, add_labels, add_report
from cloud_sync.fleet.measures_store import (
    MOST_DIGESTS,
    MOST_ROWS,
    count_labels,
    count_messages,
    forget,
    read_measures,
)
from cloud_sync.telemetry.retention import DAY_S, clean
from edge_agent.contract.messages import Health, ShadowHealth, SlotHealth, Timing
from tests.support.cloud import NOW, Cloud
from tests.support.letters import letter, status

DIGEST = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


def slot(messages: int = 0, *, errors: int = 0, digest: str = DIGEST, **more: Any) -> SlotHealth:
    buckets = (0, 0, messages, *(0,) * 13)
    values = {
        "module": "pump",
        "version": 2,
        "digest": digest,
        "state": "running",
        "pid": 7,
        "messages_in": messages,
        "failed": {"model_failed": errors} if errors else {},
        "total": Timing(count=messages, buckets=buckets if messages else ()),
        **more,
    }
    return SlotHealth(**values)


def added(*reports: SlotHealth) -> SlotMeasures:
    measures, before = SlotMeasures(), None
    for report in reports:
        measures = add_report(measures, before, report, NOW)
        before = report
    return measures


def test_only_the_difference_to_the_report_before_is_added() -> None:
    measures = added(slot(100, errors=1), slot(250, errors=4))
    assert measures.messages == 250
    assert measures.errors.hits == 4
    assert measures.errors.of == 250
    assert sum(measures.total.buckets) == 250
    assert measures.reports == 2


def test_another_process_begins_at_nothing() -> None:
    measures = added(slot(100, errors=1), slot(30, errors=1, pid=8, restarts=1))
    assert measures.messages == 130
    assert measures.errors.hits == 2


def test_a_process_that_ended_is_not_counted_again() -> None:
    """Its last counters stay in the reports until the next process has some."""
    dead = slot(100, errors=1, pid=0, state="crashed", crashes={"worker_crashed": 1})
    starting = slot(0, pid=8, restarts=1, crashes={"worker_crashed": 1})
    measures = added(slot(100, errors=1), dead, dead, starting)
    assert measures.messages == 100
    assert measures.errors.hits == 2  # the message that failed, and the crash


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=30))
def test_nothing_is_lost_or_counted_twice_over_any_restarts(
    steps: list[tuple[int, bool]],
) -> None:
    reports, messages, life, pid, truth = [], 0, 0, 1, 0
    for more, restarts in steps:
        if restarts:
            messages, life, pid = 0, life + 1, pid + 1
        messages += more
        truth += more
        reports.append(slot(messages, pid=pid, restarts=life))
    assert added(*reports).messages == truth


def test_unevenness_is_kept_report_by_report() -> None:
    even = added(slot(100, errors=5), slot(200, errors=10))
    uneven = added(slot(100), slot(200, errors=10))
    assert even.errors.squares == pytest.approx(0.5)
    assert uneven.errors.squares == pytest.approx(1.0)


def test_a_comparison_begins_anew_with_another_champion() -> None:
    def shadow(version: int, seen: int, agreed: int) -> SlotHealth:
        compared = ShadowHealth(of="pump", version=version, seen=seen, agreed=agreed, psi=0.2)
        return slot(seen, shadow=compared)

    measures = added(shadow(1, 100, 90), shadow(1, 200, 185))
    assert (measures.compared.hits, measures.compared.of) == (15, 200)
    assert measures.psi == 0.2
    measures = added(shadow(1, 100, 0), shadow(2, 150, 150))
    assert (measures.compared.hits, measures.compared.of) == (0, 150)


def test_what_a_busy_version_did_days_ago_fades_and_labels_do_not() -> None:
    busy = add_labels(added(slot(PLENTY, errors=100)), right=9, wrong=1)
    later = add_report(busy, slot(PLENTY, errors=100), slot(PLENTY, errors=100), NOW + FADES_S)
    assert later.messages == PLENTY / 2
    assert later.errors.hits == 50
    assert (later.right, later.wrong) == (9, 1)
    quiet = added(slot(100, errors=1))
    assert add_report(quiet, slot(100, errors=1), slot(100, errors=1), NOW + FADES_S) == quiet


def test_labels_can_be_taken_back() -> None:
    measures = add_labels(SlotMeasures(), right=2, wrong=1)
    assert add_labels(measures, right=1, wrong=-1) == SlotMeasures(right=3)


@pytest.fixture
def known(parts_of_cloud: Cloud) -> Cloud:
    parts_of_cloud.ingest.write([letter(status("line-1"))])
    return parts_of_cloud


def report(known: Cloud, found: SlotHealth, *, uptime_s: float, boot_id: str = "boot") -> None:
    health = Health(
        device="line-1",
        boot_id=boot_id,
        time=NOW,
        uptime_s=uptime_s,
        interval_s=30,
        slots={"pump": found},
    )
    known.ingest.write([letter(health)])


def measured(known: Cloud, digest: str = DIGEST) -> SlotMeasures:
    with known.parts.database.read() as connection:
        found = dict(read_measures(connection, "pump", [("line-1", digest)]))
    return found.get(("line-1", digest), SlotMeasures())


def test_each_report_that_comes_is_counted_once(known: Cloud) -> None:
    report(known, slot(100), uptime_s=30)
    report(known, slot(100), uptime_s=30)
    report(known, slot(160), uptime_s=60)
    report(known, slot(130), uptime_s=45)  # late
    assert measured(known).messages == 160
    with known.parts.database.read() as connection:
        assert count_messages(connection, "pump", [("line-1", DIGEST)]) == 160


def test_two_agents_with_one_name_do_not_count_on_and_on(known: Cloud) -> None:
    report(known, slot(100), uptime_s=30)
    for uptime_s in range(60, 300, 30):
        report(known, slot(5_000), uptime_s=uptime_s, boot_id="another")
        report(known, slot(100), uptime_s=uptime_s)
    # Each return of ours looks like a new run of it, but the other one adds nothing.
    assert measured(known).messages < 5_000


def test_an_idle_slot_changes_no_row(known: Cloud) -> None:
    report(known, slot(100), uptime_s=30)
    with known.parts.database.read() as connection:
        before = connection.execute(select(slot_measures)).all()
    report(known, slot(100, rss_mb=0.2), uptime_s=60)
    with known.parts.database.read() as connection:
        assert connection.execute(select(slot_measures)).all() == before


def test_a_slot_keeps_only_so_many_digests(known: Cloud) -> None:
    for number in range(MOST_DIGESTS + 5):
        report(known, slot(10, digest=f"sha256:{number:064x}"), uptime_s=30.0 + number)
    with known.parts.database.read() as connection:
        digests = connection.scalars(select(slot_measures.c.digest)).all()
    assert len(digests) == MOST_DIGESTS
    assert f"sha256:{MOST_DIGESTS + 4:064x}" in digests


def test_a_device_that_names_ever_new_slots_keeps_only_so_many(known: Cloud) -> None:
    for number in range(0, MOST_ROWS + 40, 20):
        slots = {f"slot-{number + each}": slot(10) for each in range(20)}
        health = Health(
            device="line-1",
            boot_id="boot",
            time=NOW,
            uptime_s=30.0 + number,
            interval_s=30,
            slots=slots,
        )
        known.ingest.write([letter(health)])
    with known.parts.database.read() as connection:
        names = connection.scalars(select(slot_measures.c.slot)).all()
    assert len(names) == MOST_ROWS
    assert f"slot-{MOST_ROWS + 39}" in names


def test_what_did_nothing_for_long_is_forgotten_at_night(known: Cloud) -> None:
    report(known, slot(100), uptime_s=30)
    clean(known.parts.database, RetentionSettings(), NOW + 89 * DAY_S)
    assert measured(known).messages == 100
    clean(known.parts.database, RetentionSettings(), NOW + 91 * DAY_S)
    assert measured(known) == SlotMeasures()


def test_labels_are_counted_also_where_nothing_was_reported(known: Cloud) -> None:
    with known.parts.database.write() as connection:
        for right, wrong in ((1, 0), (0, 2), (1, -1)):
            count_labels(
                connection,
                device="line-1",
                slot="pump",
                digest=OTHER,
                right=right,
                wrong=wrong,
                now=NOW,
            )
    assert (measured(known, OTHER).right, measured(known, OTHER).wrong) == (2, 1)


def test_what_is_forgotten_is_judged_from_then_on(known: Cloud) -> None:
    report(known, slot(100), uptime_s=30)
    with known.parts.database.write() as connection:
        forget(connection, "pump", [("line-1", DIGEST), ("gone", DIGEST)])
    assert measured(known) == SlotMeasures()
    report(known, slot(130), uptime_s=60)
    assert measured(known).messages == 30
