"""What waits for the disk and the cloud: bounded, in order, and counted when it has to go."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.contract.messages import Ack, Event, Health, Telemetry
from edge_agent.contract.state import ReportedState
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import MAX_ROW_BYTES, decode
from edge_agent.daemon.gathering import Gathering
from edge_agent.daemon.uplink import Uplink
from edge_agent.errors import StorageError
from edge_agent.link.broker import BrokerLink
from edge_agent.link.session import CloudSession, SessionEvents, Will
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_policy import OutboxLimits, Priority
from edge_agent.store.outbox_row import OutboxItem
from tests.support.letters import reported
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for

TELEMETRY = control("line-1", Channel.TELEMETRY)
REPORTED = control("line-1", Channel.REPORTED)


class AnsweringCloud(CloudSession):
    """Takes everything and keeps it, and answers questions; rows are acknowledged if told so."""

    def __init__(self, *, acknowledges: bool = False) -> None:
        super().__init__(
            BrokerLink(url="mqtt://127.0.0.1:1"),
            "line-1",
            filters=(),
            clock=RealClock(),
            make_will=lambda: Will(topic="", payload=b""),
            events=SessionEvents(
                on_connected=lambda _present: None,
                on_disconnected=lambda _reason: None,
                on_message=lambda _topic, _payload: None,
            ),
        )
        self.acknowledges = acknowledges
        self.published: list[tuple[str, bytes]] = []
        self.uplink: Uplink | None = None

    @property
    def is_connected(self) -> bool:
        return True

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        self.published.append((topic, payload))
        if topic == TELEMETRY:
            self._answer(decode(Telemetry, payload))
        elif topic == REPORTED:
            report = decode(ReportedState, payload)
            self._acknowledge(report.boot_id, (report.seq,))
        return True

    def results(self) -> list[bytes]:
        messages = [data for topic, data in list(self.published) if topic == TELEMETRY]
        rows = [row for data in messages for row in decode(Telemetry, data).rows]
        return [bytes(row.data) for row in rows if row.kind == "result"]

    def reports(self) -> list[ReportedState]:
        messages = [data for topic, data in list(self.published) if topic == REPORTED]
        return [decode(ReportedState, data) for data in messages]

    def _answer(self, message: Telemetry) -> None:
        assert self.uplink is not None
        if message.question:
            self.uplink.acknowledged(
                Ack(boot_id=message.boot_id, seqs=(), answers=message.question)
            )
        else:
            self._acknowledge(message.boot_id, tuple(row.seq for row in message.rows))

    def _acknowledge(self, boot_id: str, seqs: tuple[int, ...]) -> None:
        if self.acknowledges and self.uplink is not None:
            self.uplink.acknowledged(Ack(boot_id=boot_id, seqs=seqs))


class FullDisk(Outbox):
    """Refuses rows until there is space; meanwhile more of them arrive."""

    before_refusing: Callable[[], None] | None = None

    def put(self, items: Sequence[OutboxItem], now: float) -> list[int]:
        if self.before_refusing is not None and items[0].kind != "reported":
            self.before_refusing()
            raise StorageError("no space", code="disk_full")
        return super().put(items, now)


def make_uplink(
    outbox: Outbox,
    session: AnsweringCloud,
    gathering: Gathering | None = None,
    *,
    takes_captures: bool = True,
) -> Uplink:
    uplink = Uplink(
        "line-1",
        outbox=outbox,
        session=session,
        clock=RealClock(),
        make_report=lambda seq: reported("line-1", seq=seq, boot_id=outbox.boot_id),
        make_health=lambda every: Health(
            device="line-1", boot_id="b", time=0.0, uptime_s=0.0, interval_s=every
        ),
        interval_s=60.0,
        gathering=gathering,
        takes_captures=lambda: takes_captures,
    )
    session.uplink = uplink
    return uplink


def test_what_finds_no_room_in_memory_is_counted_as_dropped(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "boot-1")
    session = AnsweringCloud()
    uplink = make_uplink(outbox, session, Gathering(max_rows=3))
    for number in range(5):
        uplink.result("probe", str(number).encode())
    assert outbox.size.classes["result"].dropped == {"memory": 2}
    uplink.start()
    wait_for(lambda: session.results() == [b"2", b"3", b"4"], 30)
    uplink.stop()


def test_what_comes_while_the_disk_refuses_pushes_the_oldest_out_counted(tmp_path: Path) -> None:
    outbox = FullDisk(tmp_path, "boot-1")
    session = AnsweringCloud()
    uplink = make_uplink(outbox, session, Gathering(max_rows=3))
    for number in range(3):
        uplink.result("probe", str(number).encode())
    late = iter([b"3", b"4"])

    def more_arrives() -> None:
        for result in late:
            uplink.result("probe", result)

    outbox.before_refusing = more_arrives
    uplink.start()
    wait_for(lambda: outbox.size.dropped == 2, 30)
    # A disk that takes nothing does not keep the state of the device from the cloud.
    wait_for(session.reports, 30)
    outbox.before_refusing = None
    wait_for(lambda: session.results() == [b"2", b"3", b"4"], 30)
    uplink.stop()


def test_in_memory_too_results_go_before_alarms() -> None:
    gathering = Gathering(max_rows=3, max_bytes=1000)

    def item(text: str, priority: Priority) -> OutboxItem:
        return OutboxItem(kind="event", time=0.0, data=text.encode(), priority=priority)

    gone = gathering.add(item("alarm", Priority.ALARM))
    gone += gathering.add(item("old", Priority.RESULT))
    gone += gathering.add(item("sample", Priority.CAPTURE))
    gone += gathering.add(item("new", Priority.RESULT))
    gone += gathering.add(item("last", Priority.RESULT))
    assert [found.data for found in gone] == [b"sample", b"old"]
    gone = gathering.add(item("x" * 995, Priority.ALARM))
    assert [found.data for found in gone] == [b"new", b"last"]
    taken = gathering.take(max_rows=9, max_bytes=10)
    assert [found.data[:5] for found in taken] == [b"alarm"]
    assert gathering.put_back(taken) == []
    assert [len(found.data) for found in gathering.take(max_rows=9, max_bytes=9999)] == [5, 995]


def test_every_message_with_rows_can_be_read_by_the_cloud(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "boot-1", OutboxLimits(backlog_rows_per_s=1000))
    session = AnsweringCloud(acknowledges=True)
    uplink = make_uplink(outbox, session)
    sizes = [MAX_ROW_BYTES, 200_000, 200_000, *[10] * 150, MAX_ROW_BYTES + 1, 10]
    for size in sizes:
        uplink.result("m" * 63, b'"' + b"x" * (size - 2) + b'"')
    uplink.start()
    wait_for(lambda: len(session.results()) == len(sizes) - 1, 30)
    uplink.stop()
    assert outbox.size.dropped == 1


def test_samples_are_left_out_while_the_disk_is_low(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "boot-1")
    session = AnsweringCloud()
    uplink = make_uplink(outbox, session, takes_captures=False)
    uplink.result("probe", b"1", is_sample=True)
    uplink.result("probe", b"2")
    uplink.start()
    wait_for(lambda: session.results() == [b"2"], 30)
    uplink.stop()
    assert outbox.size.classes["capture"].dropped == {"disk_low": 1}


def test_a_report_that_says_nothing_new_is_not_sent_unless_somebody_asks(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "boot-1")
    session = AnsweringCloud(acknowledges=True)
    uplink = make_uplink(outbox, session)
    uplink.start()
    wait_for(lambda: len(session.reports()) == 1, 30)
    uplink.report_soon()
    uplink.event(Event(name="marker", level="warning"))
    wait_for(lambda: any(session_rows(session)), 30)
    assert len(session.reports()) == 1
    uplink.report_now()
    wait_for(lambda: len(session.reports()) == 2, 30)
    uplink.reconnected()
    wait_for(lambda: len(session.reports()) == 3, 30)
    uplink.stop()


def test_everything_acknowledged_leaves_nothing_behind(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "boot-1")
    session = AnsweringCloud(acknowledges=True)
    uplink = make_uplink(outbox, session)
    uplink.start()
    for number in range(300):
        uplink.result("probe", str(number).encode())
    wait_for(lambda: outbox.size.rows == 0 and len(session.results()) == 300, 30)
    uplink.stop()
    assert sorted(map(int, session.results())) == list(range(300))


def session_rows(session: AnsweringCloud) -> list[str]:
    messages = [data for topic, data in list(session.published) if topic == TELEMETRY]
    return [row.kind for data in messages for row in decode(Telemetry, data).rows]


def test_a_row_whose_page_rotted_holds_up_none_of_those_beside_it(tmp_path: Path) -> None:
    """In a message it would make the whole message unreadable, for ever."""
    outbox = Outbox(tmp_path, "boot-1")
    items = [OutboxItem(kind="result", time=1.0, data=b'{"n":%d}' % n) for n in range(3)]
    outbox.put(items, 0.0)
    outbox.close()
    with sqlite3.connect(tmp_path / OUTBOX_FILE) as connection:
        connection.execute("UPDATE rows SET data = ? WHERE seq = 1", (b'{"n"\xff1}',))
    connection.close()
    outbox = Outbox(tmp_path, "boot-1")
    session = AnsweringCloud(acknowledges=True)
    uplink = make_uplink(outbox, session)
    uplink.reconnected()
    wait_for(lambda: uplink.round() and len(session.results()) == 2, 30)
    assert session.results() == [b'{"n":0}', b'{"n":2}']
    assert outbox.size.classes["result"].dropped == {"damaged": 1}
    wait_for(lambda: uplink.round() and outbox.size.rows == 0, 30)
    outbox.close()
