"""The uplink loop: what the cloud must hear goes into the outbox, and from there to the broker.

One thread. Others only leave things with it: events, results, "the state has changed". It writes
what has gathered in one transaction a round; an alarm or what became of an order ends the round.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Raw, structs

from edge_agent.contract.messages import Ack, Event, Health, Telemetry, TelemetryRow
from edge_agent.contract.state import ReportedState
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode
from edge_agent.daemon.gathering import Gathering
from edge_agent.daemon.status import RecentEvent
from edge_agent.errors import ShoalError
from edge_agent.link.reconnect import health_delay_s
from edge_agent.store.clock import Clock
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_policy import DropReason, Priority, event_priority
from edge_agent.store.outbox_row import OutboxItem, OutboxRow

log: Final = logging.getLogger("edge_agent.uplink")

GATHER_S: Final = 0.5
HURRY_S: Final = 0.05
"""A flood of alarms costs no more flushes than one each so many seconds."""

IDLE_S: Final = 1.0
WRITE_ROWS: Final = 1_000
WRITE_BYTES: Final = 256 * 1024
RECENT_EVENTS: Final = 50
BATCH_ROWS: Final = 100
BATCH_BYTES: Final = 256 * 1024


class Line(Protocol):
    """As much of the session with the cloud as it takes to send."""

    @property
    def is_connected(self) -> bool:
        """Whether messages can be published now."""
        ...

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand a message over; false if it was not taken."""
        ...


def always() -> bool:
    """For a device whose disk nobody watches."""
    return True


