"""Tables of the fleet: devices, what they should run, what they say they run."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
)

from cloud_sync.db.metadata import RowId, metadata

devices: Final = Table(
    "devices",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("created", Float, nullable=False),
    # Of the last status message; "" if the device never spoke.
    Column("state", String(8), nullable=False),
    Column("boot_id", String(100), nullable=False),
    Column("host", String(255), nullable=False),
    # The boot before; when it speaks again, two agents use one name.
    Column("previous_boot_id", String(100), nullable=False),
    Column("previous_host", String(255), nullable=False),
    Column("last_seen", Float, nullable=True),
    Column("interval_s", Float, nullable=False),
)

device_tags: Final = Table(
    "device_tags",
    metadata,
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Column("key", String(100), primary_key=True),
    Column("value", String(200), nullable=False),
    Index("ix_device_tags_key_value", "key", "value"),
)

desired_states: Final = Table(
    "desired_states",
    metadata,
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("changed", Float, nullable=False),
)

wanted_slots: Final = Table(
    "wanted_slots",
    metadata,
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Column("slot", String(63), primary_key=True),
    Column("digest", String(71), nullable=False, index=True),
)

reported_states: Final = Table(
    "reported_states",
    metadata,
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Column("boot_id", String(100), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False),
    Column("revision_seen", BigInteger, nullable=False),
    Column("revision_applied", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

running_slots: Final = Table(
    "running_slots",
    metadata,
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Column("slot", String(63), primary_key=True),
    Column("digest", String(71), nullable=False, index=True),
)

device_health: Final = Table(
    "device_health",
    metadata,
    # The last two reports, so that rates need no search through the history.
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Column("boot_id", String(100), nullable=False),
    Column("received", Float, nullable=False),
    Column("last", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=True),
)

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("time", Float, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
)
