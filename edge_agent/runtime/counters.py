"""What a worker counts. Written by the thread that answers, read by the one that reports."""

from collections.abc import Mapping
from typing import Final, Protocol

from edge_agent.contract.messages import SlotHealth
from edge_agent.runtime.histogram import BatchHistogram, Histogram
from edge_agent.runtime.memory import rss_mb
from edge_agent.runtime.scores import ScoreCounts

_MOST_WORDS: Final = 300
"""Characters that are kept of an error's text."""


class Subject(Protocol):
    """What is counted about: it knows some things itself."""

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers in use."""
        ...

    @property
    def threads(self) -> int:
        """Of one run."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it was asked for, one sentence each."""
        ...

    @property
    def losses(self) -> Mapping[str, int]:
        """Reason to count: what was forgotten to stay within bounds."""
        ...


class Counters:
    """Counters since the start of the worker. Durations are in microseconds.

    Attributes:
        messages_in: received.
        messages_out: results published, errors not counted. One that turns out not to be
            publishable is taken back.
        failed: error code to count.
        failures: error code to the text of the last such failure.
        dropped: reason to count.
        total: receipt to answer.
        queue: receipt until work on the message began.
        decode: bytes to tensors, a message's share of its batch.
        run: the model alone, of one run.
        encode: outputs to bytes, a message's share of its batch.
        age: at the answer, by the message's own time.
        batches: rows of one run.
        waiting: messages in the queue.
        scores: of answers, by the bins of the module's profile; None if it has none.
    """

    def __init__(self) -> None:
        self.messages_in = 0
        self.messages_out = 0
        self.failed: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.dropped: dict[str, int] = {}
        self.total = Histogram()
        self.queue = Histogram()
        self.decode = Histogram()
        self.run = Histogram()
        self.encode = Histogram()
        self.age = Histogram()
        self.batches = BatchHistogram()
        self.waiting = 0
        self.scores: ScoreCounts | None = None
        self._told_out = 0
        self._subject: Subject | None = None

    def watch(self, subject: Subject) -> None:
        """Report what this one knows, too."""
        self._subject = subject

    def fail(self, code: str, text: str = "") -> None:
        """Count a message that could not be answered, and keep what was said about it."""
        self.failures[code] = text[:_MOST_WORDS]  # first: a code that is counted has its text
        self.failed[code] = self.failed.get(code, 0) + 1

    def drop(self, reason: str) -> None:
        """Count something that was left out on purpose."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def health(self, *, module: str, version: int, digest: str, pid: int) -> SlotHealth:
        """All of it, as a message."""
        subject = self._subject
        # A reader takes a counter that went down for one that began anew.
        self._told_out = max(self._told_out, self.messages_out)
        return SlotHealth(
            module=module,
            version=version,
            digest=digest,
            state="running",
            pid=pid,
            messages_in=self.messages_in,
            messages_out=self._told_out,
            failed=dict(self.failed),
            dropped={**self.dropped, **(subject.losses if subject else {})},
            total=self.total.timing(),
            queue=self.queue.timing(),
            decode=self.decode.timing(),
            run=self.run.timing(),
            encode=self.encode.timing(),
            age=self.age.timing(),
            batches=self.batches.sizes(),
            waiting=self.waiting,
            scores=self.scores.counts() if self.scores is not None else (),
            runs_on=subject.providers if subject else (),
            threads=subject.threads if subject else 0,
            notes=subject.notes if subject else (),
            rss_mb=rss_mb(),
        )
