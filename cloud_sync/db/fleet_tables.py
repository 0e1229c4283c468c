"""Tables of the fleet: devices, what they should run, what they say they run."""

from typing import Final

from sqlalchemy import (
    BigInteger,
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
    # What its deployment says of the configuration, JSON; the desired state has the effective one.
    Column("config", Text, nullable=False, server_default=text("'{}'")),
)

device_groups: Final = Table(
    "device_groups",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("description", Text, nullable=False),
    # Of two groups of a device the higher one's configuration goes first.
    Column("rank", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(200), nullable=False),
)

group_members: Final = Table(
    "group_members",
    metadata,
    Column("name", ForeignKey("device_groups.name", ondelete="CASCADE"), primary_key=True),
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Index("ix_group_members_device", "device"),
)

config_values: Final = Table(
    "config_values",
    metadata,
    # "fleet", "group" or "device", and which of them; "" for the fleet.
    Column("layer", String(8), primary_key=True),
    Column("name", String(63), primary_key=True),
    # "" for every slot, or for what concerns the agent and no slot.
    Column("slot", String(63), primary_key=True),
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Column("changed_by", String(200), nullable=False),
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
