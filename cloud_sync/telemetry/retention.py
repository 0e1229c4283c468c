"""Retention: what is too old or too much is deleted, in small transactions, every night."""

import logging
from collections.abc import Callable
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Table, delete, func, select, tuple_

from cloud_sync.config import RetentionSettings
from cloud_sync.db.engine import Database
from cloud_sync.db.label_tables import labels
from cloud_sync.db.measure_tables import slot_measures
from cloud_sync.db.telemetry_tables import events, health_history, received_rows, results

DAY_S: Final = 86_400.0
BATCH_ROWS: Final = 5_000

logger = logging.getLogger(__name__)


class Rule(Struct, frozen=True):
    """How long and how many rows of a table are kept.

    Attributes:
        order: the column by which newer rows are told from older ones when there are too many;
            rows that are equal in it stay or go together.
        since: the column that tells when a row was written; `received` where there is one.
    """

    table: Table
    order: Column[Any]  # Any: a counter of one table is an integer, a time of another a float
    days: float
    rows: int
    since: Column[float] | None = None


def rules(settings: RetentionSettings) -> tuple[Rule, ...]:
    """The rules that the settings make."""
    return (
        Rule(health_history, health_history.c.id, settings.health_days, settings.health_rows),
        Rule(events, events.c.id, settings.events_days, settings.events_rows),
        Rule(results, results.c.id, settings.results_days, settings.results_rows),
        Rule(labels, labels.c.id, settings.labels_days, settings.labels_rows),
        # A device may keep a row for longer than that, if it never heard that we have it.
        Rule(
            received_rows,
            received_rows.c.received,
            settings.received_days,
            settings.received_rows,
        ),
        # What a version did where it has done nothing since: of slots and devices long gone.
        Rule(
            slot_measures,
            slot_measures.c.updated,
            settings.measures_days,
            settings.measures_rows,
            slot_measures.c.updated,
        ),
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
    since = rule.table.c.received if rule.since is None else rule.since
    return _delete_where(database, rule.table, since < now - rule.days * DAY_S)


def _delete_surplus(database: Database, rule: Rule) -> int:
    with database.read() as connection:
        count = connection.scalar(select(func.count()).select_from(rule.table)) or 0
        if count <= rule.rows:
            return 0
        first_kept = connection.scalar(
            select(rule.order).order_by(rule.order.desc()).offset(rule.rows - 1).limit(1)
        )
    return _delete_where(database, rule.table, rule.order < first_kept)


def _delete_where(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete the rows of a condition, a batch at a time, so that writers come in between."""
    key = table.primary_key.columns
    found = select(*key).where(condition).limit(BATCH_ROWS)
    deleted = 0
    while True:
        with database.write() as connection:
            count = connection.execute(delete(table).where(tuple_(*key).in_(found))).rowcount
        deleted += count
        if count < BATCH_ROWS:
            return deleted
