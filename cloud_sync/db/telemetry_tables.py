"""Tables of telemetry: health history, events, results, and which outbox rows are already here."""

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, String, Table, Text

from cloud_sync.db.metadata import RowId, metadata

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
    Index("ix_results_device_id", "device", "id"),
    Index("ix_results_slot_id", "slot", "id"),
)
