"""The outbox of a simulated device: rows until the cloud has committed them. Pure, bounded.

In memory, because the device's disk is not what is simulated; by the contract's rules otherwise:
a row is sent again until an acknowledgement names it, and after a lost connection at once.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw, Struct

from edge_agent.contract.messages import Ack, TelemetryRow

MOST_ROWS: Final = 500
RESEND_S: Final = 30.0
RESEND_LONGEST_S: Final = 600.0
"""A cloud that is behind does not get there sooner by hearing everything again."""
BATCH_ROWS: Final = 100


class Row(msgspec.Struct):
    """A row, and when it goes out next.

    Attributes:
        boot_id: of the run that it is of.
        report: bytes of a reported state; empty for a row of telemetry.
        due: seconds since 1970.
        sent: how often, since the connection was made.
    """

    boot_id: str
    seq: int
    due: float
    report: bytes = b""
    telemetry: TelemetryRow | None = None
    sent: int = 0


class Batch(Struct, frozen=True):
    """Rows of one boot that go out in one message: one report, or several rows of telemetry."""

    boot_id: str
    report: bytes = b""
    rows: tuple[TelemetryRow, ...] = ()


class SimulatedOutbox:
    """Rows that wait.

    Attributes:
        next_seq: of the next row; numbers go on over boots.
        dropped: rows that were lost because too many waited.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], Row] = {}
        self.next_seq = 1
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._rows)

    def report(self, boot_id: str, data: bytes, now: float) -> None:
        """Add a reported state with the number `next_seq` in it."""
        self._add(Row(boot_id, self.next_seq, now, report=data))

    def event(self, boot_id: str, data: bytes, now: float, *, slot: str, uptime_s: float) -> None:
        """Add an event."""
        row = TelemetryRow(
            seq=self.next_seq,
            kind="event",
            time=now,
            data=Raw(data),
            slot=slot,
            uptime_s=uptime_s,
            clock_synced=True,
        )
        self._add(Row(boot_id, self.next_seq, now, telemetry=row))

    def _add(self, row: Row) -> None:
        if len(self._rows) >= MOST_ROWS:
            del self._rows[next(iter(self._rows))]
            self.dropped += 1
        self._rows[row.boot_id, row.seq] = row
        self.next_seq += 1

    def acknowledge(self, ack: Ack) -> None:
        """The cloud has committed these."""
        for seq in ack.seqs:
            self._rows.pop((ack.boot_id, seq), None)

    def reconnected(self, now: float) -> None:
        """What was in flight may be lost."""
        for row in self._rows.values():
            row.due = now
            row.sent = 0

    def due(self) -> float | None:
        """When the next row goes out; None if none waits."""
        return min((row.due for row in self._rows.values()), default=None)

    def take(self, now: float) -> Iterator[Batch]:
        """What goes out now, in order; it goes again unless it is acknowledged."""
        waiting: list[TelemetryRow] = []
        boot_id = ""
        for row in self._rows.values():
            if row.due > now:
                continue
            row.due = now + min(RESEND_LONGEST_S, RESEND_S * 2.0**row.sent)
            row.sent = min(row.sent + 1, 16)
            if waiting and (row.report or row.boot_id != boot_id or len(waiting) >= BATCH_ROWS):
                yield Batch(boot_id, rows=tuple(waiting))
                waiting = []
            boot_id = row.boot_id
            if row.telemetry is None:
                yield Batch(boot_id, report=row.report)
            else:
                waiting.append(row.telemetry)
        if waiting:
            yield Batch(boot_id, rows=tuple(waiting))
