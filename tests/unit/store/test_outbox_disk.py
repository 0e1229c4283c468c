"""The outbox on its disk: nothing grows without bound, and damage costs what was damaged."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_policy import OutboxLimits, Priority
from edge_agent.store.outbox_table import MIGRATIONS
from tests.support.outboxes import (
    MB,
    ack,
    connect,
    disk_bytes,
    due,
    flushed,
    item,
    opened,
    report,
    rows,
    texts,
)


def test_results_never_push_out_an_alarm(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(max_bytes=MB))
    outbox.put([item("a" * 1000, Priority.ALARM) for _ in range(20)], 0.0)
    for _ in range(40):
        outbox.put([item("r" * 1000) for _ in range(20)], 0.0)
    classes = outbox.size.classes
    assert classes["alarm"].rows == 20
    assert classes["alarm"].dropped == {}
    assert classes["result"].dropped["full"] == 800 - classes["result"].rows > 500
    outbox.close()
    again = opened(tmp_path, "boot-2")
    assert again.size.classes == classes
    assert again.size.dropped == classes["result"].dropped["full"]


def test_the_oldest_samples_go_before_any_result(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(max_bytes=MB))
    outbox.put([item(f"{n:04}" + "s" * 1000, Priority.CAPTURE) for n in range(60)], 0.0)
    outbox.put([item("r" * 1000) for _ in range(100)], 0.0)
    classes = outbox.size.classes
    assert classes["result"].rows == 100
    assert 0 < classes["capture"].rows < 60
    connect(outbox)
    found = [row for n in range(9) for row in outbox.due(float(n), limit=200, max_bytes=MB)]
    samples = [row.data[:4].decode() for row in found if row.priority is Priority.CAPTURE]
    assert samples == [f"{n:04}" for n in range(60 - classes["capture"].rows, 60)]


def test_a_flood_of_alarms_takes_its_share_and_no_more(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(max_bytes=MB))
    outbox.put([item("r" * 1000) for _ in range(50)], 0.0)
    outbox.put([item(f"{n}" + "a" * 1000, Priority.ALARM) for n in range(200)], 0.0)
    classes = outbox.size.classes
    assert classes["result"].rows == 50
    assert set(classes["alarm"].dropped) == {"quota"}
    assert 20 < classes["alarm"].rows < 100


@pytest.mark.parametrize("length", [10, 900, 30_000])
def test_the_files_never_take_more_than_the_bound(tmp_path: Path, length: int):
    bound = 2 * MB
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(max_bytes=bound))
    largest = 0
    chunk = max(2, min(500, 60_000 // length))
    for step in range(3 * bound // (chunk * (length + 100))):
        priority = list(Priority)[step % 4]
        seqs = outbox.put([item("x" * length, priority) for _ in range(chunk)], float(step))
        outbox.acknowledge(ack("boot-1", *seqs[::7]))
        outbox.tidy(float(step))
        largest = max(largest, disk_bytes(tmp_path))
    assert largest <= bound
    assert outbox.size.rows > 10
    outbox.close()


def test_an_outbox_that_was_full_and_is_empty_gives_the_space_back(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(max_bytes=8 * MB))
    seqs = [seq for n in range(60) for seq in outbox.put([item("x" * 1000)] * 100, float(n))]
    outbox.put([item("kept", Priority.ALARM)], 60.0)
    assert disk_bytes(tmp_path) > 3 * MB
    outbox.acknowledge(ack("boot-1", *seqs))
    outbox.tidy(100.0)
    assert disk_bytes(tmp_path) < MB / 2
    connect(outbox)
    assert texts(outbox) == ["kept"]


def test_what_is_not_urgent_is_flushed_in_time_and_only_if_the_cloud_does_not_have_it(
    tmp_path: Path,
):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(flush_s=5.0))
    outbox.put([item(), item()], 0.0)
    outbox.put([item()], 1.0)
    outbox.tidy(4.9)
    assert flushed(tmp_path) == 0
    outbox.tidy(5.0)
    assert flushed(tmp_path) == 3
    seqs = outbox.put([item(), item()], 6.0)
    outbox.acknowledge(ack("boot-1", *seqs))
    outbox.tidy(20.0)
    assert flushed(tmp_path) == 3
    # An alarm is flushed with its transaction, and takes all before it along.
    outbox.put([item()], 30.0)
    outbox.put([item("alarm", Priority.ALARM)], 31.0)
    outbox.tidy(50.0)
    assert flushed(tmp_path) == 3


def test_what_no_message_can_carry_is_refused_and_counted(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    big = [item("x" * MAX_ROW_BYTES), item("x" * (MAX_ROW_BYTES + 1))]
    assert outbox.put([*big, item()], 0.0) == [0, 1]
    assert outbox.size.classes["result"].dropped == {"too_large": 1}
    outbox.close()
    assert opened(tmp_path, "boot-2").size.dropped == 1


def test_what_was_lost_before_the_disk_took_it_is_counted_at_once_and_kept(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.lose(Priority.RESULT, "memory", 2)
    assert outbox.size.dropped == 2
    outbox.put([item()], 0.0)
    assert outbox.size.dropped == 2
    outbox.close()
    assert opened(tmp_path, "boot-2").size.classes["result"].dropped == {"memory": 2}


def test_counts_stay_right_when_rows_come_and_go_on_two_threads(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            (seq,) = outbox.put([item("xy")], float(number))
            done = pool.submit(outbox.acknowledge, ack("boot-1", seq))
            outbox.put([item("z")], float(number))
            done.result(10)
    outbox.tidy(1000.0)
    assert (outbox.size.rows, outbox.size.bytes) == (100, 100)


def test_an_outbox_of_the_first_version_keeps_its_rows(tmp_path: Path):
    with sqlite3.connect(tmp_path / OUTBOX_FILE) as connection:
        for statement in MIGRATIONS[0].split(";"):
            connection.execute(statement)
        connection.executemany(
            "INSERT INTO rows (boot_id, seq, kind, time, slot, data) "
            "VALUES ('b', ?, ?, 1.0, 'm', ?)",
            [
                (0, "reported", b'{"device":"d"}'),
                (1, "event", b'{"detail":{},"level":"error","name":"worker_crashed","text":""}'),
                (2, "event", b'{"detail":{},"level":"info","name":"slot_active","text":""}'),
                (3, "event", b'{"detail":{},"level":"info","name":"other","text":""}'),
                (4, "result", b'{"y":1}'),
            ],
        )
        connection.execute("INSERT INTO dropped VALUES ('result', 7)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    outbox = opened(tmp_path, "boot-2")
    assert {name: found.rows for name, found in outbox.size.classes.items()} == {
        "control": 1,
        "alarm": 1,
        "result": 2,
        "capture": 0,
    }
    assert outbox.size.classes["result"].dropped == {"full": 7}
    connect(outbox)
    sent: list[int] = []
    while question := outbox.question(1.0):
        outbox.acknowledge(ack("b", answers=question.id))
        sent += due(outbox, now=1.0)
    assert sent == [2, 1, 3, 4]


def test_a_file_that_turns_out_to_be_damaged_is_set_aside_and_the_rest_goes_on(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([item("alarm", Priority.ALARM)], 0.0)
    for number in range(50):  # far more than SQLite keeps in memory
        outbox.put([item("x" * 1000)] * 40, float(number))
    outbox.close()
    again = opened(tmp_path, "boot-2")
    file = tmp_path / OUTBOX_FILE
    with file.open("r+b") as raw:
        raw.seek(100)
        raw.write(b"\xff" * (file.stat().st_size - 100))
    # Whoever reads or writes first finds it: here the reading of what is to be asked for.
    connect(again)
    again.question(1.0)
    again.put([item("new")], 1.0)
    assert again.size.classes["result"].rows == 1
    assert again.size.classes["result"].dropped == {"damaged": 2000}
    assert again.size.classes["alarm"].dropped == {"damaged": 1}
    assert len(again.take_damage()) == 1
    connect(again, 2.0)
    assert texts(again, 2.0) == ["new"]


@pytest.mark.parametrize(
    "rot",
    [
        "UPDATE rows SET priority = 9 WHERE seq = 2",
        "UPDATE rows SET time = 'noon' WHERE seq = 0",
        "UPDATE rows SET slot = x'ff' WHERE seq = 0",
        "UPDATE rows SET data = 'text' WHERE seq = 0",
        "UPDATE rows SET data = 5 WHERE seq = 0",
        "INSERT INTO drops VALUES (9, 'full', 1)",
        "INSERT INTO drops VALUES (1, 'full', 'many')",
    ],
)
def test_a_row_that_makes_no_sense_is_damage_too(tmp_path: Path, rot: str):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([item("a"), item("b"), item("c")], 0.0)
    outbox.close()
    with sqlite3.connect(tmp_path / OUTBOX_FILE) as connection:
        connection.execute(rot)
    connection.close()
    again = Outbox(tmp_path, "boot-2")
    connect(again)
    while question := again.question(0.0):
        again.acknowledge(ack(question.boot_id, answers=question.id))
    rows(again)
    assert len(again.take_damage()) == 1
    again.put([item("new")], 1.0)
    connect(again, 2.0)
    assert texts(again, 2.0) == ["new"]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*Priority, None]),
            st.integers(0, 60_000),
            st.sampled_from(["", "acknowledge", "tidy", "connect", "send"]),
        ),
        max_size=25,
    )
)
def test_counts_are_right_and_bounds_hold_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Priority | None, int, str]]
):
    folder = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(folder, "boot", OutboxLimits(max_bytes=MB))
    for number, (priority, length, then) in enumerate(steps):
        now = 2.0 * number
        new = report("x" * length) if priority is None else item("x" * length, priority)
        (seq,) = outbox.put([new], now)
        if then == "acknowledge":
            outbox.acknowledge(ack("boot", seq))
        elif then == "tidy":
            outbox.tidy(now)
        elif then == "connect":
            connect(outbox, now)
        elif then == "send":
            due(outbox, now)
        assert disk_bytes(folder) <= MB
    outbox.acknowledge(ack("boot", *(n for n, step in enumerate(steps) if step[0] is None)))
    outbox.tidy(1000.0)
    found = outbox.size
    outbox.close()
    again = opened(folder, "next")
    assert (again.size.rows, again.size.bytes) == (found.rows, found.bytes)
    assert again.size.classes == found.classes
    again.close()
