"""What is known of the devices of a rollout, read from the database as little as possible.

Reports are read when a device has spoken; who is there is read for all at once, now and then. What
is kept here can be read again at any time: losing it loses nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Connection, Row, Select, select, update

from cloud_sync.db.fleet_tables import devices, reported_states
from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.fleet.presence import Presence, presence
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.rows import LIVE
from cloud_sync.rollout.states import ACTIVE, ENDED
from cloud_sync.rollout_resources import AssignmentState
from edge_agent.contract.shadows import shadow_slot
from edge_agent.contract.state import ReportedSlot, ReportedState
from edge_agent.contract.wire import decode
from edge_agent.errors import ContractError

BATCH: Final = 500
_D: Final = devices.c
_P: Final = reported_states.c
_R: Final = rollouts.c
_A: Final = rollout_assignments.c
_OPEN: Final = sorted(set(AssignmentState) - ENDED)


class Sightings:
    """The devices of one rollout as they were last heard of.

    Args:
        rollout: its number and slot count.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._number = rollout.id
        self._slot = rollout.slot
        self._priority = rollout.wish.policy.priority
        self._shadow = _shadow_name(rollout)
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
        mine = (_A.rollout == self._number, _A.has_news.is_(True))
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
                known = self.devices.get(name)
                if row is None:
                    self.devices[name] = _deleted(name)
                else:
                    seen = self._seen(row, now)
                    is_taken = known is not None and known.is_taken
                    self.devices[name] = replace(seen, is_taken=True) if is_taken else seen

    def read_presence(self, connection: Connection, now: float) -> None:
        """Read who is there, of all devices with whom the rollout is not done."""
        query = (
            select(_A.device, _D.state, _D.last_seen, _D.interval_s, _D.created)
            .outerjoin_from(rollout_assignments, devices, _D.device == _A.device)
            .where(_A.rollout == self._number, _A.state.in_(_OPEN))
        )
        unread: list[str] = []
        for row in connection.execute(query).all():
            known = self.devices.get(row.device)
            if row.created is None:
                self.devices[row.device] = _deleted(row.device)
            elif known is None:
                unread.append(row.device)
            else:
                there, away = _presence(row, now)
                if (there, away) != (known.presence, known.away_since):
                    self.devices[row.device] = replace(known, presence=there, away_since=away)
        self.read(connection, unread, now)
        self._read_taken(connection)

    def take(self, names: Iterable[str]) -> None:
        """Note that another rollout goes first on these devices."""
        for name in names:
            self.devices[name] = replace(self.devices[name], is_taken=True)

    def _read_taken(self, connection: Connection) -> None:
        """Find out on which devices a rollout of higher priority is at work on the same slot."""
        rivals = select(_R.id).where(
            _R.slot == self._slot, _R.priority > self._priority, _R.state.in_(sorted(LIVE))
        )
        numbers = list(connection.scalars(rivals))
        taken: set[str] = set()
        if numbers:
            query = select(_A.device).where(
                _A.rollout.in_(numbers), _A.slot == self._slot, _A.state.in_(sorted(ACTIVE))
            )
            taken = set(connection.scalars(query))
        for name, known in self.devices.items():
            if known.is_taken != (name in taken):
                self.devices[name] = replace(known, is_taken=name in taken)

    def _seen(self, row: Row[Any], now: float) -> DeviceNow:  # Any: columns
        there, away = _presence(row, now)
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


def _presence(
    row: Any, now: float
) -> tuple[Presence, float | None]:  # Any: a row of several queries
    there = presence(now, row.state, row.last_seen, row.interval_s)
    if there == "online":
        return there, None
    return there, row.created if row.last_seen is None else row.last_seen


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
