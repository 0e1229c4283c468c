"""Complaints about malformed messages: counted always, made an event only now and then. Pure."""

from typing import Final

from msgspec import Struct

PERIOD_S: Final = 600.0
MAX_KINDS: Final = 1000


class Complaint(Struct):
    """One kind of malformed message of one device."""

    count: int
    told: float


class Complaints:
    """Keeps a device that sends rubbish from filling the event log."""

    def __init__(self) -> None:
        self.total = 0
        self._kinds: dict[tuple[str, str], Complaint] = {}

    def add(self, device: str, code: str, now: float) -> int:
        """Count a malformed message.

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
        kind.count += 1
        if abs(now - kind.told) < PERIOD_S:
            return 0
        count, kind.count, kind.told = kind.count, 0, now
        return count
