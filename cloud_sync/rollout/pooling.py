"""What each device measured put together into what a stage is judged by. Pure.

Sums alone would lie in two ways: messages of one half minute have things in common (a sensor that
fails does so for a while), and one busy device is not many devices. Both are measured here and
handed on with each count, so that the tests can discount it. Must never fill in what is missing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from cloud_sync.fleet.measures import SlotMeasures, Spell, Tally
from cloud_sync.rollout.durations import bound_index, longer_of
from cloud_sync.rollout.observation import Counted, Measures, Sample

PROCESS_MB: Final = 32.0
"""What a worker takes without a model, MiB; a manifest's `memory_mb` is what a model may add."""

USUAL_DESIGN: Final = 3.0
"""Messages that say as much as an independent one, before enough reports have come to tell."""

USUAL_WEIGHT: Final = 10.0
"""Reports that this is worth."""

_TENTH: Final = 0.1
_PAIR_BINS: Final = 9.0
"""Degrees of freedom of a device's own index: tenths of the scores."""

_WORST_OF_COLUMNS: Final = 34.0
"""Mean of the largest of eight such indices that are nothing but noise, times the pairs."""


def pool(
    rows: Sequence[SlotMeasures], *, slow_ms: float | None = None, old_ms: float | None = None
) -> Measures:
    """Put together what one digest did on several devices.

    Args:
        rows: one of each device.
        slow_ms: a message that took longer is slow; None if nothing is.
        old_ms: the same of its age.
    """
    reports = sum(row.reports for row in rows)
    counted = {"error_rate": counted_of([row.errors for row in rows], reports)}
    if any(row.compared.of for row in rows):
        counted["disagreement"] = counted_of([row.compared for row in rows], reports)
    if slow_ms is not None:
        counted["slow"] = _longer([row.total for row in rows], slow_ms, reports)
    if old_ms is not None:
        counted["old"] = _longer([row.ages for row in rows], old_ms, reports)
    right, wrong = sum(row.right for row in rows), sum(row.wrong for row in rows)
    if right + wrong:
        labels = [Tally(hits=row.wrong, of=row.right + row.wrong) for row in rows]
        counted["wrong"] = counted_of(labels, 0.0)
    psis = [row.psi for row in rows if row.psi is not None]
    return Measures(
        devices=sum(1 for row in rows if row.messages),
        messages=int(sum(row.messages for row in rows)),
        errors=int(sum(row.errors.hits for row in rows)),
        total=_added([row.total.buckets for row in rows]),
        ages=_added([row.ages.buckets for row in rows]),
        memory_mb=max((memory_of(row) for row in rows), default=0.0),
        compared=int(sum(row.compared.of for row in rows)),
        differed=int(sum(row.compared.hits for row in rows)),
        psi=max(psis, default=None),
        scores=_added([row.scores for row in rows]),
        right=right,
        wrong=wrong,
        counted=counted,
        drift=_drift(rows),
    )


def memory_of(row: SlotMeasures) -> float:
    """Largest that a device has lately seen, MiB; 0 if it was not measured."""
    return max(row.memory_mb, row.memory_before_mb)


def compare_memory(
    version: Mapping[str, SlotMeasures],
    champion: Mapping[str, SlotMeasures],
    allowed_mb: float | None,
) -> Sample | None:
    """How many times what it may a version takes, on each device; logarithms.

    It may take what its manifest says and what a worker takes without a model, or what the champion
    takes on the same device if that is more.

    Args:
        version, champion: by device.
        allowed_mb: of the manifest; None if it says nothing.

    Returns:
        None if there is nothing to compare.
    """
    found = []
    for device, row in version.items():
        own = memory_of(row)
        other = memory_of(champion[device]) if device in champion else 0.0
        limit = memory_limit(allowed_mb, other)
        if own > 0 and limit > 0:
            found.append(math.log(own / limit))
    return _sample(found) if found else None


def memory_limit(allowed_mb: float | None, champion_mb: float) -> float:
    """What a worker may take, MiB; 0 if nobody can say. Never less than one without a model."""
    if not allowed_mb and champion_mb <= 0:
        return 0.0
    return max(champion_mb, PROCESS_MB + (allowed_mb or 0.0))


