"""A histogram of durations with fixed memory: 16 buckets for each doubling, 6 % wide.

Written by one thread, read by another: a reader may miss the newest values, never more.
"""

from typing import Final

from edge_agent.contract.messages import Timing

_SUB_BITS: Final = 4
_SUB: Final = 1 << _SUB_BITS
_PER_US: Final = 16
"""Resolution: a sixteenth of a microsecond."""

_BUCKETS: Final = _SUB * 44
"""Up to 2**43 sixteenths of a microsecond, six days."""


class Histogram:
    """Counts of durations by their size."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._max_us = 0.0
        self.count = 0

    def record(self, duration_us: float) -> None:
        """Count a duration in microseconds; a negative one (a clock step) counts as 0."""
        value = int(duration_us * _PER_US)
        if value < _SUB:
            index = max(0, value)
        else:
            shift = value.bit_length() - _SUB_BITS - 1
            index = (shift << _SUB_BITS) + (value >> shift)
        if index >= _BUCKETS:
            index = _BUCKETS - 1
        self._counts[index] += 1
        self.count += 1
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
        return Timing(
            p50_ms=round(self.quantile_us(0.5) / 1e3, 4),
            p99_ms=round(self.quantile_us(0.99) / 1e3, 4),
            max_ms=round(self._max_us / 1e3, 4),
        )


def _middle(index: int) -> float:
    if index < 2 * _SUB:
        return index + 0.5
    shift = (index >> _SUB_BITS) - 1
    return ((index & (_SUB - 1)) + _SUB + 0.5) * (1 << shift)
