"""Table of what versions did: one row for each digest that was heard of in a slot of a device."""

from typing import Final

from sqlalchemy import Column, Float, ForeignKey, LargeBinary, String, Table

from cloud_sync.db.metadata import metadata

slot_measures: Final = Table(
    "slot_measures",
    metadata,
    Column("device", ForeignKey("devices.device", ondelete="CASCADE"), primary_key=True),
    Column("slot", String(63), primary_key=True),
    Column("digest", String(71), primary_key=True),
    # When it last did something.
    Column("updated", Float, nullable=False),
    # Beside the rest, so that a stage's messages are summed without reading them.
    Column("messages", Float, nullable=False),
    Column("sums", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
