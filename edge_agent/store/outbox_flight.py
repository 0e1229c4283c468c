"""What is on its way to the cloud, what may have got lost, and what the cloud is asked about it.

A row that is sent is *in flight*. When the connection breaks, or the acknowledgement is overdue, it
is *in doubt*: the cloud is asked, and nothing else is sent until it has answered. What it does not
have is *missing*, and sent again. Pure: no disk, no clock.
"""

import threading
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from edge_agent.contract.messages import Ack
from edge_agent.store.outbox_policy import Priority

MAX_ASKED: Final = 500
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0

RowName = tuple[str, int]
"""Boot id and sequence number: unique, for ever."""


class Place(Struct, frozen=True):
    """Where a row is kept: its number in the outbox, and its class."""

    id: int
    priority: Priority


class Question(Struct, frozen=True, kw_only=True):
    """Rows of one boot that the cloud is asked about.

    Attributes:
        id: comes back in the answer.
    """

    id: str
    boot_id: str
    seqs: tuple[int, ...]


class Settled(Struct, frozen=True, kw_only=True):
    """What an acknowledgement has settled.

    Attributes:
        freed: rows that the cloud has.
        is_answer: whether it answers the last question.
    """

    freed: tuple[RowName, ...]
    is_answer: bool


class _Sent(Struct):
    place: Place
    at: float
    was_sent: bool
    """By this run; of rows of earlier runs nobody knows."""
    is_doubtful: bool


