"""Complaints about messages that are refused: counted always, made an event only now and then.

Pure. A copy is made before a transaction and takes the place of the original after it, so that
what was not committed was not counted either.
"""

from typing import Final

from msgspec import Struct

PERIOD_S: Final = 600.0
MAX_KINDS: Final = 1000


class Complaint(Struct, frozen=True):
    """One kind of refused message of one device: how many since it was told, and when that was."""

    count: int
    told: float


class Complaints:
    """Keeps a device that sends rubbish from filling the event log."""

    def __init__(self) -> None:
        self.total = 0
        self._kinds: dict[tuple[str, str], Complaint] = {}

    def copy(self) -> "Complaints":
        """The same counts, to be counted on without changing these."""
        other = Complaints()
        other.total = self.total
        other._kinds = dict(self._kinds)
        return other

    def add(self, device: str, code: str, now: float) -> int:
        """Count a refused message.

        Args:
            device: whose it was, or empty.
            code: of the error.
            now: seconds since 1970.

        Returns:
            How many of this kind there were since the last event if one is due, otherwise 0.
        """
        self.total += 1
        key = (device, code)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MAX_KINDS:
                self._kinds.pop(next(iter(self._kinds)))
            self._kinds[key] = Complaint(0, now)
            return 1
        count = kind.count + 1
        if abs(now - kind.told) < PERIOD_S:
            self._kinds[key] = Complaint(count, kind.told)
            return 0
        self._kinds[key] = Complaint(0, now)
        return count
