"""Ingest: messages off the broker, into the database, and only then acknowledged.

    1. receive what has come, several messages at once
    2. decode each; what is malformed is refused, counted and complained about
    3. write all of them in one transaction
    4. acknowledge: outbox rows to the devices, messages to the broker
    5. tell devices again what they should run, where that is needed

A failure of the database stops at 3: nothing is acknowledged and the same messages are tried
again. Nothing that a device sends can end the thread.

Rows that are refused for good are acknowledged to the device as well, with an event that says so:
it would send them for ever otherwise. Those of a newer version of the contract are not, because
an update of the service will take them.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from cloud_sync.broker.session import Received
from cloud_sync.db.engine import Database
from cloud_sync.errors import ContractError, StorageError, Unavailable
from cloud_sync.fleet import reports
from cloud_sync.fleet.known import is_known
from cloud_sync.fleet.news import note_news
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.telemetry import records
from cloud_sync.telemetry.complaints import Complaints
from cloud_sync.telemetry.device_time import anchor
from cloud_sync.telemetry.inbox import Letter, open_letter, rows_of
from cloud_sync.telemetry.labels import take_labels
from edge_agent.contract.labels import Labels
from edge_agent.contract.messages import Ack, CommandResult, Event, Health, Status, Telemetry
from edge_agent.contract.state import ReportedState
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode

BATCH_MESSAGES: Final = 256
WAIT_S: Final = 0.5
RETRY_MAX_S: Final = 15.0
MAX_ACK_ROWS: Final = 5_000
"""Most rows of one acknowledgement, which must fit into a message."""
logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where messages come from and acknowledgements go: the service's MQTT session."""

    def receive(self, *, limit: int, timeout_s: float) -> list[Received]:
        """Wait for messages."""

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """These need not be sent again."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand over a message; false if it was not taken."""


class Refused(Struct, frozen=True):
    """A message that is not taken.

    Attributes:
        device: whose it was if that is known, or what stood in its place.
        error: why.
        ack: frees the outbox rows that it brought; None if it brought none that can be named.
    """

    device: str
    error: ContractError
    ack: Ack | None


