"""Rows that a device stamped with a wrong clock get their true time as soon as it is known."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloud_sync.telemetry.device_time import Anchor, anchor, true_time
from edge_agent.contract.messages import Telemetry, TelemetryRow
from tests.support.cloud import NOW, Cloud
from tests.support.letters import letter, reported, status, telemetry

FLOOR = 1_600_000_000.0
"""What a device that woke up in 1970 takes the time to be."""


def row(
    seq: int, uptime_s: float | None, *, time: float = FLOOR, synced: bool = False
) -> TelemetryRow:
    data = msgspec.Raw(b'{"name":"swapped"}')
    return TelemetryRow(
        seq=seq, kind="event", time=time, data=data, uptime_s=uptime_s, clock_synced=synced
    )


def batch(*rows: TelemetryRow, uptime_s: float | None = None, synced: bool = False) -> Telemetry:
    time = NOW if synced else FLOOR
    return replace(telemetry("line-1", *rows), time=time, uptime_s=uptime_s, clock_synced=synced)


@pytest.fixture
def known(parts_of_cloud: Cloud) -> Cloud:
    """A service that knows the device line-1."""
    parts_of_cloud.ingest.write([letter(status("line-1"))])
    return parts_of_cloud


def stored(cloud: Cloud) -> dict[float, float | None]:
    """Time to the device's own, of every event of line-1 that it sent itself."""
    found = cloud.parts.telemetry.events(device="line-1", name="swapped")
    return {event.time: event.device_time for event in found}


@given(st.floats(0, 1e9), st.floats(0, 1e7), st.floats(-1e7, 1e7))
def test_a_true_time_is_as_far_from_the_anchor_as_the_uptimes_are(
    when: float, uptime_s: float, between_s: float
) -> None:
    found = true_time(row(1, uptime_s), Anchor(when, uptime_s + between_s))
    assert found == pytest.approx(when - between_s, abs=1e-3)


@pytest.mark.parametrize(
    "case",
    [
        (row(1, 5.0, synced=True), Anchor(NOW, 10.0)),
        (row(1, None), Anchor(NOW, 10.0)),
        (row(1, 5.0), None),
    ],
)
def test_a_time_that_is_right_or_cannot_be_known_is_left_alone(
    case: tuple[TelemetryRow, Anchor | None],
) -> None:
    assert true_time(*case) is None


def test_only_a_synchronized_clock_makes_an_anchor() -> None:
    assert anchor(batch(uptime_s=7.0, synced=True)) == Anchor(NOW, 7.0)
    assert anchor(batch(uptime_s=7.0)) is None
    assert anchor(batch(synced=True)) is None, "the rows are of another run"
    assert anchor(replace(reported("line-1"), time=NOW, uptime_s=1.0, clock_synced=True))


def test_rows_sent_after_the_clock_was_set_are_corrected_at_once(known: Cloud) -> None:
    known.ingest.write([letter(batch(row(1, 40.0), uptime_s=100.0, synced=True))])
    assert stored(known) == {NOW - 60: FLOOR}


def test_rows_sent_before_the_clock_was_set_are_corrected_when_it_is(known: Cloud) -> None:
    known.ingest.write([letter(batch(row(1, 40.0), row(2, 50.0), uptime_s=60.0))])
    assert stored(known) == {FLOOR: None}
    report = replace(reported("line-1", seq=3), time=NOW, uptime_s=100.0, clock_synced=True)
    known.ingest.write([letter(report)])
    assert stored(known) == {NOW - 60: FLOOR, NOW - 50: FLOOR}
    known.ingest.write([letter(replace(report, seq=4, time=NOW + 9))])
    assert stored(known) == {NOW - 60: FLOOR, NOW - 50: FLOOR}, "once is enough"


def test_another_run_of_the_agent_corrects_nothing(known: Cloud) -> None:
    known.ingest.write([letter(batch(row(1, 40.0), uptime_s=60.0))])
    other = reported("line-1", boot_id="next")
    known.ingest.write([letter(replace(other, time=NOW, uptime_s=1.0, clock_synced=True))])
    assert stored(known) == {FLOOR: None}


def test_rows_of_a_right_clock_and_of_an_older_agent_stay_as_they_are(known: Cloud) -> None:
    right, old = row(1, 40.0, time=NOW - 5, synced=True), row(2, None)
    known.ingest.write([letter(batch(right, old, uptime_s=60.0, synced=True))])
    assert stored(known) == {NOW - 5: None, FLOOR: None}


def test_results_are_corrected_too(known: Cloud) -> None:
    result = replace(row(1, 40.0), kind="result", data=msgspec.Raw(b"{}"), slot="probe")
    known.ingest.write([letter(batch(result, uptime_s=60.0))])
    report = replace(reported("line-1", seq=2), time=NOW, uptime_s=100.0, clock_synced=True)
    known.ingest.write([letter(report)])
    (found,) = known.parts.telemetry.results(device="line-1")
    assert (found.time, found.device_time) == (NOW - 60, FLOOR)


@pytest.mark.parametrize(
    ("time", "synced", "expected"),
    [
        (NOW - 3600, True, NOW - 3600),
        (NOW + 10 * 365 * 86_400, False, None),
        (0.0, False, None),
        (NOW + 10 * 365 * 86_400, True, NOW),
    ],
)
def test_a_retained_status_with_a_wrong_clock_makes_nobody_look_alive(
    parts_of_cloud: Cloud, time: float, synced: bool, expected: float | None
) -> None:
    old = replace(status("line-1"), time=time, clock_synced=synced)
    parts_of_cloud.ingest.write([letter(old, is_retained=True)])
    found = parts_of_cloud.parts.devices.get("line-1", NOW)
    assert found.summary.last_seen == expected
