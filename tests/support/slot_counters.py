"""What the slots of scripted devices count, as their health reports say it: no model runs."""

from collections import Counter
from collections.abc import Mapping

from edge_agent.contract.messages import (
    TIME_BOUNDS_MS,
    Health,
    ShadowHealth,
    SlotHealth,
    Timing,
)
from edge_agent.contract.state import ReportedSlot

USUAL_MS = 2.5
ENOUGH_PAIRS = 500
"""A shadow's scores are compared when there are more."""


class SlotCounters:
    """Counters of every digest in every slot of some devices, since each began.

    Attributes:
        errors: digest to how many of a hundred of its messages fail.
        differing: the same of its answers in shadow that differ from the champion's.
    """

    def __init__(self) -> None:
        self.errors: dict[str, int] = {}
        self.differing: dict[str, int] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def report(
        self,
        device: str,
        slots: Mapping[str, ReportedSlot],
        *,
        messages: int,
        time: float,
        uptime_s: float,
        boot_id: str = "boot",
    ) -> Health:
        """A health report, in which each slot that runs something has seen more messages."""
        return Health(
            device=device,
            boot_id=boot_id,
            time=time,
            uptime_s=uptime_s,
            interval_s=30,
            slots={
                name: self._slot(device, name, slot, messages)
                for name, slot in slots.items()
                if slot.running
            },
        )

    def _slot(self, device: str, name: str, slot: ReportedSlot, messages: int) -> SlotHealth:
        digest = slot.running
        self._counts[device, name, digest] += messages
        count = self._counts[device, name, digest]
        buckets = [0] * (len(TIME_BOUNDS_MS) + 1)
        buckets[TIME_BOUNDS_MS.index(USUAL_MS)] = count
        failed = count * self.errors.get(digest, 0) // 100
        shadow = ShadowHealth(
            of=slot.shadows,
            version=1,
            seen=count,
            agreed=count - count * self.differing.get(digest, 0) // 100,
            psi=0.01 if count > ENOUGH_PAIRS else None,
        )
        return SlotHealth(
            module=slot.module,
            version=1,
            digest=digest,
            state="running",
            pid=len(digest),
            messages_in=count,
            failed={"model_failed": failed} if failed else {},
            total=Timing(count=count, buckets=tuple(buckets), p50_ms=2, p99_ms=2.2, max_ms=2.4),
            pss_mb=40,
            shadow=shadow if slot.shadows else None,
        )