class Uplink:
    """Sends events, results, reports and health. Other threads may call everything but `_run`.

    Args:
        device: its name.
        outbox: where rows wait.
        session: the way to the cloud.
        clock: for intervals, and the times of events.
        make_report: builds the reported state with the sequence number it is given.
        make_health: builds the health report.
        interval_s: seconds between two health reports.
        gathering: what waits in memory for the disk; None for one of the usual size.
        takes_captures: whether there is room for samples.
    """

    def __init__(
        self,
        device: str,
        *,
        outbox: Outbox,
        session: Line,
        clock: Clock,
        make_report: Callable[[int], ReportedState],
        make_health: Callable[[float], Health],
        interval_s: float,
        gathering: Gathering | None = None,
        takes_captures: Callable[[], bool] = always,
    ) -> None:
        self._device = device
        self._outbox = outbox
        self._session = session
        self._clock = clock
        self._make_report = make_report
        self._make_health = make_health
        self.interval_s = interval_s
        self._gathering = gathering or Gathering()
        self._takes_captures = takes_captures
        self._report_due = True
        self._is_report_wanted = True
        self._reported: ReportedState | None = None
        self._health_due = 0.0
        # The first ends the idling, the second the gathering, too.
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._failed: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._recent: deque[RecentEvent] = deque(maxlen=RECENT_EVENTS)
        self._recent_lock = threading.Lock()
        self.last_health: Health | None = None
        self.progress = self._clock.monotonic()
        """When the loop last went round, seconds, monotonic. For the watchdog."""

    def start(self) -> None:
        """Start the loop."""
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what has gathered and end the loop. The rows stay for the next start."""
        self._stop.set()
        self._soon()
        if self._thread is not None:
            self._thread.join(2.0)

    def recent(self) -> tuple[RecentEvent, ...]:
        """The last events of this run, the latest last."""
        with self._recent_lock:
            return tuple(self._recent)

    def event(self, event: Event, *, slot: str = "") -> None:
        """Something happened that a person may ask about later."""
        log.log(
            {"info": logging.INFO, "warning": logging.WARNING}.get(event.level, logging.ERROR),
            "event=%s slot=%s text=%r",
            event.name,
            slot or "-",
            event.text,
        )
        moment = self._clock.moment()
        told = RecentEvent(
            time=moment.time, name=event.name, level=event.level, slot=slot, text=event.text
        )
        with self._recent_lock:
            self._recent.append(told)
        self._put(
            OutboxItem(
                kind="event",
                time=moment.time,
                uptime_s=moment.uptime_s,
                clock_synced=moment.clock_synced,
                slot=slot,
                data=encode(event),
                priority=event_priority(event),
            )
        )

    def result(
        self, slot: str, result: bytes, *, ago_s: float = 0.0, is_sample: bool = False
    ) -> None:
        """A result that the module's `uplink` rule wants in the cloud.

        Args:
            slot: whose it is.
            result: as published.
            ago_s: how long ago its message came, seconds.
            is_sample: whether it is one of those that stand for many: the first to go.
        """
        moment = self._clock.moment()
        item = OutboxItem(
            kind="result",
            time=moment.time - ago_s,
            uptime_s=moment.uptime_s - ago_s,
            clock_synced=moment.clock_synced,
            slot=slot,
            data=result,
            priority=Priority.CAPTURE if is_sample else Priority.RESULT,
        )
        if is_sample and not self._takes_captures():
            self._outbox.lose(Priority.CAPTURE, "disk_low")
        else:
            self._put(item)

    def report_soon(self) -> None:
        """The state of the device may have changed."""
        self._report_due = True
        self._wake.set()

    def report_again(self) -> None:
        """Somebody may have forgotten the state of the device, which may not have changed."""
        self._is_report_wanted = True
        self.report_soon()

    def report_now(self) -> None:
        """Somebody wants a report and a health report now, changed or not."""
        self._is_report_wanted = True
        self._report_due = True
        self._health_due = 0.0
        self._soon()

    def reconnected(self, spread_s: float = 0.0) -> None:
        """There is a connection again: what was in flight may be lost.

        Args:
            spread_s: over how long the devices of this fleet spread what they say then.
        """
        self._outbox.connected()
        self._is_report_wanted = True
        self._report_due = True
        chance = random.random()  # noqa: S311  # jitter, no secret
        wait_s = health_delay_s(self.interval_s, chance, spread_s=spread_s)
        self._health_due = self._clock.monotonic() + wait_s
        self._soon()

    def acknowledged(self, ack: Ack) -> None:
        """The cloud has committed rows. Never waits for the disk."""
        if self._outbox.acknowledge(ack):
            self._soon()
        else:
            self._wake.set()

    def _soon(self) -> None:
        self._hurry.set()
        self._wake.set()

    def _put(self, item: OutboxItem) -> None:
        self._lose(self._gathering.add(item), "memory")
        if item.priority <= Priority.ALARM:
            self._soon()
        else:
            self._wake.set()

    def _lose(self, items: Sequence[OutboxItem], reason: DropReason) -> None:
        for item in items:
            self._outbox.lose(item.priority, reason)

    def round(self) -> bool:
        """Go round once: write, tidy up, ask, send. Returns whether nothing failed."""
        self.progress = self._clock.monotonic()
        actions = (
            self._outbox.open,
            self._write,
            self._write_report,
            self._tidy,
            self._ask,
            self._send,
            self._send_health,
        )
        # Each of them: a disk that takes nothing is no reason to be silent.
        return not [action for action in actions if not self._try(action)]

    def _run(self) -> None:
        while True:
            if not self.round():
                self._stop.wait(IDLE_S)
            if self._stop.is_set():
                return
            self._wake.wait(IDLE_S)
            self._wake.clear()
            # Let a burst gather, so that it costs one transaction.
            if self._hurry.wait(GATHER_S):
                self._stop.wait(max(0.0, self.progress + HURRY_S - self._clock.monotonic()))
            self._hurry.clear()

    def _try(self, action: Callable[[], None]) -> bool:
        name = action.__name__
        try:
            action()
        except ShoalError as error:
            # The same every second would bury the rest of the log.
            if self._failed.get(name) != error.text:
                log.error("event=uplink_failed code=%s text=%r", error.code, error.text)
            self._failed[name] = error.text
            return False
        self._failed.pop(name, None)
        return True

    def _write(self) -> None:
        while items := self._gathering.take(max_rows=WRITE_ROWS, max_bytes=WRITE_BYTES):
            try:
                self._outbox.put(items, self._clock.monotonic())
            except ShoalError:
                self._lose(self._gathering.put_back(items), "memory")
                raise

    def _write_report(self) -> None:
        if not self._report_due:
            return
        is_wanted, self._is_report_wanted, self._report_due = self._is_report_wanted, False, False
        try:
            report = self._make_report(self._outbox.next_seq)
            said = structs.replace(report, seq=0, time=0.0, uptime_s=None)
            if is_wanted or said != self._reported:
                item = OutboxItem(kind="reported", time=report.time, data=encode(report))
                self._outbox.put([item], self._clock.monotonic())
                self._reported = said
        except ShoalError:
            self._is_report_wanted, self._report_due = is_wanted, True
            raise

    def _tidy(self) -> None:
        self._outbox.tidy(self._clock.monotonic())

    def _ask(self) -> None:
        if not self._session.is_connected:
            return
        question = self._outbox.question(self._clock.monotonic())
        if question is None:
            return
        message = self._telemetry(question.boot_id, ())
        message = structs.replace(message, question=question.id, asks=question.seqs)
        if not self._session.publish(control(self._device, Channel.TELEMETRY), encode(message)):
            self._outbox.not_asked()

    def _send(self) -> None:
        while self._session.is_connected and not self._stop.is_set():
            rows = self._outbox.due(
                self._clock.monotonic(), limit=BATCH_ROWS, max_bytes=BATCH_BYTES
            )
            if not rows:
                return
            whole = [row for row in rows if _is_whole(row)]
            if len(whole) < len(rows):
                self._outbox.give_up(row for row in rows if row not in whole)
                self._wake.set()
            left = self._publish(whole)
            if left:
                self._outbox.not_sent(left)
                return
            self._wake.set()  # the next round is soon: a backlog follows at its pace

    def _publish(self, rows: list[OutboxRow]) -> list[OutboxRow]:
        """Hand rows over to the connection; returns those that it did not take."""
        left: list[OutboxRow] = []
        others = [row for row in rows if row.kind != "reported"]
        for row in rows:
            topic = control(self._device, Channel.REPORTED)
            if row.kind == "reported" and not self._session.publish(topic, row.data):
                left.append(row)
        if others:
            message = self._telemetry(others[0].boot_id, tuple(map(_telemetry_row, others)))
            topic = control(self._device, Channel.TELEMETRY)
            if not self._session.publish(topic, encode(message)):
                left += others
        if rows and log.isEnabledFor(logging.DEBUG):
            numbers = ",".join(str(row.seq) for row in rows if row not in left)
            log.debug("event=rows_sent boot_id=%s seqs=%s", rows[0].boot_id, numbers)
        return left

    def _telemetry(self, boot_id: str, rows: tuple[TelemetryRow, ...]) -> Telemetry:
        moment = self._clock.moment()
        return Telemetry(
            device=self._device,
            boot_id=boot_id,
            rows=rows,
            time=moment.time,
            uptime_s=moment.uptime_s if boot_id == self._outbox.boot_id else None,
            clock_synced=moment.clock_synced,
        )

    def _send_health(self) -> None:
        now = self._clock.monotonic()
        if now < self._health_due or not self._session.is_connected:
            return
        health = self.last_health = self._make_health(self.interval_s)
        if self._session.publish(control(self._device, Channel.HEALTH), encode(health), qos=0):
            self._health_due = now + self.interval_s


def _is_whole(row: OutboxRow) -> bool:
    """Whether it is JSON: one row that is none makes the whole message unreadable."""
    try:
        msgspec.json.decode(row.data, type=Raw)
    except msgspec.DecodeError:
        return False
    return True


def _telemetry_row(row: OutboxRow) -> TelemetryRow:
    return TelemetryRow(
        seq=row.seq,
        kind="result" if row.kind == "result" else "event",
        time=row.time,
        uptime_s=row.uptime_s,
        clock_synced=row.clock_synced,
        data=Raw(row.data),
        slot=row.slot,
    )
