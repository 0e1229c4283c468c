"""The outbox: nothing is forgotten before the cloud says so, and nothing grows without bound."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.store.outbox import Kind, Outbox, OutboxItem


def item(text: str = "x", kind: Kind = "event") -> OutboxItem:
    return OutboxItem(kind=kind, time=1.0, data=text.encode(), slot="m")


def due(outbox: Outbox, now: float = 0.0, limit: int = 100) -> list[int]:
    return [row.seq for row in outbox.due(now, limit=limit, max_bytes=10_000)]


def test_rows_are_sent_in_order_and_freed_by_an_acknowledgement_only(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    assert outbox.put([item(), item(), item()]) == [0, 1, 2]
    assert due(outbox) == [0, 1, 2]
    assert due(outbox, now=1.0) == []
    assert outbox.acknowledge("boot-1", [1, 7]) == 1
    assert outbox.acknowledge("boot-2", [0]) == 0
    assert outbox.size.rows == 2
    assert due(outbox, now=31.0) == [0, 2]


def test_rows_of_an_earlier_run_keep_their_names(tmp_path: Path):
    first = Outbox(tmp_path, "boot-1")
    first.put([item("old")])
    first.close()
    second = Outbox(tmp_path, "boot-2")
    assert second.put([item("new")]) == [0]
    assert [row.boot_id for row in second.due(0, limit=9, max_bytes=999)] == ["boot-1"]
    assert [row.boot_id for row in second.due(0, limit=9, max_bytes=999)] == ["boot-2"]
    second.acknowledge("boot-1", [0])
    assert second.size.rows == 1


def test_a_newer_report_replaces_one_that_waits(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([item("1", "reported"), item("event")])
    outbox.put([item("22", "reported")])
    rows = outbox.due(0, limit=9, max_bytes=999)
    assert [(row.seq, row.data) for row in rows] == [(1, b"event"), (2, b"22")]
    assert outbox.size.bytes == len("event") + 2
    assert outbox.size.dropped == 0


def test_the_oldest_results_are_dropped_first_and_counted(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", max_rows=3)
    outbox.put([item("report", "reported"), item("event"), item("r1", "result")])
    outbox.put([item("r2", "result")])
    outbox.put([item("r3", "result")])
    data = [row.data for row in outbox.due(0, limit=9, max_bytes=999)]
    assert data == [b"report", b"event", b"r3"]
    assert (outbox.size.rows, outbox.size.dropped) == (3, 2)
    outbox.close()
    assert Outbox(tmp_path, "boot-2").size.dropped == 2


def test_bytes_are_bounded_too(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", max_bytes=100)
    outbox.put([item("x" * 60, "result"), item("y" * 60, "result")])
    assert [row.data[:1] for row in outbox.due(0, limit=9, max_bytes=999)] == [b"y"]


def test_what_no_message_can_carry_is_refused_and_counted(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    big = [item("x" * MAX_ROW_BYTES), item("x" * (MAX_ROW_BYTES + 1))]
    assert outbox.put([*big, item()]) == [0, 1]
    assert (outbox.size.rows, outbox.size.dropped) == (2, 1)
    outbox.close()
    assert Outbox(tmp_path, "boot-2").size.dropped == 1


def test_what_was_lost_before_the_disk_took_it_is_counted_at_once_and_kept(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.lose("event", 2)
    assert outbox.size.dropped == 2
    outbox.put([item()])
    assert outbox.size.dropped == 2
    outbox.close()
    assert Outbox(tmp_path, "boot-2").size.dropped == 2


def test_counts_stay_right_when_rows_come_and_go_on_two_threads(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    with ThreadPoolExecutor(2) as pool:
        for _ in range(100):
            (seq,) = outbox.put([item("xy")])
            done = pool.submit(outbox.acknowledge, "boot-1", [seq])
            outbox.put([item("z")])
            done.result(10)
    rows = outbox.due(0, limit=512, max_bytes=10_000)
    assert (outbox.size.rows, outbox.size.bytes) == (len(rows), len(rows)) == (100, 100)


def test_what_is_in_flight_is_bounded(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", max_in_flight=3)
    outbox.put([item() for _ in range(5)])
    assert due(outbox, limit=2) == [0, 1]
    assert due(outbox, limit=2) == [2]
    assert due(outbox, limit=2) == []
    outbox.acknowledge("boot-1", [0])
    assert due(outbox, limit=2) == [3]


def test_a_batch_has_a_size_but_always_one_row(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([item("x" * 50), item("y" * 50)])
    assert len(outbox.due(0, limit=9, max_bytes=10)) == 1


def test_after_a_reconnect_or_a_failed_sending_rows_are_due_again(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([item(), item()])
    rows = outbox.due(0, limit=1, max_bytes=999)
    outbox.not_sent(rows)
    assert due(outbox) == [0, 1]
    outbox.forget_sendings()
    assert due(outbox) == [0, 1]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["event", "result", "reported"]), st.integers(0, 40), st.booleans()
        ),
        max_size=25,
    )
)
def test_counts_are_right_and_bounds_hold_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Kind, int, bool]]
):
    folder = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(folder, "boot", max_rows=6, max_bytes=100)
    for kind, length, is_acknowledged in steps:
        (seq,) = outbox.put([item("x" * length, kind)])
        if is_acknowledged:
            outbox.acknowledge("boot", [seq])
        assert outbox.size.rows <= 6
        assert outbox.size.bytes <= 140  # the one report is kept beyond the bound
    rows, size = outbox.size.rows, outbox.size.bytes
    outbox.close()
    again = Outbox(folder, "next")
    assert (again.size.rows, again.size.bytes) == (rows, size)
    again.close()
