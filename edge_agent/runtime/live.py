"""A slot at work: messages wait, go through the engine together, are counted, and are answered.

Knows neither MQTT nor the pipe: it is given messages and gives back what is to be published. It
never waits, and one call does as much as one batch.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Raw

from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.errors import ModelError
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.histogram import Histogram
from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.protocol import WorkerUplink
from edge_agent.runtime.queue import Left, MessageQueue, Reason
from edge_agent.runtime.run_guard import MOST_DEATHS, RunGuard
from edge_agent.runtime.uplink import UplinkRule

AT_ONCE: Final = 64
"""Messages of a batch. More would make the first of them wait and gain little: what a run costs
by itself is shared by 64 already."""

TURN_S: Final = 0.002
"""What messages that have a run each may take before the sockets are looked at again."""

_log = logging.getLogger("shoal.worker")


class LiveSlot:
    """Answers the messages of one slot. Its methods never raise.

    Args:
        engine: the loaded module.
        counters: what is counted.
        offer_uplink: takes a result for the cloud, or says that there is no room.
        mirror: hears every message that was answered, for a shadow; None if none can come.
        guard: told what is run, and asked what must not be; None for no such care.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        offer_uplink: Callable[[WorkerUplink], bool],
        mirror: Mirror | None = None,
        *,
        guard: RunGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._counters = counters
        self._offer_uplink = offer_uplink
        self._mirror = mirror
        self._guard = guard
        self._clock = clock
        self._rule = UplinkRule(engine.uplink) if engine.uplink != "none" else None
        self._rules = engine.manifest.runtime
        self._queue = MessageQueue(self._rules)
        self._delay_s = self._rules.max_delay_ms / 1e3
        self._alone_s = TURN_S
        counters.watch(engine)
        engine.count_runs(self._count_run, guard.begin_run if guard is not None else None)

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
        """Answer one batch of what waits, due or not.

        Args:
            now: seconds, monotonic.

        Returns:
            What is done with: answers, and messages that are dropped for being late.
        """
        taken, late = self._queue.take(self._most(), now)
        self._counters.waiting = len(self._queue)
        settled = [self._leave(item) for item in late] if late else []
        if taken:
            began = self._clock()
            answers = self._answers(taken)
            ended = self._clock()
            self._alone_s = max(1e-6, (ended - began) / len(taken))
            settled += map(self._settle, taken, answers)
            self._count(taken, answers, began)
        return settled

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
        return most if self._guard is None else self._guard.most(most, time.monotonic())

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
        finally:
            if self._guard is not None:
                self._guard.end()

    def _settle(self, message: Incoming, answer: Answer | None) -> Settled:
        """Be done with a message that the engine has seen."""
        is_told = answer is None or bool(answer.topic)
        if is_told and self._mirror is not None and self._mirror.is_on:
            self._note(self._mirror, message, answer)
        if answer is None:
            return Settled(message.token, None)
        return self._publish(message, answer)

    def _publish(self, message: Incoming, answer: Answer) -> Settled:
        counters = self._counters
        if answer.ok:
            counters.messages_out += 1
            if self._rule is not None and self._rule.wants(message.topic, answer.first):
                self._send_home(answer, message.arrived_s)
        elif not answer.topic:
            # Without an output topic there is nowhere to publish an error either.
            counters.drop(answer.code)
            _log.warning("message_dropped code=%s topic=%r", answer.code, message.topic[:200])
            return Settled(message.token, None)
        else:
            counters.fail(answer.code)
        outgoing = Outgoing(
            answer.topic, answer.payload, answer.content_type, answer.correlation, answer.ok
        )
        return Settled(message.token, outgoing)

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
        return self._publish(message, self._engine.refuse(message, error))

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
                refused.append(self._publish(message, self._engine.refuse(message, error)))
            else:
                harmless.append(message)
        return harmless, refused

    @staticmethod
    def _note(mirror: Mirror, message: Incoming, answer: Answer | None) -> None:
        if not mirror.has_room:
            mirror.skip(is_answered=answer is not None)
            return
        mirror.note(
            message.topic,
            message.payload,
            message.content_type,
            message.received_s,
            code=answer.code if answer is not None else "",
            runs=answer.runs if answer is not None and answer.ok else None,
        )

    def _send_home(self, answer: Answer, arrived_s: float) -> None:
        payload = answer.json_result()
        home = WorkerUplink(
            arrived_s=arrived_s,
            result=Raw(payload),
            is_sample=self._rule is not None and self._rule.is_sample,
        )
        if len(payload) > MAX_ROW_BYTES:
            self._counters.drop("uplink_too_large")
        elif not self._offer_uplink(home):
            self._counters.drop("uplink_full")

    def _count_run(self, rows: int, run_us: float) -> None:
        self._counters.batches.record(rows)
        self._counters.run.record(run_us)

    def _count(
        self, messages: Sequence[Incoming], answers: Sequence[Answer | None], began: float
    ) -> None:
        """Count how long everything took; what messages have in common is counted together."""
        counters = self._counters
        now = self._clock()
        _record(counters.queue, [(began - message.arrived_s) * 1e6 for message in messages])
        answered: list[float] = []
        decoded: list[float] = []
        encoded: list[float] = []
        for message, answer in zip(messages, answers, strict=True):
            if answer is None or not answer.topic:
                continue
            waited_s = now - message.arrived_s
            answered.append(waited_s * 1e6)
            if answer.ok:
                decoded.append(answer.decode_us)
                encoded.append(answer.encode_us)
                if answer.measured_s:
                    age_s = message.received_s + waited_s - answer.measured_s
                    counters.age.record(age_s * 1e6)
        _record(counters.total, answered)
        _record(counters.decode, decoded)
        _record(counters.encode, encoded)


def _record(histogram: Histogram, durations_us: Iterable[float]) -> None:
    """Record durations; a messages of a batch often have the same one."""
    last, times = 0.0, 0
    for duration_us in durations_us:
        if times and duration_us == last:
            times += 1
            continue
        if times:
            histogram.record(last, times)
        last, times = duration_us, 1
    if times:
        histogram.record(last, times)
