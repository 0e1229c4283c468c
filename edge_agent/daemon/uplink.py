"""The uplink loop: what the cloud must hear goes into the outbox, and from there to the broker.

One thread. Others only leave things with it: events, results, "the state has changed". It writes
what has gathered in one transaction a round, because every transaction costs the disk a flush.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Raw

from edge_agent.contract.messages import Ack, Event, Health, Telemetry, TelemetryRow
from edge_agent.contract.state import ReportedState
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode
from edge_agent.errors import ShoalError
from edge_agent.link.reconnect import health_delay_s
from edge_agent.link.session import CloudSession
from edge_agent.store.clock import Clock
from edge_agent.store.outbox import Outbox, OutboxItem, OutboxRow

log: Final = logging.getLogger("edge_agent.uplink")

GATHER_S: Final = 0.1
IDLE_S: Final = 1.0
MAX_GATHERED: Final = 10_000
BATCH_ROWS: Final = 100
BATCH_BYTES: Final = 256 * 1024


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
        max_gathered: most rows that wait in memory for the disk; the oldest go first, counted.
    """

    def __init__(
        self,
        device: str,
        *,
        outbox: Outbox,
        session: CloudSession,
        clock: Clock,
        make_report: Callable[[int], ReportedState],
        make_health: Callable[[float], Health],
        interval_s: float,
        max_gathered: int = MAX_GATHERED,
    ) -> None:
        self._device = device
        self._outbox = outbox
        self._session = session
        self._clock = clock
        self._make_report = make_report
        self._make_health = make_health
        self.interval_s = interval_s
        # Bounded: with a disk that takes nothing, memory must not be what fills up.
        self._gathered: deque[OutboxItem] = deque()
        self._gathering = threading.Lock()
        self._max_gathered = max_gathered
        self._report_due = True
        self._health_due = 0.0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
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
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def event(self, event: Event, *, slot: str = "") -> None:
        """Something happened that a person may ask about later."""
        log.log(
            {"info": logging.INFO, "warning": logging.WARNING}.get(event.level, logging.ERROR),
            "event=%s slot=%s text=%r",
            event.name,
            slot or "-",
            event.text,
        )
        self._put(OutboxItem(kind="event", time=self._clock.wall(), slot=slot, data=encode(event)))

    def result(self, slot: str, when: float, result: bytes) -> None:
        """A result that the module's `uplink` rule wants in the cloud."""
        self._put(OutboxItem(kind="result", time=when, slot=slot, data=result))

    def report_soon(self) -> None:
        """The state of the device has changed."""
        self._report_due = True
        self._wake.set()

    def health_soon(self) -> None:
        """Somebody wants a health report now."""
        self._health_due = 0.0
        self._wake.set()

    def reconnected(self, spread_s: float = 0.0) -> None:
        """There is a connection again: what was in flight may be lost.

        Args:
            spread_s: over how long the devices of this fleet spread what they say then.
        """
        self._outbox.forget_sendings()
        self._report_due = True
        chance = random.random()  # noqa: S311  # jitter, no secret
        wait_s = health_delay_s(self.interval_s, chance, spread_s=spread_s)
        self._health_due = self._clock.monotonic() + wait_s
        self._wake.set()

    def acknowledged(self, ack: Ack) -> None:
        """The cloud has committed rows.

        Raises:
            StorageError: the disk refused; they are sent and acknowledged again.
        """
        if self._outbox.acknowledge(ack.boot_id, ack.seqs):
            self._wake.set()

    def _put(self, item: OutboxItem) -> None:
        with self._gathering:
            self._gathered.append(item)
            self._forget_surplus()
        self._wake.set()

    def _forget_surplus(self) -> None:
        while len(self._gathered) > self._max_gathered:
            self._outbox.lose(self._gathered.popleft().kind)

    def _run(self) -> None:
        while True:
            self.progress = self._clock.monotonic()
            # One by one: a disk that takes nothing is no reason to be silent.
            for action in (self._write, self._send, self._send_health):
                try:
                    action()
                except ShoalError as error:
                    log.error("event=uplink_failed code=%s text=%r", error.code, error.text)
                    self._stop.wait(IDLE_S)
            if self._stop.is_set():
                return
            self._wake.wait(IDLE_S)
            self._wake.clear()
            # Let a burst gather, so that it costs one transaction.
            self._stop.wait(GATHER_S)

    def _write(self) -> None:
        with self._gathering:
            items = list(self._gathered)
            self._gathered.clear()
        try:
            if items:
                self._outbox.put(items)
        except ShoalError:
            with self._gathering:
                self._gathered.extendleft(reversed(items))
                self._forget_surplus()
            raise
        if self._report_due:
            self._report_due = False
            try:
                self._put_report()
            except ShoalError:
                self._report_due = True
                raise

    def _put_report(self) -> None:
        report = self._make_report(self._outbox.next_seq)
        self._outbox.put([OutboxItem(kind="reported", time=report.time, data=encode(report))])

    def _send(self) -> None:
        while self._session.is_connected and not self._stop.is_set():
            rows = self._outbox.due(
                self._clock.monotonic(), limit=BATCH_ROWS, max_bytes=BATCH_BYTES
            )
            if not rows:
                return
            if not self._publish(rows):
                self._outbox.not_sent(rows)
                return

    def _publish(self, rows: list[OutboxRow]) -> bool:
        reports = [row for row in rows if row.kind == "reported"]
        others = [row for row in rows if row.kind != "reported"]
        is_sent = all(
            self._session.publish(control(self._device, Channel.REPORTED), row.data)
            for row in reports
        )
        if others and is_sent:
            message = Telemetry(
                device=self._device,
                boot_id=others[0].boot_id,
                rows=tuple(_telemetry_row(row) for row in others),
            )
            topic = control(self._device, Channel.TELEMETRY)
            is_sent = self._session.publish(topic, encode(message))
        return is_sent

    def _send_health(self) -> None:
        now = self._clock.monotonic()
        if now < self._health_due or not self._session.is_connected:
            return
        health = self.last_health = self._make_health(self.interval_s)
        if self._session.publish(control(self._device, Channel.HEALTH), encode(health), qos=0):
            self._health_due = now + self.interval_s


def _telemetry_row(row: OutboxRow) -> TelemetryRow:
    return TelemetryRow(
        seq=row.seq,
        kind="result" if row.kind == "result" else "event",
        time=row.time,
        data=Raw(row.data),
        slot=row.slot,
    )
