"""One rollout on its course: what a service keeps of it between two rounds, and what a round is.

    1. what takes long to read, and may be some seconds old: measurements, devices that came late
    2. is the copy current, and is the rollout ours to drive (a lease in its row)?
    3. what has become known since the last round
    4. plan, and make true what was decided

The first in a transaction that only reads, the rest in one that writes. What is kept is a copy and
can be lost at any moment: it counts only while no other service has driven the rollout and nobody
else has changed it.
"""

from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, select, update

from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.rollout.attention import due
from cloud_sync.rollout.observation import World
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.settle import SERVICE, Settled, settle
from cloud_sync.rollout.sightings import Sightings
from cloud_sync.rollout.store import load
from cloud_sync.rollout.surroundings import Surroundings
from cloud_sync.rollout_resources import RolloutState

LEASE_S: Final = 30.0
PRESENCE_S: Final = 5.0
"""Who is there is read this often; a device counts as silent only after minutes."""
IDLE_S: Final = 60.0
DECISIONS_AT_ONCE: Final = 500
"""Most of one transaction, so that reports are taken in between."""
MOST_ROUNDS: Final = 20
_BUSY: Final = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.ROLLING_BACK})
_R: Final = rollouts.c


class Played(Struct, frozen=True, kw_only=True):
    """What a round did.

    Attributes:
        decided: something changed: there may be more to decide at once.
        tell: devices whose desired state is new.
        disturbed: other rollouts that lost devices to this one.
        next_look: when the next round is due if nothing is heard, seconds since 1970; None if
            another service drives the rollout, or it is gone.
    """

    decided: bool = False
    tell: frozenset[str] = frozenset()
    disturbed: frozenset[int] = frozenset()
    next_look: float | None = None


NOT_OURS: Final = Played()


class Course:
    """A rollout that this service drives.

    Args:
        number: the rollout's.
        owner: name of this service, for the lease.
        starts_per_s: devices that may begin in a second with what many are told at once.

    Attributes:
        edition: of the rollout that the copy is of, or was; 0 before the first.
    """

    def __init__(self, number: int, owner: str, starts_per_s: float) -> None:
        self.edition = 0
        self._number = number
        self._owner = owner
        self._starts_per_s = starts_per_s
        self._rollout: Rollout | None = None
        self._sightings: Sightings | None = None
        self._surroundings: Surroundings | None = None
        self._presence_at = 0.0

    def forget(self) -> None:
        """Drop the copy: a transaction failed, so what it says may not be so."""
        self._rollout = None

    def prepare(self, connection: Connection, now: float) -> None:
        """Read what takes long, so that nobody has to wait for it to write.

        Args:
            connection: of a transaction that only reads.
            now: seconds since 1970, as in the round that follows.
        """
        if self._rollout is not None and self._surroundings is not None:
            self._surroundings.refresh(connection, self._rollout, now)

    def play(self, connection: Connection, now: float) -> Played:
        """One round.

        Args:
            connection: of a transaction for it alone; if that fails, call `forget`.
            now: seconds since 1970.
        """
        rollout = self._current(connection, now)
        if rollout is None or self._sightings is None or self._surroundings is None:
            return NOT_OURS
        sightings = self._sightings
        sightings.read_news(connection, now)
        if not 0 <= now - self._presence_at < PRESENCE_S:
            sightings.read_presence(connection, rollout, now)
            self._presence_at = now
        world = self._surroundings.read(connection, rollout, sightings.devices, now)
        # The beginning of a plan is a plan: what is cut off is decided again in the next round.
        decisions = plan(rollout, world, now)[:DECISIONS_AT_ONCE]
        settled = settle(
            connection,
            rollout,
            decisions,
            actor=SERVICE,
            now=now,
            starts_per_s=self._starts_per_s,
        )
        sightings.take(settled.waiting)
        has_changed = settled.rollout is not rollout
        if has_changed:
            self.edition += 1
            self._rollout = settled.rollout
        return Played(
            decided=has_changed,
            tell=settled.tell,
            disturbed=settled.disturbed,
            next_look=_next_look(settled.rollout, world, now),
        )

    def _current(self, connection: Connection, now: float) -> Rollout | None:
        """The rollout as it is stored, if it is ours to drive; read again only if need be."""
        query = select(_R.edition, _R.lease_owner, _R.lease_until).where(_R.id == self._number)
        row = connection.execute(query).first()
        if row is None:
            return None
        is_mine = row.lease_owner == self._owner
        # One that ends far in the future was taken by a clock that has been set back since.
        if not is_mine and now < row.lease_until <= now + LEASE_S:
            self.forget()
            return None
        if not is_mine or not now + LEASE_S / 2 <= row.lease_until <= now + LEASE_S:
            connection.execute(
                update(rollouts)
                .where(_R.id == self._number)
                .values(lease_owner=self._owner, lease_until=now + LEASE_S)
            )
        if self._rollout is None or not is_mine or row.edition != self.edition:
            self._load(connection, now)
        return self._rollout

    def _load(self, connection: Connection, now: float) -> None:
        stored = load(connection, self._number)
        if stored is None:
            self._rollout = None
            return
        self.edition = stored.edition
        self._rollout = stored.rollout
        self._sightings = Sightings(stored.rollout)
        self._surroundings = Surroundings()
        self._sightings.read_presence(connection, stored.rollout, now)
        self._presence_at = now


def play_at_once(
    connection: Connection, rollout: Rollout, *, actor: str, now: float, starts_per_s: float
) -> Settled:
    """Rounds of a new rollout in the transaction that makes it, until it waits for its devices.

    Args:
        connection: of that transaction.
        rollout: as it is stored.
        actor: who asked for it.
        now: seconds since 1970.
        starts_per_s: devices that may begin in a second with what many are told at once.
    """
    sightings = Sightings(rollout)
    sightings.read_presence(connection, rollout, now)
    surroundings = Surroundings()
    tell: frozenset[str] = frozenset()
    for _ in range(MOST_ROUNDS):
        world = surroundings.read(connection, rollout, sightings.devices, now)
        settled = settle(
            connection,
            rollout,
            plan(rollout, world, now),
            actor=actor,
            now=now,
            starts_per_s=starts_per_s,
        )
        sightings.take(settled.waiting)
        tell |= settled.tell
        if settled.rollout is rollout:
            break
        rollout = settled.rollout
    return Settled(rollout=rollout, tell=tell)


def _next_look(rollout: Rollout, world: World, now: float) -> float:
    latest = now + (PRESENCE_S if rollout.state in _BUSY else IDLE_S)
    return min(latest, due(rollout, world, now) or latest)
