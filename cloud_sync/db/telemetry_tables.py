"""Tables of telemetry: health history, events, results, and which outbox rows are already here."""

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, String, Table, Text, text

from cloud_sync.db.metadata import RowId, metadata

_DOUBTFUL: Final = text("uptime_s IS NOT NULL AND true_time IS NULL")
"""Rows whose time came from a clock that was not synchronized, and that can still be corrected."""


_NAMED: Final = text("message IS NOT NULL")


def _device_clock(table: str) -> tuple[Column[str] | Column[float] | Index, ...]:
    """What tells the true time of a row that a device stamped with a wrong clock.

    `boot_id` and `uptime_s` are there only for such rows; `true_time` as soon as it is known.
    """
    return (
        Column("boot_id", String(100), nullable=True),
        Column("uptime_s", Float, nullable=True),
        Column("true_time", Float, nullable=True),
        Index(
            f"ix_{table}_doubtful",
            "device",
            "boot_id",
            sqlite_where=_DOUBTFUL,
            postgresql_where=_DOUBTFUL,
        ),
    )


received_rows: Final = Table(
    "received_rows",
    metadata,
    # One outbox row of one boot is counted once, however often it is sent.
    Column("device", String(63), primary_key=True),
    Column("boot_id", String(100), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("received", Float, nullable=False, index=True),
    sqlite_with_rowid=False,
)

health_history: Final = Table(
    "health_history",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", String(63), nullable=False),
    Column("received", Float, nullable=False, index=True),
    Column("health", LargeBinary, nullable=False),
    Index("ix_health_history_device_received", "device", "received"),
)

events: Final = Table(
    "events",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False, index=True),
    # Empty for an event of the service itself.
    Column("device", String(63), nullable=False),
    Column("slot", String(63), nullable=False),
    Column("name", String(100), nullable=False, index=True),
    Column("level", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    *_device_clock("events"),
    Index("ix_events_device_id", "device", "id"),
)

results: Final = Table(
    "results",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False, index=True),
    Column("device", String(63), nullable=False),
    Column("slot", String(63), nullable=False),
    Column("result", LargeBinary, nullable=False),
    # The id of the message that it answers, as text; by it a delayed label finds it.
    Column("message", String(200), nullable=True),
    *_device_clock("results"),
    Index(
        "ix_results_message",
        "device",
        "slot",
        "message",
        sqlite_where=_NAMED,
        postgresql_where=_NAMED,
    ),
    Index("ix_results_device_id", "device", "id"),
    Index("ix_results_slot_id", "slot", "id"),
)
