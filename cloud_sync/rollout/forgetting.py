"""Forgetting old rollouts, so that what is stored of them is bounded.

Only what is over goes, the oldest first, a part of it in each transaction, because reports wait
while one lasts; the newest stays whatever happens, because its number must never be given again.
What devices should run is not touched.
"""

import logging
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select

from cloud_sync.config import RetentionSettings
from cloud_sync.db.engine import Database
from cloud_sync.db.rollout_tables import rollout_assignments, rollout_events, rollouts
from cloud_sync.rollout_resources import RolloutState

DAY_S: Final = 86_400.0
BATCH_ROWS: Final = 5_000
_OVER: Final = (
    RolloutState.COMPLETED,
    RolloutState.COMPLETED_DEGRADED,
    RolloutState.ROLLED_BACK,
    RolloutState.ROLLBACK_INCOMPLETE,
    RolloutState.CANCELLED,
    RolloutState.SUPERSEDED,
)
_R: Final = rollouts.c
_A: Final = rollout_assignments.c
_E: Final = rollout_events.c
logger = logging.getLogger(__name__)


def forget(database: Database, settings: RetentionSettings, now: float) -> int:
    """Delete rollouts and entries of their journals that are beyond the settings.

    Args:
        database: where they are.
        settings: how much is kept.
        now: seconds since 1970.

    Returns:
        How many rollouts were deleted.
    """
    count = 0
    while (found := _oldest(database, settings, now)) is not None:
        count += _forget_rollout(database, *found)
    _forget_events(database, _E.time < now - settings.rollout_events_days * DAY_S)
    with database.read() as connection:
        first = select(_E.id).order_by(_E.id.desc()).offset(settings.rollout_events_rows).limit(1)
        surplus = connection.scalar(first)
    if surplus is not None:
        _forget_events(database, _E.id <= surplus)
    if count:
        logger.info("event=rollouts_forgotten rollouts=%d", count)
    return count


def _forget_rollout(database: Database, number: int, edition: int) -> bool:
    """Delete a rollout with all that belongs to it; its history first, which is most of it.

    Args:
        database: where it is.
        number: the rollout's.
        edition: in which it may go. Somebody may take it back meanwhile, or start it if it is a
            draft: then it stays.

    Returns:
        Whether it is gone.
    """
    events = select(_E.id).where(_E.rollout == number).limit(BATCH_ROWS)
    while True:
        with database.write() as connection:
            as_found = (_R.id == number, _R.edition == edition)
            if connection.scalar(select(_R.id).where(*as_found)) is None:
                return False
            query = delete(rollout_events).where(_E.id.in_(events))
            if connection.execute(query).rowcount < BATCH_ROWS:
                connection.execute(delete(rollouts).where(*as_found))
                return True


def _oldest(database: Database, settings: RetentionSettings, now: float) -> tuple[int, int] | None:
    """The oldest rollout that has to go, and its edition; None if all may stay."""
    with database.read() as connection:
        newest = connection.scalar(select(func.max(_R.id)))
        may_go = and_(or_(_R.state.in_(_OVER), _R.state == RolloutState.DRAFT), _R.id != newest)
        too_old = now - settings.rollouts_days * DAY_S
        is_old = or_(_R.ended < too_old, and_(_R.state == RolloutState.DRAFT, _R.created < too_old))
        found = _first(connection, and_(may_go, is_old))
        if found is not None:
            return found
        rows = connection.scalar(select(func.count()).select_from(rollout_assignments)) or 0
        return _first(connection, may_go) if rows > settings.rollout_rows else None


def _first(connection: Connection, condition: ColumnElement[bool]) -> tuple[int, int] | None:
    query = select(_R.id, _R.edition).where(condition).order_by(_R.id).limit(1)
    row = connection.execute(query).first()
    return None if row is None else (row.id, row.edition)


def _forget_events(database: Database, condition: ColumnElement[bool]) -> None:
    """Delete entries, a batch at a time, so that writers come in between."""
    found = select(_E.id).where(condition).order_by(_E.id).limit(BATCH_ROWS)
    while True:
        with database.write() as connection:
            query = delete(rollout_events).where(_E.id.in_(found))
            if connection.execute(query).rowcount < BATCH_ROWS:
                return
