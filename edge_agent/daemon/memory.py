"""Each process's share of memory, asked for rarely: one look takes the kernel a millisecond or two.

With ten modules and a health report every second, asking each time was most of what an idle
device did.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from edge_agent.contract.messages import SlotHealth
from edge_agent.daemon.machine import pss_mb

KEPT_S: Final = 10.0
"""A share that was looked up less than this ago is told again."""


class MemoryShares:
    """Remembers the shares of processes for a while. Any thread, one at a time.

    Args:
        monotonic: the clock, seconds.
        look: a process's share, MiB; None if it is gone or the kernel does not tell.
    """

    def __init__(
        self, monotonic: Callable[[], float], look: Callable[[int], float | None] = pss_mb
    ) -> None:
        self._monotonic = monotonic
        self._look = look
        self._seen: dict[int, tuple[float, float | None]] = {}

    def of(self, pids: Iterable[int]) -> dict[int, float]:
        """The shares of processes, MiB; those of which nothing is known are left out.

        What is known of other processes is forgotten.
        """
        now = self._monotonic()
        seen: dict[int, tuple[float, float | None]] = {}
        for pid in pids:
            known = self._seen.get(pid)
            is_recent = known is not None and now - known[0] < KEPT_S
            seen[pid] = known if known is not None and is_recent else (now, self._look(pid))
        self._seen = seen
        return {pid: share for pid, (_, share) in seen.items() if share is not None}


def with_memory(
    slots: Mapping[str, SlotHealth], shares: Mapping[int, float]
) -> dict[str, SlotHealth]:
    """The same counters, each with its worker's share of memory."""
    return {
        slot: replace(health, pss_mb=shares.get(health.pid) if health.pid else None)
        for slot, health in slots.items()
    }
