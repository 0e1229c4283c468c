"""Retention: what is too old or too much is deleted, in small transactions, every night."""

import logging
from collections.abc import Callable
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from msgspec import Struct
from sqlalchemy import Select, Table, delete, func, select

from cloud_sync.config import RetentionSettings
from cloud_sync.db.engine import Database
from cloud_sync.db.telemetry_tables import events, health_history, received_rows, results

DAY_S: Final = 86_400.0
BATCH_ROWS: Final = 5_000
RECEIVED_DAYS: Final = 60.0
"""How long an outbox row is known to be here; devices do not keep theirs for longer."""

logger = logging.getLogger(__name__)


class Rule(Struct, frozen=True):
    """How long and how many rows of a table are kept."""

    table: Table
    days: float
    rows: int


def rules(settings: RetentionSettings) -> tuple[Rule, ...]:
    """The rules that the settings make."""
    return (
        Rule(health_history, settings.health_days, settings.health_rows),
        Rule(events, settings.events_days, settings.events_rows),
        Rule(results, settings.results_days, settings.results_rows),
    )


def clean(database: Database, settings: RetentionSettings, now: float) -> int:
    """Delete what is beyond the rules.

    Args:
        database: what to clean.
        settings: the rules.
        now: seconds since 1970.

    Returns:
        How many rows were deleted.
    """
    deleted = 0
    for rule in rules(settings):
        deleted += _delete_old(database, rule, now)
        deleted += _delete_surplus(database, rule)
    limit = now - RECEIVED_DAYS * DAY_S
    with database.write() as connection:
        query = delete(received_rows).where(received_rows.c.received < limit)
        deleted += connection.execute(query).rowcount
    logger.info("event=retention_done deleted=%d", deleted)
    return deleted


def nightly(hour: int, job: Callable[[], None]) -> BackgroundScheduler:
    """A scheduler that runs `job` once a night; not started.

    Args:
        hour: of the day, local time.
        job: what to do.
    """
    scheduler = BackgroundScheduler()
    # By default a run that is a second late is left out; here it is made up, once.
    scheduler.add_job(
        job, CronTrigger(hour=hour), misfire_grace_time=None, coalesce=True, id="nightly"
    )
    return scheduler


def _delete_old(database: Database, rule: Rule, now: float) -> int:
    column = rule.table.c
    old = select(column.id).where(column.received < now - rule.days * DAY_S).limit(BATCH_ROWS)
    return _delete_all(database, rule.table, old)


def _delete_surplus(database: Database, rule: Rule) -> int:
    column = rule.table.c
    with database.read() as connection:
        count = connection.scalar(select(func.count()).select_from(rule.table)) or 0
        if count <= rule.rows:
            return 0
        first_kept = connection.scalar(
            select(column.id).order_by(column.id.desc()).offset(rule.rows - 1).limit(1)
        )
    surplus = select(column.id).where(column.id < first_kept).limit(BATCH_ROWS)
    return _delete_all(database, rule.table, surplus)


def _delete_all(database: Database, table: Table, found: Select[tuple[int]]) -> int:
    """Delete what a query finds, a batch at a time, so that writers come in between."""
    deleted = 0
    while True:
        with database.write() as connection:
            count = connection.execute(delete(table).where(table.c.id.in_(found))).rowcount
        deleted += count
        if count < BATCH_ROWS:
            return deleted
