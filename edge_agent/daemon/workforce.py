"""What the rest of the agent asks of the workers of all slots. The supervisor implements it.

Only the questions of those who plan and report; how a version is run, proved and replaced is
`reconcile.workers`.
"""

from typing import Protocol

from edge_agent.contract.messages import SlotHealth


class Workforce(Protocol):
    """The workers of a device, from outside. Any thread."""

    def health(self) -> dict[str, SlotHealth]:
        """Counters of every slot's worker."""
        ...

    def pids(self) -> list[int]:
        """Process ids of all workers."""
        ...

    def tick(self, now: float) -> float | None:
        """Do what is due. Returns when something is due next, seconds, monotonic, or None."""
        ...

    def stop_all(self) -> None:
        """End every worker, politely; they may be started again."""
        ...
