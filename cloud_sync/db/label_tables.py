"""Table of delayed labels: one row for each message that somebody told the right answer of."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, LargeBinary, String, Table

from cloud_sync.db.metadata import RowId, metadata

labels: Final = Table(
    "labels",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", String(63), nullable=False),
    Column("slot", String(63), nullable=False),
    # The id of the message, as text.
    Column("message", String(200), nullable=False),
    Column("label", LargeBinary, nullable=False),
    Column("received", Float, nullable=False, index=True),
    # Of the result that it was compared with, which may have been deleted since.
    Column("result", BigInteger, nullable=True),
    Column("digest", String(71), nullable=False),
    Column("is_right", Boolean, nullable=True),
    Index("ix_labels_message", "device", "slot", "message", unique=True),
)
