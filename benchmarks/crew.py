"""The devices of one stage of a simulated rollout, and what they count; for `gates`.

Nothing here is judged: it is what a service would have added up from their reports.
"""

import functools
import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct

from cloud_sync.fleet.measures import Tally
from cloud_sync.rollout.gates import GATES_OF
from cloud_sync.rollout.observation import Counted, Measures, Sample, StageEvidence
from cloud_sync.rollout.pooling import counted_of
from cloud_sync.rollout.rollout import Step

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

ROUND_MESSAGES: Final = 60.0
"""Messages of a device in a round, median."""

TRAFFIC_SPREAD: Final = 0.8
"""Standard deviation of the logarithm of that, between devices."""

BURST: Final = 3.0
"""Variance of a report's count over that of messages that have nothing to do with each other."""

CHAMPION_ROUNDS: Final = 120
"""Reports of the champion before the rollout: an hour's."""

LABELLED: Final = 0.1
MEMORY_NOISE: Final = 0.1
PSI_NOISE: Final = 0.05
_NOTHING: Final = 1e-12
_PAIRS_LEAST: Final = 200
_BINS: Final = 10
_SHARES: Final = ("error_rate", "slow", "old", "disagreement", "wrong")


class Case(Struct, frozen=True, kw_only=True):
    """A kind of version.

    Attributes:
        rates: of messages, by gate: mean over devices of what the version does.
        champion: the same of what ran before; missing is 0.
        memory: times what it may take, typical device.
        psi: index of its scores against the champion's.
        spread: coefficient of variation of the rates between devices.
        is_shared: whether a device that is bad for the version was so for the champion.
        only: part of the devices that the whole of a rate comes from.
        has_champion: whether there is one; without, nothing runs as a shadow.
    """

    rates: Mapping[str, float]
    champion: Mapping[str, float] = {}
    memory: float = 0.9
    psi: float = 0.01
    spread: float = 0.5
    is_shared: bool = False
    only: float = 1.0
    has_champion: bool = True


