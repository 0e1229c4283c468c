"""How fast the backlog may follow. Pure: the time is handed in."""

from typing import Final

BURST_S: Final = 1.0


class Pace:
    """So many rows a second, and after a pause a second's worth at once.

    Args:
        per_s: rows a second.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * BURST_S)
        self._allowed = self._most
        self._at: float | None = None

    def allowed(self, now: float) -> int:
        """How many rows may go now.

        Args:
            now: seconds, monotonic.
        """
        if self._at is not None:
            gained = max(0.0, now - self._at) * self._per_s
            self._allowed = min(self._most, self._allowed + gained)
        self._at = now
        return int(self._allowed)

    def spend(self, rows: int) -> None:
        """So many have gone."""
        self._allowed -= rows
