"""A slot at work: messages wait, go through the engine together, and are answered.

Knows neither MQTT nor the pipe: it is given messages and gives back what is to be published. It
never waits, and one call does as much as one batch. What is written down about a batch comes when
its answers have left, see `ledger`.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from edge_agent.errors import ModelError, ShoalError
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.ledger import Ledger
from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.protocol import WorkerUplink
from edge_agent.runtime.queue import Left, MessageQueue, Reason
from edge_agent.runtime.run_guard import MOST_DEATHS, RunGuard
from edge_agent.runtime.scores import ScoreCounts

AT_ONCE: Final = 64
"""Messages of a batch. More would make the first of them wait and gain little: what a run costs
by itself is shared by 64 already."""

TURN_S: Final = 0.002
"""What messages that have a run each may take before the sockets are looked at again."""

_log = logging.getLogger("shoal.worker")


class _Batch(Struct, frozen=True, gc=False):
    """Messages whose answers are on their way out."""

    messages: Sequence[Incoming]
    answers: Sequence[Answer | None]
    began_s: float


class LiveSlot:
    """Answers the messages of one slot. Its methods never raise.

    Args:
        engine: the loaded module.
        counters: what is counted.
        offer_uplink: takes a result for the cloud, or says that there is no room.
        mirror: hears every message that was answered, for a shadow; None if none can come.
        guard: told what is run, and asked what must not be; None for no such care.
    """

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        offer_uplink: Callable[[WorkerUplink], bool],
        mirror: Mirror | None = None,
        *,
        guard: RunGuard | None = None,
    ) -> None:
        self._engine = engine
        self._counters = counters
        self._ledger = Ledger(counters, engine.uplink, offer_uplink, mirror)
        self._mirror = mirror
        self._guard = guard
        self._batch: _Batch | None = None
        self._rules = engine.manifest.runtime
        self._queue = MessageQueue(self._rules)
        self._delay_s = self._rules.max_delay_ms / 1e3
        self._alone_s = TURN_S
        counters.watch(engine)
        counters.scores = ScoreCounts.of(engine.manifest)
        engine.count_runs(self._ledger.ran, guard.begin_run if guard is not None else None)

    @property
    def is_wary(self) -> bool:
        """Whether a message that is suspected to end processes may be in the next batch."""
        return self._guard is not None and self._guard.is_wary

    def offer(self, messages: Sequence[Incoming]) -> list[Settled]:
        """Take messages that have arrived.

        Returns:
            Those that are done with at once: they gave way, or found no room.
        """
        self._counters.messages_in += len(messages)
        refused: list[Settled] = []
        if self._guard is not None and self._guard.has_poison:
            messages, refused = self._without_poison(messages, self._guard)
        left = self._queue.offer(messages)
        self._counters.waiting = len(self._queue)
        return refused + [self._leave(item) for item in left] if left else refused

    def due(self, now: float) -> float | None:
        """When a batch must run.

        Args:
            now: seconds, monotonic.

        Returns:
            Seconds from now, 0 for at once; None if nothing waits.
        """
        since = self._queue.oldest_s
        if since is None:
            return None
        if not self._delay_s or self._engine.most_rows == 1 or len(self._queue) >= self._most():
            return 0.0  # there is no company to wait for, or it is there
        return max(0.0, since + self._delay_s - now)

    def run(self, now: float) -> list[Settled]:
        """Answer one batch of what waits, due or not. `sent` is to follow.

        Args:
            now: seconds, monotonic.

        Returns:
            What is done with: answers, and messages that are dropped for being late.
        """
        if self._batch is not None:
            self.sent(now)
        taken, late = self._queue.take(self._most(), now)
        self._counters.waiting = len(self._queue)
        settled = [self._leave(item) for item in late] if late else []
        if taken:
            answers = self._answers(taken)
            self._batch = _Batch(taken, answers, now)
            for message, answer in zip(taken, answers, strict=True):
                outgoing = _outgoing(answer) if answer is not None and answer.topic else None
                settled.append(Settled(message.token, outgoing))
        return settled

    def sent(self, now: float) -> None:
        """The answers of the batch have left: do what nobody waits for.

        Args:
            now: seconds, monotonic.
        """
        batch = self._batch
        if batch is not None:
            self._batch = None
            if self._guard is not None:
                # Not before: a message may also do harm by the answer that it makes us write.
                self._guard.end()
            self._alone_s = max(1e-6, (now - batch.began_s) / len(batch.messages))
            self._ledger.enter(batch.messages, batch.answers, batch.began_s, now)
        if self._mirror is not None:
            self._mirror.send()

    def left_out(self, reason: str, answer: Outgoing | None) -> None:
        """Count what the connection cannot carry.

        Args:
            reason: why.
            answer: that cannot be published; None for a message that could not be read.
        """
        self._counters.drop(reason)
        if answer is not None and answer.is_result:
            self._counters.messages_out -= 1

    def withdraw(self) -> None:
        """Forget the messages that the broker will send again, because their connection is lost."""
        for _ in range(self._queue.withdraw()):
            self._counters.drop("withdrawn")
        self._counters.waiting = len(self._queue)

    def _most(self) -> int:
        most_rows = self._engine.most_rows
        if most_rows > 1:
            most = min(most_rows, AT_ONCE)
        else:
            most = max(1, min(AT_ONCE, int(TURN_S / self._alone_s)))
        guard = self._guard
        return guard.most(most, time.monotonic()) if guard is not None and guard.is_wary else most

    def _answers(self, messages: Sequence[Incoming]) -> list[Answer | None]:
        if self._guard is not None:
            self._guard.begin(messages)
        try:
            return self._engine.answer_all(messages)
        except Exception:  # noqa: BLE001 -- a fault of ours must not end the slot
            _log.exception("batch_failed messages=%d", len(messages))
            for _ in messages:
                self._counters.fail("internal")
            return [None] * len(messages)

    def _refuse(self, message: Incoming, error: ShoalError) -> Settled:
        """Be done with a message that the model does not see, and say why."""
        answer = self._engine.refuse(message, error)
        self._ledger.outcome(message, answer)
        return Settled(message.token, _outgoing(answer) if answer.topic else None)

    def _leave(self, item: Left) -> Settled:
        """Be done with a message that the model does not see."""
        message, reason = item.message, item.reason
        self._unseen(reason.value)
        if reason is not Reason.REFUSED:
            self._counters.drop(reason.value)
            return Settled(message.token, None)
        error = ModelError(
            f"the queue expected at most {self._rules.max_queue} messages, and is full",
            code=reason.value,
            hint="send less, or raise runtime.max_queue of the module",
        )
        return self._refuse(message, error)

    def _unseen(self, reason: str) -> None:
        """Tell a shadow of a message that was not run; it counts it as not seen."""
        if self._mirror is not None and self._mirror.is_on:
            self._mirror.miss(reason)

    def _without_poison(
        self, messages: Sequence[Incoming], guard: RunGuard
    ) -> tuple[list[Incoming], list[Settled]]:
        """What may be run, and what is done with because it must not be."""
        error = ModelError(
            f"{MOST_DEATHS} processes ended while they ran this message; it is not run again",
            code="poison",
            hint="another version of the model may take it",
        )
        harmless: list[Incoming] = []
        refused: list[Settled] = []
        for message in messages:
            if guard.is_poison(message):
                self._unseen(error.code)
                refused.append(self._refuse(message, error))
            else:
                harmless.append(message)
        return harmless, refused


def _outgoing(answer: Answer) -> Outgoing:
    return Outgoing(
        answer.topic, answer.payload, answer.content_type, answer.correlation, answer.ok
    )
