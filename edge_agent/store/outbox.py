"""The outbox: what the cloud must hear, kept until the cloud says that it has committed it.

A broker's acknowledgement proves nothing about the cloud's database; rows are freed by
`down/ack` and nothing else. The store is bounded on the disk, by class (`outbox_policy`); what
was on its way when a connection broke is asked for, not sent again (`outbox_flight`). The report of
the device's state is kept in memory: only the last matters, and each run makes its own.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from edge_agent.contract.messages import Ack, OutboxHealth
from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.errors import StorageError
from edge_agent.store import outbox_table as table
from edge_agent.store.damage import Damage
from edge_agent.store.outbox_file import OutboxFile
from edge_agent.store.outbox_flight import Flight, Place, Question
from edge_agent.store.outbox_order import Departures
from edge_agent.store.outbox_pace import Pace
from edge_agent.store.outbox_policy import (
    USUAL_LIMITS,
    DropReason,
    Drops,
    OutboxLimits,
    Priority,
    bounds_of,
)
from edge_agent.store.outbox_row import OutboxItem, OutboxRow, OutboxSize, numbered
from edge_agent.store.outbox_table import Tally

log: Final = logging.getLogger("edge_agent.store")

RESERVED_IN_FLIGHT: Final = 32
TIDY_S: Final = 1.0
TIDY_ROWS: Final = 500

T = TypeVar("T")


class Outbox:
    """Rows that wait for the cloud. Safe to use from any of the agent's threads.

    `acknowledge` never waits for the disk, because it is called by who moves the packets. The file
    is opened by `open`, or by the first use; until then `size` knows of no rows of earlier runs.

    Args:
        folder: the state directory.
        boot_id: of this run; new rows get it.
        limits: what it may take, and how fast it empties.
    """

    def __init__(self, folder: Path, boot_id: str, limits: OutboxLimits = USUAL_LIMITS) -> None:
        self._bounds = bounds_of(limits.max_bytes, MAX_ROW_BYTES)
        self._boot_id = boot_id
        self._flush_s = limits.flush_s
        # `_disk` is held while the file is used. `_memory` is held for a moment while what is known
        # changes; it may be taken while `_disk` is held, never the other way round.
        self._disk = threading.RLock()
        self._memory = threading.Lock()
        self._flight = Flight(
            boot_id,
            max_rows=limits.max_in_flight,
            reserved=min(RESERVED_IN_FLIGHT, limits.max_in_flight // 4),
            overdue_s=limits.overdue_s,
        )
        self._next_seq = 0
        self._report: OutboxRow | None = None
        self._tidied_at = 0.0
        # Rows that never got here, until the disk has taken their number.
        self._lost = Drops()
        self._file = OutboxFile(folder, self._bounds)
        self._openings = 0
        self._tally, self._drops = Tally(), Drops()
        self._last_id = self._flushed = 0
        # When the first row was put in that is not flushed yet, and the last one soon after it.
        self._marks: deque[tuple[float, int]] = deque()
        self._departures = Departures(self._flight, Pace(limits.backlog_rows_per_s), 0)

    def open(self) -> None:
        """Open, check and count what waits: a second or two if the file is full and cold.

        Raises:
            StorageError: it cannot be opened; each use tries it again. `schema_newer` if a newer
                agent wrote it: it is left alone.
        """
        with self._disk:
            self._look()

    def close(self) -> None:
        """Close the file."""
        with self._disk:
            self._file.close()

    @property
    def boot_id(self) -> str:
        """Of this run."""
        return self._boot_id

    @property
    def next_seq(self) -> int:
        """The number that the next row gets."""
        return self._next_seq

    def put(self, items: Sequence[OutboxItem], now: float) -> list[int]:
        """Keep items, in one transaction. One that no message can carry is dropped, counted.

        It is flushed at once if one of them is control or an alarm. A report needs no disk.

        Args:
            items: not much more than a megabyte.
            now: seconds, monotonic.

        Returns:
            The sequence numbers of those that were kept.

        Raises:
            StorageError: the disk refused; none was kept.
        """
        kept = [item for item in items if len(item.data) <= MAX_ROW_BYTES]
        refused = Drops(
            (item.priority, "too_large") for item in items if len(item.data) > MAX_ROW_BYTES
        )
        with self._disk:
            self._look()
            first = self._next_seq
            rows = [numbered(self._boot_id, first + n, item) for n, item in enumerate(kept)]
            stored = [row for row in rows if row.kind != "reported"]
            if stored or refused:
                self._store(stored, refused, now)
            with self._memory:
                self._next_seq = first + len(rows)
                for row in rows:
                    if row.kind == "reported":
                        self._take_report(row)
        return [row.seq for row in rows]

    def lose(self, priority: Priority, reason: DropReason, count: int = 1) -> None:
        """Count rows that were dropped before they could be put in. Never waits for the disk."""
        with self._memory:
            self._lost[priority, reason] += count

    def tidy(self, now: float) -> None:
        """What is done now and then: forget what the cloud has, and flush what is old enough.

        Args:
            now: seconds, monotonic.

        Raises:
            StorageError: the disk refused; it is tried again.
        """
        with self._disk:
            self._look()
            freed = len(self._flight.freed())
            is_late = now - self._tidied_at >= TIDY_S
            is_due = freed > 0 and (is_late or freed >= TIDY_ROWS)
            if is_due:
                self._store([], Drops(), now)
                self._tidied_at = now  # not before: what the disk refused is tried again at once
            self._mended(lambda: self._flush(now))
            if is_due and self._tally.rows.total() <= TIDY_ROWS:
                self._file.give_back()

    def connected(self) -> None:
        """There is a connection: what was in flight is in doubt, what waits is the backlog.

        Never waits for the disk.
        """
        self._flight.connected()
        self._departures.connected(self._last_id)

    def question(self, now: float) -> Question | None:
        """What to ask the cloud now, before anything else is sent; None for nothing.

        Args:
            now: seconds, monotonic.

        Raises:
            StorageError: the disk refused.
        """
        with self._disk:
            if self._flight.wants_more():
                self._look()
                self._mended(self._doubt_earlier)
            return self._flight.question(now)

    def not_asked(self) -> None:
        """The question could not be sent."""
        self._flight.not_asked()

    def due(self, now: float, *, limit: int, max_bytes: int) -> list[OutboxRow]:
        """Rows to send now, all of one boot, marked as sent. None while the cloud is not heard.

        Args:
            now: seconds, monotonic.
            limit: most rows.
            max_bytes: most bytes of data, but always at least one row.

        Raises:
            StorageError: the disk refused.
        """
        with self._disk:
            if not self._flight.is_heard:
                return []
            self._look()
            report = self._report
            if report is not None and self._flight.is_on_the_way(report.name):
                report = None

            def choose() -> list[tuple[Place, OutboxRow]]:
                with self._file.reading() as connection:
                    return self._departures.choose(
                        connection, report, now=now, limit=limit, max_bytes=max_bytes
                    )

            chosen = self._mended(choose)
            for place, row in chosen:
                self._flight.sent(row.name, place, now)
        return [row for _, row in chosen]

    def not_sent(self, rows: Iterable[OutboxRow]) -> None:
        """These rows were due, but could not be sent: they are due again."""
        for row in rows:
            self._flight.not_sent(row.name)

    def give_up(self, rows: Iterable[OutboxRow]) -> None:
        """These rows were due, but what is in them can never be sent: they go, counted."""
        for row in rows:
            log.error("event=row_damaged boot_id=%s seq=%d", row.boot_id, row.seq)
            self._flight.acknowledge(Ack(boot_id=row.boot_id, seqs=(row.seq,)))
            self.lose(row.priority, "damaged")

    def acknowledge(self, ack: Ack) -> bool:
        """Forget rows that the cloud has committed. Never waits for the disk.

        Returns:
            Whether something waits for this: the answer to a question, or room for more rows.
        """
        settled = self._flight.acknowledge(ack)
        with self._memory:
            if self._report is not None and self._report.name in settled.freed:
                self._report = None
        return settled.is_answer or (bool(settled.freed) and self._departures.is_held_back)

    @property
    def is_heard(self) -> bool:
        """Whether the cloud has answered on this connection."""
        return self._flight.is_heard

    @property
    def size(self) -> OutboxSize:
        """How much waits, and how much was dropped."""
        with self._memory:
            drops = self._drops + self._lost
            rows, size = self._tally.rows.copy(), self._tally.bytes.copy()
            if self._report is not None:
                rows[Priority.CONTROL] += 1
                size[Priority.CONTROL] += len(self._report.data)
            resent = self._flight.resent
        classes = {
            p.label: OutboxHealth(
                rows=rows[p],
                bytes=size[p],
                dropped={reason: n for (of, reason), n in sorted(drops.items()) if of is p},
            )
            for p in Priority
        }
        return OutboxSize(
            rows=rows.total(),
            bytes=size.total(),
            dropped=drops.total(),
            resent=resent,
            classes=classes,
        )

    def take_damage(self) -> tuple[Damage, ...]:
        """Files that were found damaged and set aside since this was last asked."""
        return self._file.take_damage()

    def _look(self) -> None:
        """Count what is in a file that was just opened; an empty one, if it makes no sense."""
        self._mended(self._count)

    def _count(self) -> None:
        """A transaction of which the disk said that it failed may be in it all the same."""
        with self._file.reading() as connection:
            if self._file.openings == self._openings:
                return
            found, drops = table.tally(connection), table.drops(connection)
            last, seq = table.last_id(connection), table.next_seq(connection, self._boot_id)
        if self._openings == 0:
            self._departures.begin(last)
            self._flushed = last
        with self._memory:
            self._tally, self._drops, self._last_id = found, drops, last
            self._next_seq = max(self._next_seq, seq)
            self._openings = self._file.openings

    def _doubt_earlier(self) -> None:
        with self._file.reading() as connection:
            self._departures.doubt_earlier(connection)

    def _take_report(self, row: OutboxRow) -> None:
        if self._report is not None:
            self._flight.forget([self._report.name])
        self._report = row

    def _store(
        self,
        rows: Sequence[OutboxRow],
        refused: Drops,
        now: float,
    ) -> None:
        """Put rows in, take out what the cloud has, push out what is too much: one transaction."""
        is_durable = any(row.priority <= Priority.ALARM for row in rows)
        self._mended(lambda: self._write(rows, refused, is_durable=is_durable))
        if rows and is_durable:
            self._flushed = self._last_id
            self._marks.clear()
        elif rows:
            # A quarter of the time in one mark, so that there are few of them.
            since = now
            if self._marks and now - self._marks[-1][0] < self._flush_s / 4:
                since = self._marks.pop()[0]
            self._marks.append((since, self._last_id))

    def _write(
        self,
        rows: Sequence[OutboxRow],
        refused: Drops,
        *,
        is_durable: bool,
    ) -> None:
        freed = self._flight.freed()
        with self._memory:
            lost = self._lost.copy()
        counts = self._tally.copy()
        last = self._last_id
        with self._file.transaction(is_durable=is_durable) as connection:
            table.delete(connection, freed, counts)
            for row in rows:
                last = table.insert(connection, row)
                counts.add(row.priority, len(row.data))
            dropped, gone = table.evict(connection, self._bounds, counts)
            dropped.update(refused)
            table.add_drops(connection, dropped + lost)
        with self._memory:
            self._tally = counts
            self._last_id = last
            self._drops += dropped + lost
            self._lost -= lost
        self._flight.forget((*freed, *gone))

    def _mended(self, work: Callable[[], T]) -> T:
        """Use the file; if it turns out to be damaged, once more with an empty one."""
        try:
            return work()
        except StorageError as error:
            if not self._file.replace_damaged(error):
                raise
        self._begin_anew()
        return work()

    def _begin_anew(self) -> None:
        """The file is empty now: what was in it is gone, and counted."""
        with self._memory:
            for priority, rows in self._tally.rows.items():
                if rows:
                    self._lost[priority, "damaged"] += rows
            # What was counted before is in the new file with the next transaction.
            self._lost.update(self._drops)
            self._drops.clear()
            self._tally = Tally()
            self._last_id = self._flushed = 0
        self._flight.clear()
        self._departures.begin(0)
        self._marks.clear()

    def _flush(self, now: float) -> None:
        """Make rows durable that have waited long enough and that the cloud does not have."""
        until = 0
        while self._marks and now - self._marks[0][0] >= self._flush_s:
            until = self._marks.popleft()[1]
        if until <= self._flushed:
            return
        with self._file.reading() as connection:
            is_there = table.has_rows(connection, above=self._flushed, up_to=until)
        if not is_there:
            self._flushed = until
            return
        with self._file.transaction(is_durable=True) as connection:
            table.note_flush(connection, self._last_id)
        self._flushed = self._last_id
        self._marks.clear()
