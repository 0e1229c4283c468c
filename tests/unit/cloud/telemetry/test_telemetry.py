"""Ingest, questions and retention, on a real database."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, insert, select

from cloud_sync.broker.session import parse_url
from cloud_sync.config import RetentionSettings
from cloud_sync.db.telemetry_tables import received_rows
from cloud_sync.errors import ConfigError, ContractError, StorageError
from cloud_sync.telemetry.complaints import MAX_KINDS, PERIOD_S, Complaints
from cloud_sync.telemetry.inbox import open_letter
from cloud_sync.telemetry.ingest import MAX_ACK_ROWS, gather_acks
from cloud_sync.telemetry.retention import BATCH_ROWS, DAY_S, clean, nightly
from edge_agent.contract.messages import Ack, CommandResult, Telemetry, TelemetryRow
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import decode, encode
from tests.support.cloud import NOW, Cloud
from tests.support.device import await_value
from tests.support.letters import (
    event_row,
    health,
    letter,
    raw,
    reported,
    result_row,
    status,
    telemetry,
)


@pytest.fixture
def known(parts_of_cloud: Cloud) -> Cloud:
    """A service that knows the device line-1."""
    parts_of_cloud.ingest.write([letter(status("line-1"))])
    parts_of_cloud.line.published.clear()
    parts_of_cloud.line.acknowledged.clear()
    return parts_of_cloud


def acks(made: Cloud) -> list[Ack]:
    topic = control("line-1", Channel.ACK)
    return [decode(Ack, data) for where, data in made.line.published if where == topic]


def test_rows_are_stored_once_however_often_they_come(known: Cloud) -> None:
    batch = telemetry("line-1", event_row(1), result_row(2, {"score": 1}))
    again = telemetry("line-1", event_row(1), result_row(3, {"score": 2}))
    known.ingest.write([letter(batch)])
    known.ingest.write([letter(batch), letter(again)])
    stored = [msgspec.json.decode(r.result) for r in known.parts.telemetry.results()]
    assert stored == [{"score": 2}, {"score": 1}]
    assert len(known.parts.telemetry.events(name="swapped")) == 1
    # Each time it is said again, because the last answer may not have arrived.
    assert [ack.seqs for ack in acks(known)] == [(1, 2), (1, 2, 3)]


def test_a_question_is_answered_with_what_is_committed(known: Cloud) -> None:
    known.ingest.write([letter(telemetry("line-1", event_row(1), result_row(2, 1)))])
    known.line.published.clear()
    question = Telemetry(device="line-1", boot_id="boot", rows=(), question="q-1", asks=(1, 2, 3))
    known.ingest.write([letter(question)])
    assert acks(known) == [Ack(boot_id="boot", seqs=(1, 2), answers="q-1", time=NOW)]
    # Asking makes nothing known: the third is stored when it comes.
    known.ingest.write([letter(telemetry("line-1", result_row(3, 1)))])
    assert len(known.parts.telemetry.results()) == 2


def test_a_question_sees_the_rows_that_came_before_it_in_the_same_batch(known: Cloud) -> None:
    question = Telemetry(device="line-1", boot_id="boot", rows=(), question="q-2", asks=(5, 6))
    report = reported("line-1", seq=6)
    known.ingest.write(
        [letter(telemetry("line-1", event_row(5))), letter(report), letter(question)]
    )
    assert acks(known) == [
        Ack(boot_id="boot", seqs=(5, 6), time=NOW),
        Ack(boot_id="boot", seqs=(5, 6), answers="q-2", time=NOW),
    ]


def test_acknowledgements_of_a_batch_go_together_by_device_and_boot() -> None:
    found = gather_acks(
        [
            ("a", Ack(boot_id="1", seqs=(1, 2))),
            ("b", Ack(boot_id="1", seqs=(1,))),
            ("a", Ack(boot_id="2", seqs=(1,))),
            ("a", Ack(boot_id="1", seqs=(2,), answers="q")),
            ("a", Ack(boot_id="1", seqs=(2, 3))),
            ("a", Ack(boot_id="2", seqs=tuple(range(MAX_ACK_ROWS)))),
        ]
    )
    assert [(device, ack.boot_id, len(ack.seqs), ack.answers) for device, ack in found] == [
        ("a", "1", 3, ""),
        ("b", "1", 1, ""),
        ("a", "2", 1, ""),
        ("a", "1", 1, "q"),
        ("a", "2", MAX_ACK_ROWS, ""),
    ]


def test_the_same_number_of_another_boot_is_another_row(known: Cloud) -> None:
    known.ingest.write([letter(telemetry("line-1", event_row(1), boot_id="b"))])
    known.ingest.write([letter(telemetry("line-1", event_row(1), boot_id="c"))])
    assert len(known.parts.telemetry.events(name="swapped")) == 2


def test_reported_states_are_acknowledged_as_outbox_rows(known: Cloud) -> None:
    known.ingest.write([letter(reported("line-1", seq=9))])
    assert acks(known) == [Ack(boot_id="boot", seqs=(9,), time=NOW)]


def test_nothing_is_acknowledged_that_was_not_committed(
    known: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with known.parts.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE results RENAME TO hidden")
    with pytest.raises(StorageError):
        known.ingest.write([letter(telemetry("line-1", event_row(1), result_row(2, 1)))])
    assert acks(known) == known.line.acknowledged == []
    assert known.parts.telemetry.events(name="swapped") == []


def test_a_message_that_cannot_be_written_costs_only_itself(known: Cloud) -> None:
    # A number that no database column can hold.
    poison = letter(reported("line-1", seq=2**70))
    good = letter(telemetry("line-1", event_row(1)))
    known.line.arriving = [poison, good]
    known.ingest.start()
    await_value(lambda: len(known.line.acknowledged) == 2)
    assert known.ingest.is_alive()
    known.ingest.stop()
    assert [ack.seqs for ack in acks(known)] == [(1,)]


def test_rows_that_cannot_be_stored_are_refused_for_good(known: Cloud) -> None:
    with known.parts.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON results BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    poison = letter(telemetry("line-1", result_row(2, 1), event_row(3)))
    good = letter(telemetry("line-1", event_row(4)))
    known.line.arriving = [poison, good]
    known.ingest.start()
    await_value(lambda: len(known.line.acknowledged) == 2)
    known.ingest.stop()
    # The device may forget the refused ones too, or it would send them for ever.
    assert [ack.seqs for ack in acks(known)] == [(2, 3), (4,)]
    (event,) = known.parts.telemetry.events(name="telemetry_refused")
    assert (event.level, event.detail["code"]) == ("error", "message_poison")
    assert (event.detail["boot_id"], event.detail["rows"]) == ("boot", "2")
    assert known.ingest.malformed == 1
    assert len(known.parts.telemetry.events(name="swapped")) == 1


def test_rows_that_cannot_be_read_are_refused_for_good(known: Cloud) -> None:
    rubbish = b'{"device":"line-1","boot_id":"b","rows":[{"seq":7,"kind":"?"},{"seq":8}],"v":1}'
    report = b'{"device":"line-1","boot_id":"b","seq":9,"slots":5}'
    nameless = b'{"device":"line-1","boot_id":"b","rows":[{"kind":"event"}]}'
    known.ingest.write(
        [
            raw(control("line-1", Channel.TELEMETRY), rubbish),
            raw(control("line-1", Channel.REPORTED), report),
            raw(control("line-1", Channel.TELEMETRY), nameless),
        ]
    )
    assert acks(known) == [Ack(boot_id="b", seqs=(7, 8, 9), time=NOW)]
    assert known.ingest.malformed == 3
    assert len(known.parts.telemetry.events(name="telemetry_refused")) == 1  # and not each time
    known.ingest.write([raw(control("line-2", Channel.TELEMETRY), nameless)])
    assert len(known.parts.telemetry.events(name="malformed_message")) == 1


def test_rows_of_a_newer_contract_wait_for_an_update(known: Cloud) -> None:
    newer = b'{"device":"line-1","boot_id":"b","rows":[{"seq":7,"kind":"new"}],"v":2}'
    known.ingest.write([raw(control("line-1", Channel.TELEMETRY), newer)])
    assert acks(known) == []
    (event,) = known.parts.telemetry.events(name="malformed_message")
    assert event.detail["code"] == "version_newer"


def test_a_complaint_is_not_lost_with_a_transaction_that_is_tried_again(known: Cloud) -> None:
    batch = [
        raw(control("line-1", Channel.HEALTH), b"{"),
        letter(telemetry("line-1", result_row(1, 1))),
    ]
    with known.parts.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE results RENAME TO hidden")
    with pytest.raises(StorageError):
        known.ingest.write(batch)
    with known.parts.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO results")
    known.ingest.write(batch)
    assert known.ingest.malformed == 1
    assert len(known.parts.telemetry.events(name="malformed_message")) == 1


def test_an_unknown_device_keeps_its_rows(parts_of_cloud: Cloud) -> None:
    parts_of_cloud.ingest.write([letter(telemetry("line-1", event_row(1)))])
    assert acks(parts_of_cloud) == []
    assert parts_of_cloud.parts.telemetry.events() == []


def test_malformed_messages_are_counted_and_told_once(known: Cloud) -> None:
    topic = control("line-1", Channel.HEALTH)
    rubbish = [raw(topic, b"{" + bytes([n])) for n in range(50)]
    known.ingest.write([*rubbish, letter(telemetry("line-1", event_row(1)))])
    assert known.ingest.malformed == 50
    events = known.parts.telemetry.events(device="line-1", name="malformed_message")
    assert len(events) == 1
    assert acks(known)[0].seqs == (1,)
    assert len(known.line.acknowledged) == 51  # the broker must not send them for ever


def test_a_device_cannot_speak_for_another(known: Cloud) -> None:
    forged = encode(reported("line-2"))
    known.ingest.write([raw(control("line-1", Channel.REPORTED), forged)])
    event = known.parts.telemetry.events(name="telemetry_refused")[0]
    assert event.detail["code"] == "device_mismatch"


def test_an_event_that_is_none_is_kept_as_such(known: Cloud) -> None:
    row = TelemetryRow(seq=1, kind="event", time=NOW, data=msgspec.Raw(b'{"no":"name"}'))
    known.ingest.write([letter(telemetry("line-1", row))])
    assert known.parts.telemetry.events()[0].name == "malformed_event"
    assert acks(known)[0].seqs == (1,)


def test_health_is_kept_and_the_last_two_give_the_rate(known: Cloud) -> None:
    for number in range(3):
        known.ingest.write([letter(health("line-1", time=NOW + number, rss_mb=float(number)))])
    history = known.parts.telemetry.health("line-1", since=None, limit=2)
    assert [report.rss_mb for report in history] == [2.0, 1.0]
    detail = known.parts.devices.get("line-1", NOW)
    assert detail.health is not None
    assert (detail.health.rss_mb, detail.health_age_s) == (2.0, 0.0)


def test_the_answer_to_a_command_is_an_event(known: Cloud) -> None:
    answer = CommandResult(device="line-1", ok=False, code="conflict", text="no such slot")
    known.ingest.write([letter(answer, message_id="c1")])
    event = known.parts.telemetry.events(name="command_result")[0]
    assert event.detail == {"id": "c1", "code": "conflict"}


def test_events_and_results_are_narrowed(known: Cloud) -> None:
    rows = [event_row(n, name=f"e{n}") for n in range(5)] + [result_row(9, 1)]
    known.ingest.write([letter(telemetry("line-1", *rows))])
    ask = known.parts.telemetry
    ids = [event.id for event in ask.events(name="e*")]
    assert ids == sorted(ids, reverse=True)
    assert [event.name for event in ask.events(name="e*", after_id=ids[2])] == ["e4", "e3"]
    assert ask.events(since=NOW) == []
    assert ask.events(device="") == []
    assert len(ask.events(limit=2)) == 2
    assert len(ask.results(device="line-1", slot="probe")) == 1
    assert ask.results(slot="other") == []


@given(st.binary(max_size=200), st.sampled_from([*Channel]))
def test_any_bytes_are_a_letter_or_a_contract_error(data: bytes, channel: Channel) -> None:
    message_id = "x" if channel in (Channel.RESULT, Channel.COMMAND) else ""
    try:
        open_letter(control("line-1", channel, message_id), data, is_retained=False)
    except ContractError as error:
        assert error.code  # noqa: PT017  # any error of this kind will do


@given(topic=st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_no_topic_stops_the_ingest(parts_of_cloud: Cloud, topic: str) -> None:
    if "\0" not in topic and topic.isascii():
        parts_of_cloud.ingest.write([raw(topic, b"x")])


def test_old_rows_and_surplus_rows_are_deleted(known: Cloud) -> None:
    rows = [event_row(n) for n in range(20)] + [result_row(100 + n, n) for n in range(20)]
    known.ingest.write([letter(telemetry("line-1", *rows)), letter(health("line-1"))])
    ask = known.parts.telemetry
    clean(known.parts.database, RetentionSettings(results_rows=5), NOW + DAY_S)
    assert [msgspec.json.decode(r.result) for r in ask.results()] == [19, 18, 17, 16, 15]
    assert len(ask.events(limit=1000)) == 21
    clean(known.parts.database, RetentionSettings(), NOW + 8 * DAY_S)
    assert ask.health("line-1", since=None, limit=9) == []
    clean(known.parts.database, RetentionSettings(), NOW + 91 * DAY_S)
    assert ask.events() == ask.results() == []


def test_the_memory_of_received_rows_is_bounded_and_deleted_in_batches(known: Cloud) -> None:
    count = 2 * BATCH_ROWS + 10
    with known.parts.database.write() as connection:
        connection.execute(
            insert(received_rows),
            [
                {"device": "line-1", "boot_id": "b", "seq": n, "received": NOW + n}
                for n in range(count)
            ],
        )

    def remembered() -> int:
        with known.parts.database.read() as connection:
            return connection.scalar(select(func.count()).select_from(received_rows)) or 0

    committed: list[object] = []
    event.listen(known.parts.database.engine, "commit", committed.append)
    clean(known.parts.database, RetentionSettings(received_rows=7), NOW + count)
    assert remembered() == 7
    assert len(committed) >= 3
    # The newest are kept: a row that is sent again is still known.
    again = telemetry("line-1", event_row(count - 1), boot_id="b")
    known.ingest.write([letter(again)])
    assert known.parts.telemetry.events(name="swapped") == []
    clean(known.parts.database, RetentionSettings(), NOW + count + 61 * DAY_S)
    assert remembered() == 0


def test_a_night_that_was_missed_is_made_up_once() -> None:
    scheduler = nightly(3, lambda: None)
    scheduler.start(paused=True)
    job = scheduler.get_job("nightly")
    assert (job.misfire_grace_time, job.coalesce) == (None, True)
    scheduler.shutdown(wait=False)


def test_complaints_are_told_again_after_a_while_with_their_number() -> None:
    complaints = Complaints()
    assert complaints.add("a", "x", 0) == 1
    assert [complaints.add("a", "x", n) for n in (1, 2, 3)] == [0, 0, 0]
    assert complaints.add("a", "x", PERIOD_S) == 4
    assert complaints.add("b", "x", 1) == 1
    for number in range(2 * MAX_KINDS):
        complaints.add(str(number), "x", 0)
    assert len(complaints._kinds) == MAX_KINDS
    assert complaints.total == 6 + 2 * MAX_KINDS


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://h", "mqtt://h:1883"),
        ("mqtts://u:p%40ss@h", "mqtts://h:8883"),
        ("mqtt://[::1]:9", "mqtt://[::1]:9"),
    ],
)
def test_broker_urls_are_read_and_shown_without_the_password(url: str, shown: str) -> None:
    assert parse_url(url).url == shown


@pytest.mark.parametrize("url", ["http://h", "mqtt://", "h:1883", "mqtt://h:x", "mqtt://h/path"])
def test_what_is_no_broker_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="broker url expected mqtt://HOST"):
        parse_url(url)


@pytest.mark.parametrize("url", ["tcp://user:secret@h", "mqtt://user:secret/more@h"])
def test_a_wrong_broker_url_does_not_show_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
