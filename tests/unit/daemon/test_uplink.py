"""What waits for the disk and the cloud: bounded, in order, and counted when it has to go."""

from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.contract.messages import Health, Telemetry
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import MAX_ROW_BYTES, decode
from edge_agent.daemon.uplink import Uplink
from edge_agent.errors import StorageError
from edge_agent.link.broker import BrokerLink
from edge_agent.link.session import CloudSession, SessionEvents, Will
from edge_agent.store.outbox import Outbox, OutboxItem
from tests.support.letters import reported
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for


class OpenSession(CloudSession):
    """Takes everything and keeps it."""

    def __init__(self) -> None:
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
        self.published: list[tuple[str, bytes]] = []

    @property
    def is_connected(self) -> bool:
        return True

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        self.published.append((topic, payload))
        return True


class FullDisk(Outbox):
    """Refuses rows until there is space; meanwhile more of them arrive."""

    before_refusing: Callable[[], None] | None = None

    def put(self, items: Sequence[OutboxItem]) -> list[int]:
        if self.before_refusing is not None:
            self.before_refusing()
            raise StorageError("no space", code="disk_full")
        return super().put(items)


def make_uplink(outbox: Outbox, session: CloudSession, max_gathered: int = 10_000) -> Uplink:
    return Uplink(
        "line-1",
        outbox=outbox,
        session=session,
        clock=RealClock(),
        make_report=lambda seq: reported("line-1", seq=seq),
        make_health=lambda every: Health(
            device="line-1", boot_id="b", time=0.0, uptime_s=0.0, interval_s=every
        ),
        interval_s=60.0,
        max_gathered=max_gathered,
    )


def waiting(outbox: Outbox) -> list[bytes]:
    rows = outbox.due(1e9, limit=100, max_bytes=100_000)
    return [row.data for row in rows if row.kind == "result"]


def test_what_finds_no_room_in_memory_is_counted_as_dropped(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "boot-1")
    uplink = make_uplink(outbox, OpenSession(), max_gathered=3)
    for number in range(5):
        uplink.result("probe", 0.0, str(number).encode())
    assert outbox.size.dropped == 2
    uplink.start()
    wait_for(lambda: outbox.size.rows == 4)  # three results, one report
    uplink.stop()
    assert waiting(outbox) == [b"2", b"3", b"4"]


def test_what_comes_while_the_disk_refuses_pushes_the_oldest_out_counted(tmp_path: Path) -> None:
    outbox = FullDisk(tmp_path, "boot-1")
    uplink = make_uplink(outbox, OpenSession(), max_gathered=3)
    for number in range(3):
        uplink.result("probe", 0.0, str(number).encode())
    late = iter([b"3", b"4"])

    def more_arrives() -> None:
        for result in late:
            uplink.result("probe", 0.0, result)

    outbox.before_refusing = more_arrives
    uplink.start()
    wait_for(lambda: outbox.size.dropped == 2)
    outbox.before_refusing = None
    wait_for(lambda: outbox.size.rows == 4)
    uplink.stop()
    assert waiting(outbox) == [b"2", b"3", b"4"]


def test_every_message_with_rows_can_be_read_by_the_cloud(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "boot-1")
    session = OpenSession()
    uplink = make_uplink(outbox, session)
    sizes = [MAX_ROW_BYTES, 200_000, 200_000, *[10] * 150, MAX_ROW_BYTES + 1, 10]
    for size in sizes:
        uplink.result("m" * 63, 0.0, b'"' + b"x" * (size - 2) + b'"')
    uplink.start()

    def rows() -> int:
        topic = control("line-1", Channel.TELEMETRY)
        found = [decode(Telemetry, data) for at, data in list(session.published) if at == topic]
        return sum(len(message.rows) for message in found)

    wait_for(lambda: rows() == len(sizes) - 1)
    uplink.stop()
    assert outbox.size.dropped == 1