def most_drift(differing: float) -> float:
    """The largest index that answers can have made of which this part differs, 0 to 1.

    Scores that are alike within the module's tolerance have not drifted, even if all of them went
    over the bound of a bin by a millionth: in tenths, the rest can fill one and empty another.
    """
    return differing * math.log((_TENTH + differing) / max(_TENTH - differing, _TENTH / 20))


def counted_of(tallies: Sequence[Tally], reports: float) -> Counted:
    """What devices counted, as one count and how far it goes.

    Args:
        tallies: one of each device.
        reports: that they came in.
    """
    used = [tally for tally in tallies if tally.of > 0]
    hits, of = sum(tally.hits for tally in used), sum(tally.of for tally in used)
    return Counted(
        least=hits,
        most=hits,
        of=of,
        design=_design([(tally.hits, tally.of, tally.squares) for tally in used], reports=reports),
        devices=_alike([tally.of for tally in used]),
    )


def _longer(spells: Sequence[Spell], bound_ms: float, reports: float) -> Counted:
    used = [spell for spell in spells if spell.buckets]
    sizes = [sum(spell.buckets) for spell in used]
    sides = [longer_of(spell, bound_ms) for spell in used]
    # How they come in bursts, by the bounds next to ours.
    above = bound_index(bound_ms)
    designs = [
        _design(
            [
                (sum(spell.buckets[index + 1 :]), size, spell.squares[index])
                for spell, size in zip(used, sizes, strict=True)
                if index < len(spell.squares)
            ],
            reports=reports,
        )
        for index in {max(0, above - 1), above}
    ]
    return Counted(
        least=sum(least for least, _most in sides),
        most=sum(most for _least, most in sides),
        of=sum(sizes),
        design=max(designs, default=1.0),
        devices=_alike(sizes),
    )


def _design(counts: Sequence[tuple[float, float, float]], *, reports: float) -> float:
    """How many messages say as much as one that came alone; at least 1.

    The variance between the reports of a device, over that of messages that have nothing to do
    with each other. At most a report's whole messages count as one.

    Args:
        counts: of each device hits, messages, and sum over reports of hits**2 / messages.
        reports: of all devices.
    """
    hits, of = sum(count[0] for count in counts), sum(count[1] for count in counts)
    freedom = reports - len(counts)
    if not hits or hits >= of:
        return 1.0
    if not reports:
        return min(USUAL_DESIGN, max(1.0, of / len(counts)))
    between = sum(squares - found**2 / whole for found, whole, squares in counts)
    rate = hits / of
    found = between / (rate * (1 - rate))
    # The first reports cannot tell: until there are more, what is usual is assumed.
    found = (USUAL_DESIGN * USUAL_WEIGHT + found) / (USUAL_WEIGHT + freedom)
    return min(max(1.0, found), max(1.0, of / reports))


def _alike(sizes: Sequence[float]) -> float:
    """How many devices of one size say as much as these (Kish's effective number)."""
    squares = sum(size * size for size in sizes)
    return sum(sizes) ** 2 / squares if squares else 1.0


def _drift(rows: Sequence[SlotMeasures]) -> Sample | None:
    found = [
        (min(row.psi, most_drift(row.compared.hits / row.compared.of)), row.compared.of)
        for row in rows
        if row.psi is not None and row.compared.of
    ]
    if not found:
        return None
    sample = _sample([psi for psi, _pairs in found])
    noise = [8 * psi / pairs + 2 * _PAIR_BINS * (2 / pairs) ** 2 for psi, pairs in found]
    bias = [_WORST_OF_COLUMNS / pairs for _psi, pairs in found]
    return Sample(
        devices=sample.devices,
        mean=sample.mean,
        variance=sample.variance,
        noise=sum(noise) / len(noise),
        bias=sum(bias) / len(bias),
    )


def _sample(found: Sequence[float]) -> Sample:
    mean = sum(found) / len(found)
    freedom = len(found) - 1
    variance = sum((value - mean) ** 2 for value in found) / freedom if freedom else 0.0
    return Sample(devices=len(found), mean=mean, variance=variance)


def _added(rows: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """Sums of counts; those with other bins than most have are left out."""
    lengths = [len(row) for row in rows if row]
    if not lengths:
        return ()
    length = max(set(lengths), key=lambda size: (lengths.count(size), size))
    used = [row for row in rows if len(row) == length]
    return tuple(int(sum(column)) for column in zip(*used, strict=True))
