"""What a simulated worker counts: messages, errors, times, and how a shadow compares. Pure.

All of it follows from how long it has been at work. Nothing is inferred: the shares of wrong and
failed answers are the version's flaws.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cloud_sync.simulator.behaviour import Behaviour
from cloud_sync.simulator.chance import Hits, chance
from cloud_sync.simulator.scores import ScoreCycle
from edge_agent.contract.messages import (
    TIME_BOUNDS_MS,
    BatchSizes,
    ShadowHealth,
    SlotHealth,
    Timing,
)
from edge_agent.contract.state import WantedSlot

USUAL_MS: Final = 0.7
LATE_MS: Final = 240.0
TAIL: Final = 0.005
"""Share of messages of a sound version that take somewhat longer."""
TAIL_MS: Final = 2.0
WAY_MS: Final = 15.0
"""From the sensor to the worker."""
LEAST_SCORES: Final = 200
"""With fewer the index of their distributions says nothing."""

ScoreSource = Callable[[WantedSlot, float], ScoreCycle | None]
"""The scores of a version, by their drift; None for none, or none yet."""


class Worker:
    """One version at work in one slot, from its start to its end.

    Args:
        behaviour: of the fleet.
        device: its name.
        slot: its name.
        version: that runs.
        began: seconds since 1970.
        number: of the device's workers, from 1; told as its process.
        scores: of versions.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        device: str,
        slot: str,
        version: WantedSlot,
        began: float,
        number: int,
        scores: ScoreSource,
    ) -> None:
        self.version = version
        self.began = began
        self._behaviour = behaviour
        self._device = device
        self._number = number
        self._scores = scores
        self._flaw = behaviour.flaw_of(version)
        words = (device, slot, version.digest)
        seed = behaviour.seed
        self._failed = Hits(max(self._flaw.errors, behaviour.errors), seed, *words, "failed")
        self._late = Hits(self._flaw.late, seed, *words, "late")
        self._tail = Hits(TAIL, seed, *words, "tail")
        self._words = words
        self._champion = ""
        self._compared_from = 0
        self._wrong = Hits(0.0, seed)

    def messages(self, now: float) -> int:
        """How many have come so far."""
        return max(0, int((now - self.began) * self._behaviour.messages_per_s))

    def health(self, now: float, live: "Mapping[str, Worker]") -> SlotHealth:
        """Its counters.

        Args:
            now: seconds since 1970.
            live: the device's workers by slot; a shadow is compared with one of them.
        """
        version = self.version
        messages = self.messages(now)
        failed = self._failed.after(messages)
        answered = messages - failed
        late = self._late.after(answered)
        tail = self._tail.after(answered - late)
        total = timing({USUAL_MS: answered - late - tail, TAIL_MS: tail, LATE_MS: late})
        memory = self._behaviour.memory_mb * self._flaw.memory
        memory *= 0.95 + 0.1 * chance(self._behaviour.seed, self._device, "memory")
        is_shadow = version.mode == "shadow"
        return SlotHealth(
            module=version.module,
            version=version.version,
            digest=version.digest,
            state="running",
            pid=self._number,
            messages_in=messages,
            messages_out=0 if is_shadow else answered,
            failed={"model_failed": failed} if failed else {},
            total=total,
            run=timing({USUAL_MS / 2: answered - late - tail, TAIL_MS: tail, LATE_MS: late}),
            age=timing(
                {
                    WAY_MS + USUAL_MS: answered - late - tail,
                    WAY_MS + TAIL_MS: tail,
                    WAY_MS + LATE_MS: late,
                }
            ),
            batches=BatchSizes(
                runs=messages, rows=messages, largest=1, buckets=(messages, *[0] * 11)
            )
            if messages
            else BatchSizes(),
            runs_on=("CPUExecutionProvider",),
            threads=1,
            scores=self._scored(answered),
            shadow=self._compared(live.get(version.shadows), now) if is_shadow else None,
            rss_mb=round(memory, 1),
            pss_mb=round(0.6 * memory, 1),
        )

    def _scored(self, answered: int) -> tuple[int, ...]:
        cycle = self._scores(self.version, self._flaw.psi)
        return cycle.counts(answered, self._behaviour.seed, *self._words) if cycle else ()

    def _compared(self, champion: "Worker | None", now: float) -> ShadowHealth:
        of = self.version.shadows
        if champion is None:
            return ShadowHealth(of=of)
        if champion.version.digest != self._champion:
            # Another version answers: what was counted against the one before says nothing of it.
            self._champion = champion.version.digest
            behaviour = self._behaviour
            wrong = max(
                behaviour.wrong, self._flaw.wrong, behaviour.flaw_of(champion.version).wrong
            )
            self._wrong = Hits(wrong, behaviour.seed, *self._words, "wrong", self._champion)
            self._compared_from = max(0, self.messages(champion.began))
        seen = self.messages(now) - self._compared_from
        wrong = self._wrong.after(seen)
        psi = max(self._flaw.psi, 0.02 * chance(self._behaviour.seed, *self._words, "psi"))
        return ShadowHealth(
            of=of,
            version=champion.version.version,
            seen=seen,
            agreed=seen - wrong,
            max_difference=1.0 if wrong else 0.0,
            psi=round(psi, 4) if seen >= LEAST_SCORES else None,
            cpu_share=0.01,
        )


def timing(durations_ms: Mapping[float, int]) -> Timing:
    """A distribution of few different durations.

    Args:
        durations_ms: each to how many there were.
    """
    count = sum(durations_ms.values())
    if not count:
        return Timing()
    buckets = [0] * (len(TIME_BOUNDS_MS) + 1)
    for duration, times in durations_ms.items():
        place = next(
            (i for i, bound in enumerate(TIME_BOUNDS_MS) if duration <= bound), len(TIME_BOUNDS_MS)
        )
        buckets[place] += times
    return Timing(
        p50_ms=_quantile(durations_ms, count * 0.5),
        p99_ms=_quantile(durations_ms, count * 0.99),
        max_ms=max(duration for duration, times in durations_ms.items() if times),
        count=count,
        sum_ms=round(sum(duration * times for duration, times in durations_ms.items()), 3),
        buckets=tuple(buckets),
    )


def _quantile(durations_ms: Mapping[float, int], wanted: float) -> float:
    seen, last = 0, 0.0
    for duration in sorted(durations_ms):
        seen += durations_ms[duration]
        if durations_ms[duration]:
            last = duration
        if seen >= wanted:
            break
    return last
