"""What one digest has done in a slot of a device, added up from health reports. Pure.

A worker counts since it started, and workers start anew; a rollout asks what a version did in
all. So each report is compared with the one before it, and the difference is added. Besides sums it
keeps how unevenly they came, report by report: ten errors in one half minute say less than ten
errors in ten. Must never count a report twice, and never forget what it may still be judged by.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from edge_agent.contract.messages import Health, ShadowHealth, SlotHealth, Timing

FADES_S: Final = 86_400.0
"""After each such time half of what was counted is forgotten, where there is plenty."""

PLENTY: Final = 10_000
"""Messages. What a slot with fewer did is kept whole, however long it took."""


class Tally(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often something happened to messages.

    Attributes:
        hits: messages that it happened to.
        of: messages that it could have happened to.
        squares: sum over reports of hits**2 / of.
    """

    hits: float = 0.0
    of: float = 0.0
    squares: float = 0.0

    def plus(self, hits: float, of: float) -> "Tally":
        """With one report more."""
        of = max(of, hits)
        if of <= 0:
            return self
        return Tally(
            hits=self.hits + hits, of=self.of + of, squares=self.squares + hits * hits / of
        )

    def halved(self) -> "Tally":
        """As half of it."""
        return Tally(hits=self.hits / 2, of=self.of / 2, squares=self.squares / 2)


