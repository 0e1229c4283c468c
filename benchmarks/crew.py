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
        self._version = {name: np.minimum(rate * own, 1) for name, rate in case.rates.items()}
        shared = own if case.is_shared else self._factors()
        self._champion = {
            name: np.minimum(rate * shared, 1) for name, rate in case.champion.items()
        }
        self._memory = math.log(case.memory) + chance.normal(0, MEMORY_NOISE, size)
        self._psi = np.maximum(0, chance.normal(case.psi, PSI_NOISE * min(1, case.psi * 10), size))
        self.before = self._champion_measures() if case.has_champion else Measures()
        self.begin()

    def begin(self) -> None:
        """A step begins: nothing is counted."""
        self.rounds = 0
        self._messages = np.zeros(self._size)
        self._of = {name: np.zeros(self._size) for name in _SHARES}
        self._hits = {name: np.zeros(self._size) for name in _SHARES}
        self._squares = {name: np.zeros(self._size) for name in _SHARES}
        self._scores = np.zeros(_BINS)

    def report(self, names: tuple[str, ...], rounds: int) -> None:
        """Rounds of reports come, one after the other, and nobody looks in between."""
        self.rounds += rounds
        messages = self._chance.poisson(self._traffic, (rounds, self._size)).astype(float)
        self._messages += messages.sum(axis=0)
        for name in names:
            if name in self._version:
                labelled = name == "wrong"
                of = self._chance.binomial(messages.astype(int), LABELLED) if labelled else messages
                self._count(name, of.astype(float), self._version[name])
        if not self._case.has_champion:
            independent = self._chance.poisson(messages.sum() / BURST)
            found = self._chance.multinomial(independent, tilted(self._case.psi))
            self._scores += BURST * found

    def evidence(self, step: Step) -> StageEvidence:
        """What a stage would be judged by."""
        names = [name for name in GATES_OF[step] if name in _SHARES]
        version = Measures(
            devices=self._size,
            messages=int(self._messages.sum()),
            counted={
                name: _counted(
                    self._hits[name],
                    self._of[name],
                    self._squares[name],
                    0 if name == "wrong" else self.rounds,  # labels come without reports
                )
                for name in names
            },
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
        factors = self._chance.gamma(shape, 1 / shape, self._size)
        if self._case.only < 1:
            factors *= (self._chance.random(self._size) < self._case.only) / self._case.only
        return factors

    def _count(self, name: str, of: Array, rates: Array) -> None:
        """Count what happened to `of` messages, [rounds, devices]."""
        hits = np.minimum(of, bursts(self._chance, of * rates))
        self._hits[name] += hits.sum(axis=0)
        self._of[name] += of.sum(axis=0)
        squares = np.divide(hits * hits, of, out=np.zeros_like(of), where=of > 0)
        self._squares[name] += squares.sum(axis=0)

    def _champion_measures(self) -> Measures:
        self.begin()
        shape = (CHAMPION_ROUNDS, self._size)
        messages = self._chance.poisson(self._traffic, shape).astype(float)
        counted = {}
        for name in _SHARES:
            if name != "disagreement":
                self._count(name, messages, self._champion.get(name, np.zeros(self._size)))
                counted[name] = _counted(
                    self._hits[name],
                    self._of[name],
                    self._squares[name],
                    0 if name == "wrong" else CHAMPION_ROUNDS,
                )
        # All in one bucket: what the bound of ages is derived from, and nothing else.
        whole = int(self._of["old"].sum())
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


def _counted(hits: Array, of: Array, squares: Array, rounds: int) -> Counted:
    tallies = [
        Tally(hits=found, of=whole, squares=square)
        for found, whole, square in zip(hits.tolist(), of.tolist(), squares.tolist(), strict=True)
    ]
    return counted_of(tallies, float(rounds * len(tallies)))
