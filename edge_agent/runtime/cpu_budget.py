"""How much processor time a shadow may use: a share of one core. Pure: times are handed in.

A process that used more than its share owes a rest; what it does not use it may save up, but only
for a moment, so that a quiet hour does not become a busy minute.
"""

from typing import Final

_SAVED_S: Final = 0.1
"""Most processor time that can be saved up, seconds."""


class CpuBudget:
    """A share of one core.

    Args:
        share: 0 to 1; at 1 nothing is ever owed.
        cpu_s: processor time that the process has used so far, seconds.
        now: seconds, monotonic.
    """

    def __init__(self, share: float, *, cpu_s: float, now: float) -> None:
        self._share = min(max(share, 0.001), 1.0)
        self._cpu_s, self._now = cpu_s, now
        self._began = (cpu_s, now)
        self._saved_s = _SAVED_S

    def rest_s(self, *, cpu_s: float, now: float) -> float:
        """How long to rest now.

        Args:
            cpu_s: processor time that the process has used so far, seconds.
            now: seconds, monotonic.

        Returns:
            Seconds; 0 if there is budget left.
        """
        used, passed = cpu_s - self._cpu_s, max(0.0, now - self._now)
        self._cpu_s, self._now = cpu_s, now
        self._saved_s = min(_SAVED_S, self._saved_s + passed * self._share - used)
        return 0.0 if self._saved_s >= 0 or self._share >= 1 else -self._saved_s / self._share

    def used_share(self, *, cpu_s: float, now: float) -> float:
        """Share of one core used since the beginning, 0 to 1 (more with several threads)."""
        began_cpu_s, began = self._began
        passed = now - began
        return 0.0 if passed <= 0 else max(0.0, (cpu_s - began_cpu_s) / passed)