class Flight:
    """Everything about rows that are on their way. Any thread.

    Args:
        boot_id: of this run; its questions are named after it.
        max_rows: most rows in flight.
        reserved: of these, so many for control and alarms alone.
        overdue_s: a row is in doubt so long after it was sent.
    """

    def __init__(
        self, boot_id: str, *, max_rows: int, reserved: int = 0, overdue_s: float = 30.0
    ) -> None:
        self._lock = threading.RLock()
        self._boot_id = boot_id
        self._max_rows = max_rows
        self._reserved = reserved
        self._overdue_s = overdue_s
        self._sent: dict[RowName, _Sent] = {}
        self._missing: dict[RowName, Place] = {}
        self._lost: set[RowName] = set()
        # A dict keeps the order.
        self._freed: dict[RowName, None] = {}
        self._question: Question | None = None
        self._asked_at = 0.0
        self._attempts = 0
        self._questions = 0
        self.is_heard = False
        """Whether the cloud has answered on this connection, and since the last doubt."""
        self.resent = 0
        """Rows that were sent once more."""

    def connected(self) -> None:
        """There is a new connection: everything in flight is in doubt, and so is the cloud."""
        with self._lock:
            for sent in self._sent.values():
                sent.is_doubtful = True
            self._question = None
            self._attempts = 0
            self.is_heard = False

    def clear(self) -> None:
        """None of the rows is kept any more."""
        with self._lock:
            self._sent.clear()
            self._missing.clear()
            self._lost.clear()
            self._freed.clear()

    def knows(self, name: RowName) -> bool:
        """Whether a row is in flight, in doubt, missing or freed: it is not to be sent as new."""
        with self._lock:
            return name in self._sent or name in self._missing or name in self._freed

    def is_on_the_way(self, name: RowName) -> bool:
        """Whether a row is in flight or in doubt."""
        with self._lock:
            return name in self._sent

    def room(self, priority: Priority) -> int:
        """How many more rows of a class may be sent."""
        kept_free = 0 if priority <= Priority.ALARM else self._reserved
        with self._lock:
            on_the_way = sum(not sent.is_doubtful for sent in self._sent.values())
        return max(0, self._max_rows - kept_free - on_the_way)

    def sent(self, name: RowName, place: Place, now: float) -> None:
        """A row is sent now.

        Args:
            name: of the row.
            place: where it is kept.
            now: seconds, monotonic.
        """
        with self._lock:
            self._missing.pop(name, None)
            if name in self._lost:
                self._lost.discard(name)
                self.resent += 1
            self._sent[name] = _Sent(place, now, True, False)

    def not_sent(self, name: RowName) -> None:
        """It was about to be sent, but the connection took nothing."""
        with self._lock:
            found = self._sent.pop(name, None)
            if found is not None:
                self._missing[name] = found.place

    def doubt(self, rows: Iterable[tuple[RowName, Place]]) -> None:
        """Rows of earlier runs: they may have been sent."""
        with self._lock:
            for name, place in rows:
                if not self.knows(name):
                    self._sent[name] = _Sent(place, 0.0, False, True)

    def forget(self, names: Iterable[RowName]) -> None:
        """These rows are not kept any more."""
        with self._lock:
            for name in names:
                self._sent.pop(name, None)
                self._missing.pop(name, None)
                self._freed.pop(name, None)
                self._lost.discard(name)

    def freed(self) -> tuple[RowName, ...]:
        """Rows that the cloud has; `forget` them when they are deleted."""
        with self._lock:
            return tuple(self._freed)

    def missing(self, priority: Priority, limit: int) -> list[tuple[RowName, Place]]:
        """The oldest rows of a class that the cloud does not have."""
        with self._lock:
            found = [item for item in self._missing.items() if item[1].priority == priority]
        found.sort(key=lambda item: item[1].id)
        return found[:limit]

    def wants_more(self) -> bool:
        """Whether the cloud may be asked about more rows of earlier runs."""
        with self._lock:
            return (
                self.is_heard
                and self._question is None
                and len(self._missing) < MAX_ASKED
                and not any(sent.is_doubtful for sent in self._sent.values())
            )

    def question(self, now: float) -> Question | None:
        """What to ask now; None if nothing is in doubt, or an answer may still come.

        Args:
            now: seconds, monotonic.
        """
        with self._lock:
            for sent in self._sent.values():
                if not sent.is_doubtful and now - sent.at >= self._overdue_s:
                    sent.is_doubtful = True
                    # The service is away, or its answers are lost: no more goes into the dark.
                    self.is_heard = False
            if self._question is not None and now - self._asked_at < _wait_s(self._attempts):
                return None
            doubtful = [name for name, sent in self._sent.items() if sent.is_doubtful]
            if not doubtful and self.is_heard:
                return None
            boot_id = doubtful[0][0] if doubtful else self._boot_id
            asked = [seq for boot, seq in doubtful if boot == boot_id][:MAX_ASKED]
            self._questions += 1
            self._attempts += 1
            self._asked_at = now
            self._question = Question(
                id=f"{self._boot_id[:12]}-{self._questions}", boot_id=boot_id, seqs=tuple(asked)
            )
            return self._question

    def not_asked(self) -> None:
        """The question could not be sent: it is due again."""
        with self._lock:
            self._question = None
            self._attempts = max(0, self._attempts - 1)

    def acknowledge(self, ack: Ack) -> Settled:
        """The cloud has rows, and perhaps answers the question."""
        names = tuple((ack.boot_id, seq) for seq in ack.seqs)
        with self._lock:
            for name in names:
                sent = self._sent.get(name)
                if sent is None or sent.place.id:  # else it is kept in memory alone
                    self._freed[name] = None
                self._sent.pop(name, None)
                self._missing.pop(name, None)
                self._lost.discard(name)
            question = self._question
            # A service that does not know questions acknowledges the no rows that came with it.
            is_old = not ack.answers and not ack.seqs
            is_answer = question is not None and (
                ack.answers == question.id or (is_old and ack.boot_id == question.boot_id)
            )
            if question is not None and is_answer:
                for seq in question.seqs:
                    self._miss((question.boot_id, seq))
                self._question = None
                self._attempts = 0
                self.is_heard = True
        return Settled(freed=names, is_answer=is_answer)

    def _miss(self, name: RowName) -> None:
        sent = self._sent.get(name)
        if sent is not None and sent.is_doubtful:
            del self._sent[name]
            self._missing[name] = sent.place
            if sent.was_sent:
                self._lost.add(name)


def _wait_s(attempts: int) -> float:
    """How long an answer may take: 1, 2, 4 ... 30 s."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(max(attempts - 1, 0), 10)))
