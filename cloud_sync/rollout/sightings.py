"""What is known of the devices of a rollout, read from the database as little as possible.

Reports are read when a device has spoken; who is there is read for all at once, now and then. What
is kept here can be read again at any time: losing it loses nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, Select, select, update

from cloud_sync.db.fleet_tables import devices, reported_states
from cloud_sync.db.rollout_tables import rollout_assignments
from cloud_sync.fleet.presence import Presence, presence
from cloud_sync.rollout.attention import to_be_shown
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ENDED
from cloud_sync.rollout.takeover import Reservation, reservations
from edge_agent.contract.shadows import shadow_slot
from edge_agent.contract.state import ReportedSlot, ReportedState
from edge_agent.contract.wire import decode
from edge_agent.errors import ContractError

BATCH: Final = 500
TURNS: Final = 12
"""In so many rounds everybody is looked up once."""
_D: Final = devices.c
_P: Final = reported_states.c
_A: Final = rollout_assignments.c


class Sightings:
    """The devices of one rollout as they were last heard of.

    Args:
        rollout: its number and slot count.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._number = rollout.id
        self._slot = rollout.slot
        self._shadow = _shadow_name(rollout)
        self._turn = 0
        self._heard: dict[str, _Heard] = {}
        self._taken: dict[str, Reservation] = {}
        self.devices: dict[str, DeviceNow] = {}

    def read_news(self, connection: Connection, now: float) -> int:
        """Read what devices have reported since they were last looked at, and note that.

        Args:
            connection: of the transaction in which it is acted upon: if that fails, the news are
                news again.
            now: seconds since 1970.

        Returns:
            How many devices had news.
        """
        mine = (_A.rollout == self._number, _A.has_news)
        names = sorted(connection.scalars(select(_A.device).where(*mine)))
        if names:
            connection.execute(update(rollout_assignments).where(*mine).values(has_news=False))
            self.read(connection, names, now)
        return len(names)

    def read(self, connection: Connection, names: Sequence[str], now: float) -> None:
        """Read everything about some devices."""
        for start in range(0, len(names), BATCH):
            query = _facts().where(_D.device.in_(names[start : start + BATCH]))
            found = {row.device: row for row in connection.execute(query)}
            for name in names[start : start + BATCH]:
                row = found.get(name)
                if row is None:
                    self.devices[name] = _deleted(name)
                    self._heard.pop(name, None)
                else:
                    self._heard[name] = _heard(row)
                    seen = self._seen(row, now)
                    taken = self._taken.get(name)
                    self.devices[name] = seen if taken is None else _with(seen, taken)

    def read_presence(self, connection: Connection, rollout: Rollout, now: float) -> None:
        """See who is there, of all devices with whom the rollout is not done, or by whom it is
        judged.

        Who comes or goes says so, and that is news; who falls silent does not. So those who seem
        silent are looked up each time, and of the others a few, so that all have their turn.

        Args:
            connection: of a transaction.
            rollout: as it is stored.
            now: seconds since 1970.
        """
        ended = {name for name in to_be_shown(rollout) if rollout.assignments[name].state in ENDED}
        names = [
            name
            for name, one in rollout.assignments.items()
            if one.state not in ENDED or name in ended
        ]
        # What those report who are done is news to nobody, and it may be that they are back.
        unread = [name for name in names if name not in self.devices or name in ended]
        self.read(connection, unread, now)
        turn = set(names[self._turn :: TURNS])
        self._turn = (self._turn + 1) % TURNS
        old = [name for name in names if name in turn or self._seems_silent(name, now)]
        self._read_seen(connection, old, now)
        self._know_taken(reservations(connection, rollout))

    def _seems_silent(self, name: str, now: float) -> bool:
        heard = self._heard.get(name)
        return heard is not None and heard.state == "online" and heard.there(now)[0] != "online"

    def _read_seen(self, connection: Connection, names: Sequence[str], now: float) -> None:
        """Read when devices were last heard of, and nothing else of them."""
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            query = select(_D.device, _D.state, _D.last_seen, _D.interval_s, _D.created).where(
                _D.device.in_(batch)
            )
            found = {row.device: _heard(row) for row in connection.execute(query)}
            for name in batch:
                heard = found.get(name)
                if heard is None:
                    self.devices[name] = _deleted(name)
                    self._heard.pop(name, None)
                    continue
                self._heard[name] = heard
                known = self.devices[name]
                there, away = heard.there(now)
                if (there, away) != (known.presence, known.away_since):
                    self.devices[name] = replace(known, presence=there, away_since=away)

    def take(self, waiting: Mapping[str, Reservation]) -> None:
        """Note that other rollouts go first on these devices."""
        self._know_taken({**self._taken, **waiting})

    def _know_taken(self, taken: Mapping[str, Reservation]) -> None:
        before = self._taken
        for name in before.keys() | taken.keys():
            now = taken.get(name)
            if name in self.devices and before.get(name) != now:
                self.devices[name] = _with(self.devices[name], now)
        self._taken = dict(taken)

    def _seen(self, row: Row[Any], now: float) -> DeviceNow:  # Any: columns
        there, away = _heard(row).there(now)
        slot: ReportedSlot | None = None
        shadow: ReportedSlot | None = None
        locked: float | None = None
        if row.report is not None:
            report = _report(row)
            slot = None if report is None else report.slots.get(self._slot)
            shadow = None if report is None else report.slots.get(self._shadow)
            if report is not None and slot is not None and slot.locked_until is not None:
                locked = _dated(report, slot.locked_until, row.reported_at)
        return DeviceNow(
            device=row.device,
            presence=there,
            away_since=away,
            revision_seen=-1 if row.revision_seen is None else row.revision_seen,
            revision_applied=-1 if row.revision_applied is None else row.revision_applied,
            reported_at=row.reported_at,
            slot=slot,
            shadow=shadow,
            locked_until=locked,
        )


