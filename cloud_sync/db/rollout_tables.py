"""Tables of rollouts: what was asked for, its stages, each device's way, and every transition.

Rows that outlive a device keep its name: a rollout says what became of devices that are gone.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from cloud_sync.db.metadata import RowId, metadata

rollouts: Final = Table(
    "rollouts",
    metadata,
    Column("id", RowId, primary_key=True),
    # Counts changes: who holds a copy tells by it whether the copy is old.
    Column("edition", Integer, nullable=False),
    Column("state", String(24), nullable=False, index=True),
    Column("state_since", Float, nullable=False),
    Column("state_reason", Text, nullable=False),
    # What keeps it from something now; empty for nothing.
    Column("trouble", Text, nullable=False, server_default=""),
    Column("deadline", Float, nullable=True),
    Column("module", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("slot", String(63), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("started", Float, nullable=True),
    Column("ended", Float, nullable=True),
    Column("wish", LargeBinary, nullable=False),
    # Devices that come late, and labels, concern it even when it is over.
    Column("is_followed", Boolean, nullable=False),
    # Which service drives it, and until when the others leave it alone.
    Column("lease_owner", String(64), nullable=False),
    Column("lease_until", Float, nullable=False),
)

rollout_stages: Final = Table(
    "rollout_stages",
    metadata,
    Column("rollout", ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", String(8), nullable=False),
    Column("since", Float, nullable=False),
    Column("deadline", Float, nullable=True),
    # Everybody of the stage was reached once in this step.
    Column("is_full", Boolean, nullable=False),
    Column("verdict", LargeBinary, nullable=True),
    Column("reason", Text, nullable=False),
)

rollout_assignments: Final = Table(
    "rollout_assignments",
    metadata,
    Column("rollout", ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("device", String(63), primary_key=True),
    Column("slot", String(63), nullable=False),
    # In the order in which devices get their turn.
    Column("position", Integer, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("module", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("site", String(200), nullable=False),
    # What the slot wanted before, as JSON; None for nothing.
    Column("previous", LargeBinary, nullable=True),
    Column("state", String(16), nullable=False),
    Column("mode", String(8), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("since", Float, nullable=False),
    Column("deadline", Float, nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("next_retry", Float, nullable=True),
    Column("reason", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    # The device's desired state asks for the version.
    Column("is_wanted", Boolean, nullable=False),
    # The rollout is at work on this slot, and no other may be until it lets go.
    Column("is_active", Boolean, nullable=False),
    # The device has spoken since the driver last looked at it.
    Column("has_news", Boolean, nullable=False),
    Index(
        "uq_rollout_assignments_active",
        "device",
        "slot",
        unique=True,
        sqlite_where=text("is_active = 1"),
        postgresql_where=text("is_active"),
    ),
    Index("ix_rollout_assignments_device", "device", "slot"),
    Index(
        "ix_rollout_assignments_news",
        "rollout",
        "device",
        sqlite_where=text("has_news = 1"),
        postgresql_where=text("has_news"),
    ),
)

rollout_events: Final = Table(
    "rollout_events",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("rollout", ForeignKey("rollouts.id", ondelete="CASCADE"), nullable=False),
    Column("time", Float, nullable=False, index=True),
    # None for the rollout itself.
    Column("stage", Integer, nullable=True),
    # Empty for the rollout and for a stage.
    Column("device", String(63), nullable=False),
    Column("before", String(24), nullable=False),
    Column("after", String(24), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Index("ix_rollout_events_rollout_device_id", "rollout", "device", "id"),
)
