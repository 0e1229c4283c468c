"""Choices that are read from drawn bytes: the same bytes, the same choices.

Where the bytes end all choices are the first ones, so that fewer and smaller bytes make a simpler
story: that is what Hypothesis shrinks by.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

_T = TypeVar("_T")
_VALUES: Final = 256


class Chance:
    """Reads choices, one byte each.

    Args:
        drawn: the bytes.
    """

    def __init__(self, drawn: bytes) -> None:
        self._drawn = drawn
        self._place = 0

    def below(self, size: int) -> int:
        """A number from 0 to below `size`, which is at most 256."""
        place = self._place
        self._place = place + 1
        return self._drawn[place] % size if place < len(self._drawn) else 0

    def choice(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        return choices[self.below(len(choices))]

    def happens(self, share: float) -> bool:
        """Whether something happens that does in such a share of all cases."""
        return self.below(_VALUES) >= _VALUES * (1 - share)

    def sample(self, choices: Sequence[_T]) -> tuple[_T, ...]:
        """Some of them, in any order; at least one."""
        rest = list(choices)
        count = 1 + self.below(len(rest))
        return tuple(rest.pop(self.below(len(rest))) for _ in range(count))