class Crew:
    """The devices of one stage, and what they have counted so far in one step.

    Args:
        case: kind of version.
        size: devices.
        chance: of everything.
    """

    def __init__(self, case: Case, size: int, chance: np.random.Generator) -> None:
        self._case = case
        self._size = size
        self._chance = chance
        self._traffic = ROUND_MESSAGES * np.exp(chance.normal(0, TRAFFIC_SPREAD, size))
        own = self._factors()
        self._version = rates_of(case.rates, own)
        self._champion = rates_of(case.champion, own if case.is_shared else self._factors())
        self._memory = math.log(case.memory) + chance.normal(0, MEMORY_NOISE, size)
        self._psi = np.maximum(0, chance.normal(case.psi, PSI_NOISE * min(1, case.psi * 10), size))
        self.before = self._champion_measures() if case.has_champion else Measures()
        self.begin()

    def begin(self) -> None:
        """A step begins: nothing is counted."""
        self.rounds = 0
        self._messages = np.zeros(self._size)
        self._of, self._hits, self._squares = np.zeros((3, len(_SHARES), self._size))
        self._scores = np.zeros(_BINS)

    def report(self, rounds: int) -> None:
        """Rounds of reports come, one after the other, and nobody looks in between."""
        self.rounds += rounds
        messages = self._count(self._version, rounds)
        self._messages += messages
        if not self._case.has_champion:
            independent = self._chance.poisson(float(messages.sum()) / BURST)
            found = self._chance.multinomial(independent, tilted(self._case.psi))
            self._scores += BURST * found

    def evidence(self, step: Step) -> StageEvidence:
        """What a stage would be judged by."""
        names = [name for name in GATES_OF[step] if name in _SHARES]
        version = Measures(
            devices=self._size,
            messages=int(self._messages.sum()),
            counted={name: self._counted(name) for name in names},
            memory=Sample(
                devices=self._size,
                mean=float(self._memory.mean()),
                variance=float(self._memory.var(ddof=1)) if self._size > 1 else 0.0,
            ),
            drift=self._drift(),
            compared=int(self._messages.sum()),
            scores=tuple(int(count) for count in self._scores),
        )
        # Any histograms: the bounds that follow from them are met as the counts above say.
        return StageEvidence(
            version=version,
            champion=self.before,
            max_p99_ms=10.0,
            profile=() if self._case.has_champion else (1 / _BINS,) * _BINS,
        )

    def _factors(self) -> Array:
        """How much worse than the mean each device is; their mean is 1."""
        shape = 1 / self._case.spread**2
        factors: Array = self._chance.gamma(shape, 1 / shape, self._size)
        if self._case.only < 1:
            factors *= (self._chance.random(self._size) < self._case.only) / self._case.only
        return factors

    def _count(self, rates: Array, rounds: int) -> Array:
        """Count what happens to the messages of some rounds; the messages of each device."""
        messages = self._chance.poisson(self._traffic, (rounds, self._size))
        of = np.repeat(messages[np.newaxis].astype(float), len(_SHARES), axis=0)
        of[_SHARES.index("wrong")] = self._chance.binomial(messages, LABELLED)
        hits = np.minimum(of, bursts(self._chance, of * rates[:, np.newaxis]))
        self._hits += hits.sum(axis=1)
        self._of += of.sum(axis=1)
        self._squares += np.divide(hits * hits, of, out=np.zeros_like(of), where=of > 0).sum(axis=1)
        whole: Array = messages.sum(axis=0).astype(float)
        return whole

    def _counted(self, name: str) -> Counted:
        at = _SHARES.index(name)
        columns = (self._hits[at], self._of[at], self._squares[at])
        tallies = [
            Tally(hits=hits, of=of, squares=squares)
            for hits, of, squares in zip(*(column.tolist() for column in columns), strict=True)
        ]
        # Labels come without reports.
        return counted_of(tallies, 0.0 if name == "wrong" else float(self.rounds * self._size))

    def _champion_measures(self) -> Measures:
        self.begin()
        self.rounds = CHAMPION_ROUNDS
        self._count(self._champion, CHAMPION_ROUNDS)
        counted = {name: self._counted(name) for name in _SHARES if name != "disagreement"}
        # All in one bucket: what the bound of ages is derived from, and nothing else.
        whole = int(self._of[_SHARES.index("old")].sum())
        ages = (0, 0, 0, whole, *(0,) * 12)
        return Measures(devices=self._size, messages=whole, ages=ages, counted=counted)

    def _drift(self) -> Sample | None:
        """The index that each device reports once it has enough pairs."""
        ready = self._messages >= _PAIRS_LEAST
        if not self._case.has_champion or not ready.any():
            return None
        pairs = self._messages[ready]
        found = self._chance.noncentral_chisquare(_BINS - 1, pairs * self._psi[ready] / 2)
        psi = 2 / pairs * found
        noise = 8 * psi / pairs + 2 * (_BINS - 1) * (2 / pairs) ** 2
        return Sample(
            devices=len(psi),
            mean=float(psi.mean()),
            variance=float(psi.var(ddof=1)) if len(psi) > 1 else 0.0,
            noise=float(noise.mean()),
            bias=float((34 / pairs).mean()),
        )


def rates_of(rates: Mapping[str, float], factors: Array) -> Array:
    """Of each kind and device, [kinds, devices]."""
    means = np.array([[rates.get(name, 0.0)] for name in _SHARES])
    return np.minimum(means * factors, 1.0)


def bursts(chance: np.random.Generator, mean: Array) -> Array:
    """Counts with these means that come in bursts: their variance is `BURST` times the mean."""
    return chance.negative_binomial(mean / (BURST - 1) + _NOTHING, 1 / BURST).astype(float)


@functools.cache
def tilted(psi: float) -> Array:
    """Shares of ten bins whose index against even ones is `psi`."""
    low, high = 0.0, 5.0
    places = np.linspace(-1, 1, _BINS)
    shares = np.full(_BINS, 1 / _BINS)
    for _ in range(50):
        tilt = (low + high) / 2
        shares = np.exp(tilt * places)
        shares /= shares.sum()
        index = float(((shares - 1 / _BINS) * np.log(shares * _BINS)).sum())
        low, high = (tilt, high) if index < psi else (low, tilt)
    return shares
