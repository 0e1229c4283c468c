"""Distributions with fixed memory: of durations, and of batch sizes.

Durations are counted twice: in 16 buckets for each doubling, 6 % wide, for the percentiles; and
by the bounds of the contract, exactly, for whoever adds up many workers. Written by one thread,
read by another: a reader may miss the newest values, never more.
"""

from bisect import bisect_left
from typing import Final

from edge_agent.contract.messages import BATCH_BOUNDS, TIME_BOUNDS_MS, BatchSizes, Timing

_SUB_BITS: Final = 4
_SUB: Final = 1 << _SUB_BITS
_PER_US: Final = 16
"""Resolution: a sixteenth of a microsecond."""

_BOUNDS_US: Final = tuple(bound * 1e3 for bound in TIME_BOUNDS_MS)

_BUCKETS: Final = _SUB * 44
"""Up to 2**43 sixteenths of a microsecond, six days."""


class Histogram:
    """Counts of durations by their size."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._bounded = [0] * (len(_BOUNDS_US) + 1)
        self._max_us = 0.0
        self._sum_us = 0.0
        self.count = 0

    def record(self, duration_us: float, times: int = 1) -> None:
        """Count a duration.

        Args:
            duration_us: microseconds; a negative one (a clock step) counts as 0.
            times: how often it is counted; messages of one batch have it in common.
        """
        if duration_us <= 0:
            duration_us = 0.0
        value = int(duration_us * _PER_US)
        if value < _SUB:
            index = value
        else:
            shift = value.bit_length() - _SUB_BITS - 1
            index = (shift << _SUB_BITS) + (value >> shift)
            if index >= _BUCKETS:
                index = _BUCKETS - 1
        self._counts[index] += times
        self._bounded[bisect_left(_BOUNDS_US, duration_us)] += times
        self._sum_us += duration_us * times
        self.count += times
        if duration_us > self._max_us:
            self._max_us = duration_us

    def quantile_us(self, share: float) -> float:
        """The duration that `share` (0 to 1) of all are not longer than, microseconds; 0 if none.

        The middle of its bucket, so within 3 % of the truth.
        """
        counts = list(self._counts)
        wanted = share * sum(counts)
        seen = 0
        for index, count in enumerate(counts):
            seen += count
            if count and seen >= wanted:
                return min(_middle(index) / _PER_US, self._max_us)
        return 0.0

    def timing(self) -> Timing:
        """The distribution so far."""
        if not self.count:
            return Timing()
        buckets = tuple(self._bounded)
        return Timing(
            p50_ms=round(self.quantile_us(0.5) / 1e3, 4),
            p99_ms=round(self.quantile_us(0.99) / 1e3, 4),
            max_ms=round(self._max_us / 1e3, 4),
            # Of the same instant as the buckets, which must add up to it.
            count=sum(buckets),
            sum_ms=round(self._sum_us / 1e3, 4),
            buckets=buckets,
        )


class BatchHistogram:
    """Counts of runs by how many rows they had."""

    def __init__(self) -> None:
        self._bounded = [0] * (len(BATCH_BOUNDS) + 1)
        self._rows = 0
        self._largest = 0

    def record(self, rows: int) -> None:
        """Count a run of the model."""
        self._bounded[bisect_left(BATCH_BOUNDS, rows)] += 1
        self._rows += rows
        if rows > self._largest:
            self._largest = rows

    def sizes(self) -> BatchSizes:
        """The distribution so far."""
        buckets = tuple(self._bounded)
        runs = sum(buckets)
        if not runs:
            return BatchSizes()
        return BatchSizes(runs=runs, rows=self._rows, largest=self._largest, buckets=buckets)


def _middle(index: int) -> float:
    if index < 2 * _SUB:
        return index + 0.5
    shift = (index >> _SUB_BITS) - 1
    return ((index & (_SUB - 1)) + _SUB + 0.5) * (1 << shift)
