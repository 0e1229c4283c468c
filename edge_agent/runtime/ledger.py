"""What is written down about messages whose answers are on their way: counts, results for the
cloud, and what a shadow is told.

Nobody waits for any of it, so a batch is entered after its answers have left: on a processor that
slept before a message came, the first use of every line costs more than the line. Holds nothing
back; decides nothing about an answer.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from msgspec import Raw

from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.histogram import Histogram
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.outputs import RunOutputs
from edge_agent.runtime.protocol import WorkerUplink
from edge_agent.runtime.scores import ScoreCounts
from edge_agent.runtime.uplink import UplinkRule

_log = logging.getLogger("shoal.worker")


class Ledger:
    """The books of one slot.

    Args:
        counters: what is counted.
        uplink: the rule for results that go to the cloud.
        offer_uplink: takes such a result, or says that there is no room.
        mirror: hears every message that was answered, for a shadow; None if none can come.
    """

    def __init__(
        self,
        counters: Counters,
        uplink: str,
        offer_uplink: Callable[[WorkerUplink], bool],
        mirror: Mirror | None,
    ) -> None:
        self._counters = counters
        self._rule = UplinkRule(uplink) if uplink != "none" else None
        self._offer_uplink = offer_uplink
        self._mirror = mirror
        self._runs: list[tuple[int, float]] = []

    def ran(self, rows: int, run_us: float) -> None:
        """Remember a run of the model until its batch is entered."""
        self._runs.append((rows, run_us))

    def enter(
        self,
        messages: Sequence[Incoming],
        answers: Sequence[Answer | None],
        began_s: float,
        sent_s: float,
    ) -> None:
        """Enter a batch.

        Args:
            messages: of the batch.
            answers: to these; None for a message that only filled a window.
            began_s: when work on them began, seconds, monotonic.
            sent_s: when the answers had left, seconds, monotonic.
        """
        mirror = self._mirror
        is_mirrored = mirror is not None and mirror.is_on
        for message, answer in zip(messages, answers, strict=True):
            if answer is not None:
                self.outcome(message, answer)
            if is_mirrored and mirror is not None and (answer is None or answer.topic):
                _tell(mirror, message, answer)
        if self._counters.scores is not None:
            count_scores(self._counters.scores, answers)
        self._count(messages, answers, began_s, sent_s)

    def outcome(self, message: Incoming, answer: Answer) -> None:
        """Count what became of one message, and send its result home if that is wanted."""
        counters = self._counters
        if answer.ok:
            counters.messages_out += 1
            if self._rule is not None and self._rule.wants(message.topic, answer.first):
                self._send_home(answer, message.arrived_s)
        elif answer.topic:
            counters.fail(answer.code, answer.text)
        else:
            # Without an output topic there is nowhere to publish an error either.
            counters.drop(answer.code)
            _log.warning("message_dropped code=%s topic=%r", answer.code, message.topic[:200])

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

    def _count(
        self,
        messages: Sequence[Incoming],
        answers: Sequence[Answer | None],
        began_s: float,
        sent_s: float,
    ) -> None:
        """Count how long everything took; what messages have in common is counted together."""
        counters = self._counters
        for rows, run_us in self._runs:
            counters.batches.record(rows)
            counters.run.record(run_us)
        self._runs.clear()
        _record(counters.queue, [(began_s - message.arrived_s) * 1e6 for message in messages])
        answered: list[float] = []
        decoded: list[float] = []
        encoded: list[float] = []
        for message, answer in zip(messages, answers, strict=True):
            if answer is None or not answer.topic:
                continue
            waited_s = sent_s - message.arrived_s
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


def count_scores(scores: ScoreCounts, answers: Iterable[Answer | None]) -> None:
    """Count the scores of each run once; those who shared it come one behind the other."""
    last: RunOutputs | None = None
    for answer in answers:
        if answer is None or answer.shares is None:
            continue
        for run in answer.shares.runs:
            if run is not last:
                scores.add(run)
                last = run


def _tell(mirror: Mirror, message: Incoming, answer: Answer | None) -> None:
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


def _record(histogram: Histogram, durations_us: Iterable[float]) -> None:
    """Record durations; messages of a batch often have the same one."""
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
