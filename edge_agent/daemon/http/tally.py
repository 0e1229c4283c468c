"""What the HTTP server counts about itself. One thread writes and reads it."""

from bisect import bisect_left

from edge_agent.contract.messages import TIME_BOUNDS_MS


class Tally:
    """Counters since the start of the server.

    Attributes:
        answered: (what was asked, status) to count.
        infer_buckets: how many inferences were at most as long as each of `TIME_BOUNDS_MS` and
            longer than the bound before it, then how many were longer than all.
        infer_s: of all inferences, seconds.
        connections: open now.
        refused_connections: sent away, because there were too many.
    """

    def __init__(self) -> None:
        self.answered: dict[tuple[str, int], int] = {}
        self.infer_buckets = [0] * (len(TIME_BOUNDS_MS) + 1)
        self.infer_s = 0.0
        self.connections = 0
        self.refused_connections = 0

    def count(self, asks: str, status: int, took_s: float) -> None:
        """Count an answer.

        Args:
            asks: what was asked, as of `Route.asks`; "unknown" if there is no such question,
                "unread" if it was refused before anybody looked at what it asks.
            status: of HTTP.
            took_s: from the whole request to the answer, seconds.
        """
        key = (asks, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        if asks == "infer":
            self.infer_buckets[bisect_left(TIME_BOUNDS_MS, took_s * 1e3)] += 1
            self.infer_s += took_s
