"""The audit log: who changed what, when and why. Written in the change's own transaction."""

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, insert, select

from cloud_sync.db.fleet_tables import audit_log
from cloud_sync.resources import AuditEntry, Tags


class Change(Struct, frozen=True, kw_only=True):
    """Who is changing something, why, and when (seconds since 1970)."""

    actor: str
    reason: str
    time: float


def record(
    connection: Connection,
    change: Change,
    action: str,
    subject: str,
    *,
    reason: str = "",
    detail: Tags | None = None,
) -> None:
    """Write one entry.

    Args:
        connection: of the transaction that makes the change.
        change: who, why, when.
        action: what was done, as `noun.verb`.
        subject: to what.
        reason: instead of the change's own.
        detail: more facts.
    """
    connection.execute(
        insert(audit_log).values(
            time=change.time,
            actor=change.actor,
            action=action,
            subject=subject,
            reason=reason or change.reason,
            detail=msgspec.json.encode(detail or {}),
        )
    )


def entries(connection: Connection, *, limit: int) -> list[AuditEntry]:
    """The newest entries, newest first."""
    rows = connection.execute(select(audit_log).order_by(audit_log.c.id.desc()).limit(limit))
    return [
        AuditEntry(
            id=row.id,
            time=row.time,
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            reason=row.reason,
            detail=msgspec.json.decode(row.detail, type=Tags),
        )
        for row in rows
    ]