class Spell(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A distribution of durations.

    Attributes:
        buckets: as of `Timing`; empty if there were none.
        squares: for each bound, sum over reports of slower**2 / all, of those slower than it.
        p50_ms, p99_ms, max_ms: of the newest worker, which knows them better than buckets do.
        newest: how many durations that worker has measured.
    """

    buckets: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    newest: float = 0.0

    def plus(self, more: Sequence[float], timing: Timing) -> "Spell":
        """With one report more.

        Args:
            more: what it adds to the buckets.
            timing: of the worker, since it started.
        """
        whole = sum(more)
        if not whole:
            return self
        buckets = self.buckets or (0.0,) * len(more)
        squares = self.squares or (0.0,) * (len(more) - 1)
        slower, added = whole, []
        for count in more[:-1]:
            slower -= count
            added.append(slower * slower / whole)
        return Spell(
            buckets=_sum(buckets, more),
            squares=_sum(squares, added),
            p50_ms=timing.p50_ms,
            p99_ms=timing.p99_ms,
            max_ms=timing.max_ms,
            newest=float(timing.count),
        )

    def halved(self) -> "Spell":
        """As half of it."""
        return replace(
            self,
            buckets=tuple(count / 2 for count in self.buckets),
            squares=tuple(square / 2 for square in self.squares),
        )


class SlotMeasures(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that one digest did in one slot of one device.

    Attributes:
        since: when it was first counted, or last halved, seconds since 1970.
        reports: that brought messages.
        messages: that came.
        errors: those that failed in the model or could not become tensors; and crashes.
        total: of durations.
        ages: of messages that say when they were measured.
        memory_mb: largest of any report since `since`.
        memory_before_mb: the same of the time before.
        against: of a shadow, the version that it is compared with; what follows is about that.
        compared: messages that both versions saw, and those whose outputs differ.
        psi: of all pairs of scores; None with too few.
        scores: counts by the bins of its profile.
        right, wrong: messages with a delayed label.
    """

    since: float = 0.0
    reports: float = 0.0
    messages: float = 0.0
    errors: Tally = Tally()
    total: Spell = Spell()
    ages: Spell = Spell()
    memory_mb: float = 0.0
    memory_before_mb: float = 0.0
    against: int = 0
    compared: Tally = Tally()
    psi: float | None = None
    scores: tuple[float, ...] = ()
    right: int = 0
    wrong: int = 0


def is_later(before: Health, report: Health) -> bool:
    """Whether a report of the same boot is newer; the broker may send one twice, or late."""
    return report.uptime_s > before.uptime_s


def add_report(
    measures: SlotMeasures, before: SlotHealth | None, report: SlotHealth, now: float
) -> SlotMeasures:
    """Add what a slot did since the report before.

    Args:
        measures: so far.
        before: of the same slot, in the report before, if that is of the same run of the agent.
        report: that came now.
        now: seconds since 1970.
    """
    measures = _faded(measures, now)
    last = before if before is not None and _is_same_worker(before, report) else None
    crashes = _crashes(report)
    if before is not None and before.digest == report.digest and _crashes(before) <= crashes:
        crashes -= _crashes(before)  # the agent counts them, over all processes of a worker
    messages = float(report.messages_in - (last.messages_in if last else 0))
    errors = sum(report.failed.values()) - (sum(last.failed.values()) if last else 0) + crashes
    measures = replace(
        measures,
        reports=measures.reports + (1 if messages or errors else 0),
        messages=measures.messages + messages,
        errors=measures.errors.plus(errors, messages),
        total=_durations(measures.total, last.total if last else Timing(), report.total),
        ages=_durations(measures.ages, last.age if last else Timing(), report.age),
        memory_mb=max(measures.memory_mb, report.memory_mb),
        scores=_sum(measures.scores, _more(last.scores if last else (), report.scores)),
    )
    if report.shadow is None:
        return measures
    return _add_comparison(measures, last.shadow if last else None, report.shadow)


def add_labels(measures: SlotMeasures, *, right: int, wrong: int) -> SlotMeasures:
    """Add messages that were found to be answered rightly or wrongly; negative to take back."""
    return replace(
        measures,
        right=max(0, measures.right + right),
        wrong=max(0, measures.wrong + wrong),
    )


def _add_comparison(
    measures: SlotMeasures, before: ShadowHealth | None, shadow: ShadowHealth
) -> SlotMeasures:
    # The counters begin anew with each version that is compared with, and so does what we judge.
    tally = measures.compared if measures.against == shadow.version else Tally()
    differed = shadow.seen - shadow.agreed
    if before is None or before.version != shadow.version or before.seen > shadow.seen:
        tally = tally.plus(differed, shadow.seen)
    else:
        was = before.seen - before.agreed
        tally = tally.plus(max(0, differed - was), shadow.seen - before.seen)
    return replace(measures, against=shadow.version, compared=tally, psi=shadow.psi)


def _faded(measures: SlotMeasures, now: float) -> SlotMeasures:
    """What a busy version did days ago counts less than what it did today.

    Its inputs change, and a champion would else be known by months that are gone. Labels stay:
    they come late by nature.
    """
    if not measures.since or now < measures.since:
        return replace(measures, since=now)
    if now - measures.since < FADES_S or measures.messages < PLENTY:
        return measures
    return replace(
        measures,
        since=now,
        reports=measures.reports / 2,
        messages=measures.messages / 2,
        errors=measures.errors.halved(),
        total=measures.total.halved(),
        ages=measures.ages.halved(),
        memory_mb=0.0,
        memory_before_mb=measures.memory_mb,
        compared=measures.compared.halved(),
        scores=tuple(count / 2 for count in measures.scores),
    )


def _is_same_worker(before: SlotHealth, report: SlotHealth) -> bool:
    """Whether the counters went on; those of another process begin at nothing."""
    return (
        before.digest == report.digest
        and before.restarts == report.restarts
        and (before.pid == report.pid or not before.pid or not report.pid)
        and before.messages_in <= report.messages_in
        and sum(before.failed.values()) <= sum(report.failed.values())
        and before.total.count <= report.total.count
    )


def _crashes(report: SlotHealth) -> int:
    return sum(report.crashes.values())


def _durations(spell: Spell, before: Timing, timing: Timing) -> Spell:
    return spell.plus(_more(before.buckets, timing.buckets), timing)


def _more(before: Sequence[int], now: Sequence[int]) -> tuple[int, ...]:
    """What each count grew by; a count that went down began anew."""
    if len(before) != len(now) or any(b > n for b, n in zip(before, now, strict=True)):
        return tuple(now)
    return tuple(n - b for b, n in zip(before, now, strict=True))


def _sum(left: Sequence[float], right: Sequence[float]) -> tuple[float, ...]:
    if len(left) != len(right):  # an agent with other bounds: the newer ones hold
        return tuple(map(float, right)) or tuple(left)
    return tuple(a + b for a, b in zip(left, right, strict=True))
