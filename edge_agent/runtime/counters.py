"""What a worker counts. Written by the thread that answers, read by the one that reports."""

from edge_agent.contract.messages import SlotHealth
from edge_agent.runtime.histogram import Histogram
from edge_agent.runtime.memory import rss_mb


class Counters:
    """Counters since the start of the worker.

    Attributes:
        messages_in: received.
        messages_out: results published, errors not counted.
        failed: error code to count.
        dropped: reason to count.
        total: receipt to answer, microseconds.
        run: the model alone, microseconds.
    """

    def __init__(self) -> None:
        self.messages_in = 0
        self.messages_out = 0
        self.failed: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.total = Histogram()
        self.run = Histogram()

    def fail(self, code: str) -> None:
        """Count a message that could not be answered."""
        self.failed[code] = self.failed.get(code, 0) + 1

    def drop(self, reason: str) -> None:
        """Count something that was left out on purpose."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def health(self, *, module: str, version: int, digest: str, pid: int) -> SlotHealth:
        """All of it, as a message."""
        return SlotHealth(
            module=module,
            version=version,
            digest=digest,
            state="running",
            pid=pid,
            messages_in=self.messages_in,
            messages_out=self.messages_out,
            failed=dict(self.failed),
            dropped=dict(self.dropped),
            total=self.total.timing(),
            run=self.run.timing(),
            rss_mb=rss_mb(),
        )