class Ingest:
    """Takes in everything that devices send, in a thread of its own.

    Args:
        database: where it goes.
        source: where it comes from.
        publisher: tells devices what they should run.
        clock: seconds since 1970.
        wake: called after a batch is committed: somebody may wait for what was in it.
    """

    def __init__(
        self,
        database: Database,
        source: Source,
        publisher: DesiredPublisher,
        *,
        clock: Callable[[], float] = time.time,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._source = source
        self._publisher = publisher
        self._clock = clock
        self._wake = wake
        self._complaints = Complaints()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self.progressed = time.monotonic()
        """When the thread last came round, monotonic; for the watchdog."""

    @property
    def malformed(self) -> int:
        """Messages that were refused, since the start."""
        return self._complaints.total

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """End the thread after the batch that it is at."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.progressed = time.monotonic()
            batch = self._source.receive(limit=BATCH_MESSAGES, timeout_s=WAIT_S)
            if batch:
                self._take(batch)

    def _take(self, batch: list[Received]) -> None:
        """Write a batch, however often it takes; alone, message by message, if one is poison."""
        attempt = 0
        refusal: ContractError | None = None
        while not self._stopping.is_set():
            self.progressed = time.monotonic()
            try:
                self.write(batch, refusal)
            except (StorageError, Unavailable) as error:
                attempt += 1
                logger.error(
                    "event=ingest_failed code=%s text=%r attempt=%d",
                    error.code,
                    error.text,
                    attempt,
                )
                longest = min(RETRY_MAX_S, 0.5 * 2 ** min(attempt, 8))
                self._stopping.wait(random.uniform(0.1, longest))  # noqa: S311  # spreads load
            except Exception as error:  # nothing that a device sends may end the thread
                if len(batch) > 1:
                    for message in batch:
                        self._take([message])
                    return
                # One message that our own code cannot take must not stop all others.
                logger.exception("event=message_poison topic=%s", batch[0].topic)
                if refusal is not None:
                    self._source.acknowledge(batch)
                    return
                refusal = ContractError(
                    f"the service cannot store it: {type(error).__name__}", code="message_poison"
                )
            else:
                return

    def write(self, batch: Sequence[Received], refusal: ContractError | None = None) -> None:
        """Take in a batch: everything in it, or nothing.

        Args:
            batch: as received.
            refusal: why nothing in it is to be taken, if that was found out before.

        Raises:
            StorageError, Unavailable: the database refused; nothing was acknowledged.
        """
        now = self._clock()
        opened = [_open(message, refusal) for message in batch]
        complaints = self._complaints.copy()
        acks: list[tuple[str, Ack]] = []
        tell: set[str] = set()
        with self._database.write() as connection:
            for letter in opened:
                if isinstance(letter, Refused):
                    _complain(connection, letter, complaints, now)
                    if letter.ack is not None:
                        acks.append((letter.device, letter.ack))
                elif letter is not None:
                    self._file(connection, letter, now, acks, tell)
        self._complaints = complaints
        for device, ack in gather_acks(acks):
            # A device whose clock is wrong tells by it whether a command is still to be done.
            dated = replace(ack, time=self._clock())
            self._source.publish(control(device, Channel.ACK), encode(dated))
        self._source.acknowledge(batch)
        self._publisher.publish(*sorted(tell))
        self._wake()

    def _file(
        self,
        connection: Connection,
        letter: Letter,
        now: float,
        acks: list[tuple[str, Ack]],
        tell: set[str],
    ) -> None:
        device = letter.topic.device
        message = letter.message
        if isinstance(message, Status):
            outcome = reports.take_status(connection, message, now, is_retained=letter.is_retained)
        elif isinstance(message, Labels):
            # No sign of the device: somebody else looked at what it answered.
            if is_known(connection, device):
                take_labels(connection, device, message.labels, now)
            else:
                logger.warning("event=unknown_device device=%s channel=up/labels", device)
            return
        elif not reports.saw(connection, device, now):
            # Not acknowledged to the device: it keeps its rows until it is known.
            logger.warning(
                "event=unknown_device device=%s channel=%s", device, letter.topic.channel.value
            )
            return
        else:
            outcome = _file_known(connection, message, letter.topic.message_id, now, acks)
        if isinstance(message, Status | ReportedState):
            note_news(connection, device)
        if outcome.tell:
            tell.add(device)
        if outcome.event is not None:
            records.add_event(connection, outcome.event, device, now, now)


def gather_acks(acks: Sequence[tuple[str, Ack]]) -> list[tuple[str, Ack]]:
    """One acknowledgement for each boot of a device in place of one for each message.

    An answer stays alone: it is the whole answer to its question.
    """
    gathered: list[tuple[str, Ack]] = []
    places: dict[tuple[str, str], int] = {}
    for device, ack in acks:
        place = places.get((device, ack.boot_id))
        before = gathered[place][1] if place is not None else None
        if ack.answers:
            gathered.append((device, ack))
        elif before is None or len(before.seqs) + len(ack.seqs) > MAX_ACK_ROWS:
            places[device, ack.boot_id] = len(gathered)
            gathered.append((device, ack))
        elif place is not None:
            seqs = tuple(dict.fromkeys((*before.seqs, *ack.seqs)))
            gathered[place] = (device, Ack(boot_id=ack.boot_id, seqs=seqs))
    return gathered


def _answer(connection: Connection, message: Telemetry) -> Ack:
    """Which of the rows that a device asks for are committed."""
    asks = message.asks[:MAX_ACK_ROWS]
    known = records.seen(connection, message.device, message.boot_id, asks)
    return Ack(
        boot_id=message.boot_id,
        seqs=tuple(seq for seq in asks if seq in known),
        answers=message.question,
    )


def _open(message: Received, refusal: ContractError | None) -> Letter | Refused | None:
    error = refusal
    if error is None:
        try:
            return open_letter(message.topic, message.payload, is_retained=message.is_retained)
        except ContractError as found:
            error = found
    # A newer version is no rubbish: the rows stay on the device until this service is updated.
    rows = None if error.code == "version_newer" else rows_of(message.topic, message.payload)
    if rows is not None:
        return Refused(rows[0], error, rows[1])
    parts = message.topic.split("/")
    return Refused(parts[2][:63] if len(parts) > 2 else "", error, None)


def _complain(connection: Connection, refused: Refused, complaints: Complaints, now: float) -> None:
    error = refused.error
    count = complaints.add(refused.device, error.code, now)
    if count == 0:
        return
    logger.warning(
        "event=malformed_message device=%s code=%s count=%d text=%r",
        refused.device,
        error.code,
        count,
        error.text,
    )
    detail = {"code": error.code, "count": str(count)}
    if refused.ack is not None:
        detail |= {"boot_id": refused.ack.boot_id[:100], "rows": str(len(refused.ack.seqs))}
    event = Event(
        name="malformed_message" if refused.ack is None else "telemetry_refused",
        level="warning" if refused.ack is None else "error",
        text=str(error),
        detail=detail,
    )
    records.add_event(connection, event, refused.device, now, now)


def _file_known(
    connection: Connection,
    message: ReportedState | Health | Telemetry | CommandResult,
    message_id: str,
    now: float,
    acks: list[tuple[str, Ack]],
) -> reports.Outcome:
    """Write one message of a known device, and note which outbox rows it brought."""
    match message:
        case Telemetry():
            records.take_rows(connection, message, now)
            seqs = tuple(row.seq for row in message.rows)
            if seqs or not message.question:
                acks.append((message.device, Ack(boot_id=message.boot_id, seqs=seqs)))
            if message.question:
                # After its rows, and after every message that came before it.
                acks.append((message.device, _answer(connection, message)))
            return reports.NOTHING
        case ReportedState():
            outcome = reports.take_reported(connection, message, now)
            known = anchor(message)
            if known is not None:
                records.correct_times(connection, message.device, message.boot_id, known)
            records.unseen(connection, message.device, message.boot_id, (message.seq,), now)
            acks.append((message.device, Ack(boot_id=message.boot_id, seqs=(message.seq,))))
            return outcome
        case Health():
            records.add_health(connection, message, now)
            return reports.take_health(connection, message, now)
        case CommandResult():
            answer = Event(
                name="command_result",
                level="info" if message.ok else "warning",
                text=message.text,
                detail={"id": message_id, "code": message.code},
            )
            return reports.Outcome(event=answer)
