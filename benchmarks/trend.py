"""Does a figure grow with time? A straight line through it, with the error of its slope.

Pure. Samples that follow one another closely are not independent: memory moves in steps and stays
there. So they are averaged into blocks first, and the error is that of the blocks.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

BLOCKS: Final = 12
DAY_S: Final = 86_400.0

_T_95: Final = (
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
)  # fmt: skip
"""Student's t for 95 % on both sides, by degrees of freedom from 1."""


class Trend(Struct, frozen=True, kw_only=True):
    """A slope and how sure it is.

    Attributes:
        per_day: growth in a day, in the unit of the samples.
        error: half the width of the 95 % interval around it.
    """

    per_day: float
    error: float

    @property
    def grows(self) -> bool:
        """Whether it is growth, and not only how the samples happen to lie."""
        return self.per_day > self.error


def trend(times: Sequence[float], values: Sequence[float], blocks: int = BLOCKS) -> Trend:
    """The line through samples.

    Args:
        times: seconds, rising.
        values: one for each time.
        blocks: into how many the samples are averaged, 3 to 17.

    Raises:
        ValueError: fewer samples than blocks, or not as many values as times.
    """
    if len(times) != len(values) or len(times) < blocks or not 3 <= blocks <= len(_T_95) + 2:
        raise ValueError(
            f"a trend expected 3 to {len(_T_95) + 2} blocks and a value for each of at least so "
            f"many times; found {blocks} blocks, {len(times)} times, {len(values)} values"
        )
    edges = [round(block * len(times) / blocks) for block in range(blocks + 1)]
    spans = list(itertools.pairwise(edges))
    x = [statistics.fmean(times[first:last]) for first, last in spans]
    y = [statistics.fmean(values[first:last]) for first, last in spans]
    line = statistics.linear_regression(x, y)
    rest = sum((b - line.intercept - line.slope * a) ** 2 for a, b in zip(x, y, strict=True))
    middle = statistics.fmean(x)
    spread = sum((a - middle) ** 2 for a in x)
    error = _T_95[blocks - 3] * math.sqrt(rest / (blocks - 2) / spread)
    return Trend(per_day=line.slope * DAY_S, error=error * DAY_S)