def _with(seen: DeviceNow, taken: Reservation | None) -> DeviceNow:
    if taken is None:
        return replace(seen, taken_by=0, is_lost=False)
    return replace(seen, taken_by=taken.by, is_lost=taken.is_used)


def _facts() -> Select[Any]:  # Any: columns of several types
    return select(
        _D.device,
        _D.state,
        _D.last_seen,
        _D.interval_s,
        _D.created,
        _P.revision_seen,
        _P.revision_applied,
        _P.received.label("reported_at"),
        _P.state.label("report"),
    ).outerjoin_from(devices, reported_states, _P.device == _D.device)


class _Heard(Struct, frozen=True):
    """When a device was last heard of, and what its last status was."""

    state: str
    last_seen: float | None
    interval_s: float
    created: float

    def there(self, now: float) -> tuple[Presence, float | None]:
        """Whether it is there; and if not, since when it is away."""
        there = presence(now, self.state, self.last_seen, self.interval_s)
        if there == "online":
            return there, None
        return there, self.created if self.last_seen is None else self.last_seen


def _heard(row: Any) -> _Heard:  # Any: a row of several queries
    return _Heard(row.state, row.last_seen, row.interval_s, row.created)


def _report(row: Row[Any]) -> ReportedState | None:  # Any: columns
    try:
        return decode(ReportedState, bytes(row.report))
    except ContractError:
        # Stored by another version of this service; the device's next report is not.
        return None


def _dated(report: ReportedState, moment: float, received: float) -> float:
    """A time of a report; by the service's clock if the device's own is not trusted."""
    return moment if report.clock_synced else moment + received - report.time


def _deleted(device: str) -> DeviceNow:
    # Nobody will hear of it again: it has been away for ever.
    return DeviceNow(device=device, presence="unknown", away_since=0.0)


def _shadow_name(rollout: Rollout) -> str:
    try:
        return shadow_slot(rollout.slot)
    except ContractError:
        return ""  # too long a name for a shadow, so there is none
