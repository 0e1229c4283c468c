"""The outbox: nothing is forgotten before the cloud says so, and the most urgent goes first."""

from pathlib import Path

import pytest

from edge_agent.errors import StorageError
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_policy import OutboxLimits, Priority
from tests.support.outboxes import (
    ack,
    connect,
    disk_bytes,
    due,
    item,
    report,
    rows,
    texts,
)


def test_rows_are_sent_in_order_and_freed_by_an_acknowledgement_only(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    connect(outbox)
    assert outbox.put([item(), item(), item()], 0.0) == [0, 1, 2]
    assert due(outbox) == [0, 1, 2]
    assert due(outbox, now=1.0) == []
    assert not outbox.acknowledge(ack("boot-1", 1, 7))
    outbox.acknowledge(ack("boot-2", 0))
    outbox.tidy(5.0)
    assert outbox.size.rows == 2


def test_nothing_is_sent_before_the_cloud_has_been_heard(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([item()], 0.0)
    outbox.connected()
    assert due(outbox) == []
    question = outbox.question(0.0)
    assert question is not None
    assert question.seqs == ()
    # Asked again after 1, 2, 4 ... 30 s; a late answer to an earlier question is none to this one.
    assert outbox.question(0.9) is None
    assert outbox.question(1.0) is not None
    assert outbox.question(2.9) is None
    again = outbox.question(3.0)
    assert again is not None
    outbox.acknowledge(ack("boot-1", answers=question.id))
    assert due(outbox) == []
    outbox.acknowledge(ack("boot-1", answers=again.id))
    assert due(outbox) == [0]


def test_after_a_lost_connection_only_what_the_cloud_does_not_have_is_sent_again(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    connect(outbox)
    outbox.put([item() for _ in range(5)], 0.0)
    assert due(outbox) == [0, 1, 2, 3, 4]
    outbox.acknowledge(ack("boot-1", 0))
    outbox.connected()
    question = outbox.question(10.0)
    assert question is not None
    assert (question.boot_id, question.seqs) == ("boot-1", (1, 2, 3, 4))
    assert due(outbox, now=10.0) == []
    outbox.acknowledge(ack("boot-1", 1, 2, answers=question.id))
    assert due(outbox, now=10.0) == [3, 4]
    assert outbox.size.resent == 2
    outbox.tidy(20.0)
    assert outbox.size.rows == 2


def test_an_acknowledgement_that_is_overdue_is_asked_for_and_sending_pauses(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(overdue_s=30.0))
    connect(outbox)
    outbox.put([item()], 0.0)
    assert due(outbox) == [0]
    assert outbox.question(29.0) is None
    outbox.put([item()], 29.5)
    question = outbox.question(30.0)
    assert question is not None
    assert question.seqs == (0,)
    assert due(outbox, now=30.0) == []
    outbox.acknowledge(ack("boot-1", 0, answers=question.id))
    assert due(outbox, now=31.0) == [1]
    assert outbox.size.resent == 0


def test_a_service_that_knows_no_questions_gets_everything_again(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    connect(outbox)
    outbox.put([item(), item()], 0.0)
    assert due(outbox) == [0, 1]
    outbox.connected()
    assert outbox.question(1.0) is not None
    outbox.acknowledge(ack("boot-1"))  # of the no rows that came with the question
    assert due(outbox, now=1.0) == [0, 1]


def test_rows_of_an_earlier_run_are_asked_for_and_keep_their_names(tmp_path: Path):
    first = Outbox(tmp_path, "boot-1")
    connect(first)
    first.put([item("sent"), item("lost"), item("alarm", Priority.ALARM)], 0.0)
    rows(first)
    first.close()
    second = Outbox(tmp_path, "boot-2")
    assert second.put([item("new")], 0.0) == [0]
    connect(second)
    assert texts(second) == ["new"]
    alarms = second.question(1.0)
    assert alarms is not None
    assert (alarms.boot_id, alarms.seqs) == ("boot-1", (2,))
    second.acknowledge(ack("boot-1", 2, answers=alarms.id))
    results = second.question(1.0)
    assert results is not None
    assert results.seqs == (0, 1)
    second.acknowledge(ack("boot-1", 0, answers=results.id))
    found = rows(second, now=1.0)
    assert [(row.boot_id, row.seq, row.data) for row in found] == [("boot-1", 1, b"lost")]
    assert second.question(1.0) is None
    second.tidy(9.0)
    assert second.size.rows == 2


def test_the_file_is_opened_by_the_first_use_and_what_came_before_is_not_lost(tmp_path: Path):
    first = Outbox(tmp_path, "boot-1")
    first.put([item("old")], 0.0)
    first.close()
    second = Outbox(tmp_path, "boot-2")
    second.lose(Priority.RESULT, "memory")
    connect(second)
    assert (second.size.rows, second.size.dropped, second.take_damage()) == (0, 1, ())
    assert due(second) == []  # the row of the earlier run is asked for first
    assert (second.size.rows, second.size.dropped) == (1, 1)
    question = second.question(1.0)
    assert question is not None
    assert (question.boot_id, question.seqs) == ("boot-1", (0,))


def test_a_file_that_cannot_be_opened_is_tried_again_by_each_use(tmp_path: Path):
    (tmp_path / OUTBOX_FILE).mkdir()
    outbox = Outbox(tmp_path, "boot-1")
    for use in (outbox.open, lambda: outbox.put([item()], 0.0), lambda: outbox.tidy(0.0)):
        with pytest.raises(StorageError):
            use()
    outbox.lose(Priority.RESULT, "memory")
    (tmp_path / OUTBOX_FILE).rmdir()
    assert outbox.put([item()], 1.0) == [0]
    assert (outbox.size.rows, outbox.size.dropped) == (1, 1)


def test_an_outbox_that_was_never_opened_can_be_closed(tmp_path: Path):
    Outbox(tmp_path, "boot-1").close()
    assert list(tmp_path.iterdir()) == []


def test_thousands_of_rows_of_earlier_runs_are_asked_for_in_bounded_messages(tmp_path: Path):
    first = Outbox(tmp_path, "boot-1")
    first.put([item() for _ in range(1700)], 0.0)
    first.close()
    second = Outbox(tmp_path, "boot-2")
    connect(second)
    asked: list[int] = []
    while question := second.question(1.0):
        assert len(question.seqs) <= 500
        asked += question.seqs
        second.acknowledge(ack("boot-1", *question.seqs, answers=question.id))
    assert asked == list(range(1700))
    second.tidy(9.0)
    assert second.size.rows == 0


def test_a_newer_report_replaces_one_that_waits_and_needs_no_disk(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([report("1"), item("event")], 0.0)
    before = disk_bytes(tmp_path)
    outbox.put([report("22")], 0.0)
    assert disk_bytes(tmp_path) == before
    connect(outbox)
    assert [(row.seq, row.data) for row in rows(outbox)] == [(2, b"22"), (1, b"event")]
    assert outbox.size.bytes == len("event") + 2
    assert outbox.size.dropped == 0


def test_a_report_is_repeated_until_it_is_acknowledged(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    outbox.put([report()], 0.0)
    for now in (0.0, 100.0, 200.0):
        connect(outbox, now)
        assert due(outbox, now) == [0]
    outbox.acknowledge(ack("boot-1", 0))
    connect(outbox, 300.0)
    assert due(outbox, 300.0) == []
    assert outbox.size.rows == 0


def test_new_rows_go_before_the_backlog_and_alarms_before_results(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(backlog_rows_per_s=2))
    capture, result, alarm, control = reversed(Priority)
    outbox.put([item("old sample", capture), item("old result", result)], 0.0)
    outbox.put([item("old alarm", alarm), item("old order", control)], 0.0)
    connect(outbox)
    outbox.put([item("sample", capture), item("result", result), item("alarm", alarm)], 0.0)
    # A second's worth of the backlog at once, then as many as the time allows.
    assert texts(outbox) == ["old order", "alarm", "old alarm", "result", "sample", "old result"]
    assert texts(outbox, now=0.4) == []
    assert texts(outbox, now=0.6) == ["old sample"]


def test_the_backlog_keeps_its_pace(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(backlog_rows_per_s=10, max_in_flight=1000))
    outbox.put([item() for _ in range(100)], 0.0)
    connect(outbox)
    sent = [len(due(outbox, now=0.1 * step)) for step in range(51)]
    assert sum(sent) == 60
    assert max(sent[1:]) <= 2


def test_what_is_in_flight_is_bounded_and_alarms_have_a_place_kept(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(max_in_flight=4))
    connect(outbox)
    outbox.put([item() for _ in range(6)], 0.0)
    assert due(outbox, limit=2) == [0, 1]
    assert due(outbox, limit=2) == [2]
    assert due(outbox, limit=2) == []
    outbox.put([item("alarm", Priority.ALARM)], 0.0)
    assert due(outbox, limit=2) == [6]
    # Something waits for room, until nothing does.
    assert outbox.acknowledge(ack("boot-1", 0, 1))
    assert due(outbox, limit=2) == [3]
    outbox.acknowledge(ack("boot-1", 2, 3, 6))
    assert due(outbox) == [4, 5]
    assert not outbox.acknowledge(ack("boot-1", 4))


def test_a_batch_has_a_size_but_always_one_row(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    connect(outbox)
    outbox.put([item("x" * 50), item("y" * 50)], 0.0)
    assert len(outbox.due(0, limit=9, max_bytes=10)) == 1


def test_what_could_not_be_sent_is_due_again(tmp_path: Path):
    outbox = Outbox(tmp_path, "boot-1")
    connect(outbox)
    outbox.put([item(), item()], 0.0)
    outbox.not_sent(outbox.due(0, limit=1, max_bytes=999))
    assert sorted(due(outbox) + due(outbox)) == [0, 1]
    assert outbox.size.resent == 0
