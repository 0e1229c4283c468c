"""In which order rows leave: the new ones first, the backlog behind them at its pace.

Control and alarms go before results, also those of the backlog. Rows of earlier runs leave only
after the cloud was asked about them. Nothing here is kept: each run begins anew.
"""

import sqlite3
from typing import Final

from edge_agent.store import outbox_table as table
from edge_agent.store.outbox_flight import MAX_ASKED, Flight, Place
from edge_agent.store.outbox_pace import Pace
from edge_agent.store.outbox_policy import Priority
from edge_agent.store.outbox_row import OutboxRow

_NO_END: Final = 2**62

_ORDER: Final = (
    (Priority.CONTROL, False),
    (Priority.CONTROL, True),
    (Priority.ALARM, False),
    (Priority.ALARM, True),
    (Priority.RESULT, False),
    (Priority.CAPTURE, False),
    (Priority.RESULT, True),
    (Priority.CAPTURE, True),
)
"""A class, and whether it is the part of it that gathered without a connection."""


class Departures:
    """Chooses what goes next. One thread at a time.

    Args:
        flight: what is on its way already.
        pace: of the backlog.
        last_id: the highest number of a row of an earlier run.
    """

    def __init__(self, flight: Flight, pace: Pace, last_id: int) -> None:
        self._flight = flight
        self._pace = pace
        self.is_held_back = False
        """Whether more would have gone, had less been on its way."""
        self.begin(last_id)

    def begin(self, last_id: int) -> None:
        """Rows up to this one are of earlier runs: they may have been sent, and are asked for."""
        self._earlier_end = last_id
        self._asked = dict.fromkeys(Priority, 0)
        # Own rows up to these numbers have left, as live ones and as backlog.
        self._live = dict.fromkeys(Priority, last_id)
        self._back = dict.fromkeys(Priority, last_id)
        self._live_from = last_id

    def connected(self, last_id: int) -> None:
        """There is a connection: what waits up to this row is the backlog."""
        self._live_from = last_id
        self._live = dict.fromkeys(Priority, last_id)

    def choose(
        self,
        connection: sqlite3.Connection,
        report: OutboxRow | None,
        *,
        now: float,
        limit: int,
        max_bytes: int,
    ) -> list[tuple[Place, OutboxRow]]:
        """The next rows, all of one boot.

        Args:
            connection: of the database.
            report: the reported state, if it is to go, too.
            now: seconds, monotonic.
            limit: most rows.
            max_bytes: most bytes of data, but always at least one row.
        """
        batch = _Batch(limit, max_bytes)
        if report is not None:
            batch.offer(Place(0, Priority.CONTROL), report)
        for priority, is_backlog in _ORDER:
            most = min(batch.room, self._flight.room(priority) - len(batch.chosen))
            is_paced = is_backlog and priority is not Priority.CONTROL
            if is_paced:
                most = min(most, self._pace.allowed(now))
            if most <= 0:
                continue
            before = len(batch.chosen)
            if is_backlog:
                self._again(connection, batch, priority, most)
                most -= len(batch.chosen) - before
            self._collect(connection, batch, priority, most, is_backlog=is_backlog)
            if is_paced:
                self._pace.spend(len(batch.chosen) - before)
        self.is_held_back = self._flight.room(Priority.CAPTURE) <= len(batch.chosen)
        return batch.chosen

    def doubt_earlier(self, connection: sqlite3.Connection) -> None:
        """The next rows of earlier runs: whether the cloud has them is asked first."""
        for priority in Priority:
            if self._asked[priority] >= self._earlier_end:
                continue
            found = table.names(
                connection,
                priority,
                above=self._asked[priority],
                up_to=self._earlier_end,
                limit=MAX_ASKED,
            )
            self._asked[priority] = found[-1][1].id if found else self._earlier_end
            if found:
                self._flight.doubt(found)
                return

    def _again(
        self, connection: sqlite3.Connection, batch: "_Batch", priority: Priority, most: int
    ) -> None:
        """Rows that the cloud was asked about and does not have."""
        for name, place in self._flight.missing(priority, most):
            row = table.fetch_one(connection, place.id) if place.id else None
            if row is None:
                self._flight.forget([name])
            elif not batch.offer(place, row):
                return

    def _collect(
        self,
        connection: sqlite3.Connection,
        batch: "_Batch",
        priority: Priority,
        most: int,
        *,
        is_backlog: bool,
    ) -> None:
        cursors = self._back if is_backlog else self._live
        up_to = self._live_from if is_backlog else _NO_END
        if most <= 0 or cursors[priority] >= up_to:
            return
        found = table.fetch(connection, priority, above=cursors[priority], up_to=up_to, limit=most)
        for number, row in found:
            is_new = not self._flight.knows(row.name)
            if is_new and not batch.offer(Place(number, priority), row):
                return
            cursors[priority] = number
        if len(found) < most and is_backlog:
            cursors[priority] = up_to


class _Batch:
    """Rows that go together: of one boot, so many at most, and not too large."""

    def __init__(self, limit: int, max_bytes: int) -> None:
        self.chosen: list[tuple[Place, OutboxRow]] = []
        self._limit = limit
        self._max_bytes = max_bytes
        self._bytes = 0
        self._is_full = False

    @property
    def room(self) -> int:
        return 0 if self._is_full else self._limit - len(self.chosen)

    def offer(self, place: Place, row: OutboxRow) -> bool:
        """Take a row if it fits; after the first that does not, none."""
        fits = not self.chosen or (
            self._bytes + len(row.data) <= self._max_bytes
            and self.chosen[0][1].boot_id == row.boot_id
        )
        if self.room <= 0 or not fits:
            self._is_full = True
            return False
        self.chosen.append((place, row))
        self._bytes += len(row.data)
        return True
