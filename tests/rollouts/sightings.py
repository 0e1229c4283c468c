"""What a scheduler in memory knows of a rollout's devices: never more than the service would show.

The rules of `rollout.sightings`: a device is read whole when it is news, when it is shown for the
first time, and each time if it has ended and still counts; of the others only who is there. So the
planner, and what chooses whom it is shown, are tried with what they get, and not with the truth.
"""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from cloud_sync.rollout.attention import to_be_shown
from cloud_sync.rollout.course import PRESENCE_S
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ENDED

See = Callable[[str], DeviceNow]
"""A device as the database has it."""
Take = Callable[[str], tuple[int, bool]]
"""Which rollout goes first on a device, and whether it has changed the slot."""


class MemorySightings:
    """The devices of one rollout, as one scheduler has read them.

    Attributes:
        devices: that were ever read, by name.
    """

    def __init__(self) -> None:
        self.devices: dict[str, DeviceNow] = {}
        self._presence_at: float | None = None

    def read(
        self, rollout: Rollout, news: Collection[str], see: See, take: Take, now: float
    ) -> None:
        """Look again, as before each round.

        Args:
            rollout: as it is stored.
            news: devices that something was heard of since.
            see: reads one.
            take: says who goes first on one.
            now: seconds since 1970.
        """
        for name in sorted(news):
            self.devices[name] = see(name)
        if self._presence_at is None or not 0 <= now - self._presence_at < PRESENCE_S:
            self._read_presence(rollout, see)
            self._presence_at = now
        for name, known in self.devices.items():
            # Who goes first is seen again by whoever writes an offer: it is never old there.
            taken_by, is_lost = take(name)
            if (taken_by, is_lost) != (known.taken_by, known.is_lost):
                self.devices[name] = replace(known, taken_by=taken_by, is_lost=is_lost)

    def _read_presence(self, rollout: Rollout, see: See) -> None:
        judged = frozenset(to_be_shown(rollout))
        for name, one in rollout.assignments.items():
            if one.state in ENDED and name not in judged:
                continue
            seen, known = see(name), self.devices.get(name)
            # What has ended is no news, so it is read each time.
            if known is None or one.state in ENDED:
                self.devices[name] = seen
            elif (seen.presence, seen.away_since) != (known.presence, known.away_since):
                self.devices[name] = replace(
                    known, presence=seen.presence, away_since=seen.away_since
                )
