"""Rollouts as people and programs use them: planned, made, ordered about, looked at.

Each change is one transaction with its entry in the audit log; the driver is woken after it, and
does everything that follows.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.fleet.spread import STARTS_PER_S
from cloud_sync.rollout import orders
from cloud_sync.rollout.birth import draft, gather, store_draft
from cloud_sync.rollout.enlistment import enlist
from cloud_sync.rollout.forecast import forecast
from cloud_sync.rollout.outlook import Outlook, revisions_of
from cloud_sync.rollout.previous import refuse_lost
from cloud_sync.rollout.query import (
    RolloutQuery,
    number_of,
    read_detail,
    read_head,
    rollout_not_found,
)
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.settle import settle
from cloud_sync.rollout.store import load
from cloud_sync.rollout.summary import rollout_name
from cloud_sync.rollout_resources import (
    RolloutDetail,
    RolloutOrder,
    RolloutPlan,
    RolloutState,
    RolloutWish,
)

START: Final = RolloutOrder(action="start")


class Rollouts:
    """Everything that is done with rollouts.

    Args:
        database: where they are.
        publisher: tells devices.
        wake: has the driver look soon.
        starts_per_s: devices that may begin in a second with what many are told at once.
    """

    def __init__(
        self,
        database: Database,
        publisher: DesiredPublisher,
        wake: Callable[[], None],
        *,
        starts_per_s: float = STARTS_PER_S,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._wake = wake
        self._starts_per_s = starts_per_s
        self.query = RolloutQuery(database)

    def plan(self, wish: RolloutWish, change: Change) -> RolloutPlan:
        """What a rollout would do, without doing it.

        Raises:
            NotFound: no such module or version, or nobody is meant.
            Conflict: the version is retired.
            InvalidInput: the target, the policy or the configuration is wrong.
        """
        with self._database.read() as connection:
            rollout = draft(connection, wish, change)
            return forecast(connection, rollout, change.time, starts_per_s=self._starts_per_s)

    def create(self, wish: RolloutWish, change: Change, *, start: bool) -> RolloutDetail:
        """Make a rollout.

        Args:
            wish: what is to go where, and how.
            change: who asks, why, and when.
            start: at once, or as soon as it is approved; else it stays a draft.

        Raises:
            NotFound: no such module or version, or nobody is meant.
            Conflict: the version is retired, or nobody would get anything.
            InvalidInput: the target, the policy or the configuration is wrong.
        """
        tell: frozenset[str] = frozenset()
        outlook: Outlook | None = None
        if start:
            # Looking at every device takes seconds of a large fleet: nobody waits for that to
            # write. What changes until the offers is seen when they are made.
            with self._database.read() as connection:
                asked = draft(connection, wish, change)
                outlook, wish = _look(connection, asked), asked.wish
        with self._database.write() as connection:
            rollout = store_draft(connection, draft(connection, wish, change), change)
            record(
                connection,
                change,
                "rollout.create",
                rollout_name(rollout.id),
                reason=wish.reason,
                detail={
                    "module": f"{rollout.module}/{rollout.version}",
                    "to": wish.to,
                    "slot": rollout.slot,
                },
            )
            if start:
                tell = self._obey(connection, rollout, START, change, outlook)
            made = read_detail(connection, rollout.id)
        self._follow_up(tell)
        return made

    def order(self, rollout: str, wanted: RolloutOrder, change: Change) -> RolloutDetail:
        """Have a rollout start, go on, stop, or go back.

        Raises:
            NotFound: there is none of this id.
            Conflict: in its state that cannot be, who approves it has asked for it, or what
                devices would go back to was deleted.
        """
        number = number_of(rollout)
        outlook: Outlook | None = None
        if wanted.action == "start":
            with self._database.read() as connection:
                head = read_head(connection, number)
                if head.state is RolloutState.DRAFT:
                    outlook = _look(connection, head)
        with self._database.write() as connection:
            stored = load(connection, number)
            if stored is None:
                raise rollout_not_found(connection, number)
            tell = self._obey(connection, stored.rollout, wanted, change, outlook)
            made = read_detail(connection, number)
        self._follow_up(tell)
        return made

    def _obey(
        self,
        connection: Connection,
        rollout: Rollout,
        wanted: RolloutOrder,
        change: Change,
        outlook: Outlook | None,
    ) -> frozenset[str]:
        """Carry an order out; the devices that have to be told something."""
        reason = wanted.reason or change.reason
        decisions = orders.order(rollout, replace(wanted, reason=reason), change.actor, change.time)
        if outlook is not None and rollout.state is RolloutState.DRAFT:
            is_so = outlook.holds(connection)
            enlisted = outlook.enlisted if is_so else enlist(connection, rollout)
            rollout = gather(connection, rollout, enlisted, change)
        elif wanted.action == "rollback":
            refuse_lost(connection, rollout)
        settled = settle(
            connection,
            rollout,
            decisions,
            actor=change.actor,
            now=change.time,
            starts_per_s=self._starts_per_s,
        )
        record(
            connection,
            change,
            f"rollout.{wanted.action}",
            rollout_name(rollout.id),
            reason=reason,
            detail={"before": rollout.state.value, "after": settled.rollout.state.value},
        )
        return settled.tell

    def _follow_up(self, tell: frozenset[str]) -> None:
        self._publisher.publish(*sorted(tell))
        self._wake()


def _look(connection: Connection, rollout: Rollout) -> Outlook:
    """Who would get what; of those that would get nothing it has to be so when it starts, too."""
    found = enlist(connection, rollout)
    return Outlook(enlisted=found, revisions=revisions_of(connection, found.already))
