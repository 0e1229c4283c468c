"""Tables of the registry: blobs, models, modules, and the counters of their versions."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from cloud_sync.db.metadata import metadata

blobs: Final = Table(
    "blobs",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
)

counters: Final = Table(
    "counters",
    metadata,
    # A version that was deleted is never given again, so the last one is kept here.
    Column("kind", String(16), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("last", Integer, nullable=False),
)

model_versions: Final = Table(
    "model_versions",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("framework", String(100), nullable=False),
    Column("description", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("is_retired", Boolean, nullable=False),
)

model_files: Final = Table(
    "model_files",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("path", String(255), primary_key=True),
    Column("digest", String(71), ForeignKey("blobs.digest"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    ForeignKeyConstraint(
        ["name", "version"],
        ["model_versions.name", "model_versions.version"],
        ondelete="CASCADE",
    ),
)

model_labels: Final = Table(
    "model_labels",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    # "tag" (can be changed) or "property" (cannot).
    Column("kind", String(8), primary_key=True),
    Column("key", String(100), primary_key=True),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(
        ["name", "version"],
        ["model_versions.name", "model_versions.version"],
        ondelete="CASCADE",
    ),
    Index("ix_model_labels_kind_key", "kind", "key"),
)

module_versions: Final = Table(
    "module_versions",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("license", Text, nullable=False),
    Column("metrics", JSON, nullable=False),
    # `name/version` of the registered model that its file came from, or empty.
    Column("source_model", String(80), nullable=False, index=True),
    Column("created", Float, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("is_retired", Boolean, nullable=False),
    UniqueConstraint("name", "digest"),
    Index("ix_module_versions_digest", "digest"),
)

module_blobs: Final = Table(
    "module_blobs",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", String(71), ForeignKey("blobs.digest"), primary_key=True, index=True),
    ForeignKeyConstraint(
        ["name", "version"],
        ["module_versions.name", "module_versions.version"],
        ondelete="CASCADE",
    ),
)
