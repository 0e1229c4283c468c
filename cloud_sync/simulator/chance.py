"""Chance that can be repeated: numbers from a seed and the names of what they decide. Pure.

Never a stream of random numbers that all share: what one device draws would then depend on which
other one happened to be asked before it.
"""

import hashlib
import random
from typing import Final

_WHOLE: Final = float(2**64)
BLOCK: Final = 100
"""Trials that are drawn together; within a block the hits are spread evenly."""


def chance(seed: int, *words: str | int) -> float:
    """A number from 0 to 1 (not 1 itself), always the same for the same seed and words."""
    return _number(seed, words) / _WHOLE


def span(seed: int, mean: float, *words: str | int) -> float:
    """A length of time around `mean`: from half of it to one and a half times as much."""
    return mean * (0.5 + chance(seed, *words))


class Hits:
    """How many of so many trials hit, for a count of trials that only grows.

    The number after n trials does not depend on how often it was asked for.

    Args:
        share: of trials that hit, 0 to 1.
        seed: of the simulation.
        words: what is drawn.
    """

    __slots__ = ("_ahead", "_blocks", "_seed", "_share", "_sum", "_words")

    def __init__(self, share: float, seed: int, *words: str | int) -> None:
        self._share = share
        self._seed = seed
        self._words = words
        self._blocks = 0
        self._sum = 0
        self._ahead = -1

    def after(self, trials: int) -> int:
        """Hits among the first `trials`."""
        if self._share <= 0.0:
            return 0
        if self._share >= 1.0:
            return trials
        whole, rest = divmod(trials, BLOCK)
        while self._blocks < whole:
            self._sum += self._block()
            self._blocks += 1
            self._ahead = -1
        return self._sum + self._block() * rest // BLOCK

    def _block(self) -> int:
        if self._ahead < 0:
            draw = random.Random(_number(self._seed, (*self._words, self._blocks))).random  # noqa: S311
            self._ahead = sum(draw() < self._share for _ in range(BLOCK))
        return self._ahead


def _number(seed: int, words: tuple[str | int, ...]) -> int:
    text = "\0".join(map(str, (seed, *words)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
