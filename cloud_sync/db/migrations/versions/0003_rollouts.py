"""Rollouts, what versions did, groups and layers of configuration, delayed labels."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Each part makes its own tables."""
    _rollouts()
    _assignments()
    _rollout_events()
    _measures()
    _groups()
    _config()
    _labels()


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("state_since", sa.Float(), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=True),
        sa.Column("module", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("slot", sa.String(length=63), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("started", sa.Float(), nullable=True),
        sa.Column("ended", sa.Float(), nullable=True),
        sa.Column("wish", sa.LargeBinary(), nullable=False),
        sa.Column("is_followed", sa.Boolean(), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index(op.f("ix_rollouts_state"), "rollouts", ["state"])
    op.create_table(
        "rollout_stages",
        sa.Column("rollout", _ROW_ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(length=8), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=True),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout"],
            ["rollouts.id"],
            name=op.f("fk_rollout_stages_rollout_rollouts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rollout", "number", name=op.f("pk_rollout_stages")),
    )


def _assignments() -> None:
    op.create_table(
        "rollout_assignments",
        sa.Column("rollout", _ROW_ID, nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("slot", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("module", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("site", sa.String(length=200), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_retry", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("is_wanted", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("has_news", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout"],
            ["rollouts.id"],
            name=op.f("fk_rollout_assignments_rollout_rollouts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rollout", "device", name=op.f("pk_rollout_assignments")),
    )
    op.create_index(
        "uq_rollout_assignments_active",
        "rollout_assignments",
        ["device", "slot"],
        unique=True,
        sqlite_where=sa.text("is_active = 1"),
        postgresql_where=sa.text("is_active"),
    )
    op.create_index("ix_rollout_assignments_device", "rollout_assignments", ["device", "slot"])
    op.create_index(
        "ix_rollout_assignments_news",
        "rollout_assignments",
        ["rollout", "device"],
        sqlite_where=sa.text("has_news = 1"),
        postgresql_where=sa.text("has_news"),
    )


def _rollout_events() -> None:
    op.create_table(
        "rollout_events",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("rollout", _ROW_ID, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=True),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("before", sa.String(length=24), nullable=False),
        sa.Column("after", sa.String(length=24), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout"],
            ["rollouts.id"],
            name=op.f("fk_rollout_events_rollout_rollouts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_events")),
    )
    op.create_index(op.f("ix_rollout_events_time"), "rollout_events", ["time"])
    op.create_index(
        "ix_rollout_events_rollout_device_id", "rollout_events", ["rollout", "device", "id"]
    )


def _measures() -> None:
    op.create_table(
        "slot_measures",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("slot", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("updated", sa.Float(), nullable=False),
        sa.Column("messages", sa.Float(), nullable=False),
        sa.Column("sums", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"],
            ["devices.device"],
            name=op.f("fk_slot_measures_device_devices"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("device", "slot", "digest", name=op.f("pk_slot_measures")),
        sqlite_with_rowid=False,
    )


def _groups() -> None:
    op.create_table(
        "device_groups",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_device_groups")),
    )
    op.create_table(
        "group_members",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(
            ["name"],
            ["device_groups.name"],
            name=op.f("fk_group_members_name_device_groups"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["device"],
            ["devices.device"],
            name=op.f("fk_group_members_device_devices"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("name", "device", name=op.f("pk_group_members")),
    )
    op.create_index("ix_group_members_device", "group_members", ["device"])


def _config() -> None:
    op.create_table(
        "config_values",
        sa.Column("layer", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("slot", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("changed", sa.Float(), nullable=False),
        sa.Column("changed_by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("layer", "name", "slot", "key", name=op.f("pk_config_values")),
    )
    op.add_column(
        "wanted_slots",
        sa.Column("config", sa.Text(), nullable=False, server_default=sa.text("'{}'")),
    )
    # Until now all configuration came from deployments.
    wanted = sa.table("wanted_slots", sa.column("device"), sa.column("slot"), sa.column("config"))
    desired = sa.table("desired_states", sa.column("device"), sa.column("state"))
    connection = op.get_bind()
    for device, state in connection.execute(sa.select(desired.c.device, desired.c.state)).all():
        for slot, found in json.loads(bytes(state)).get("slots", {}).items():
            if config := found.get("config"):
                key = (wanted.c.device == device) & (wanted.c.slot == slot)
                own = json.dumps(config)
                connection.execute(sa.update(wanted).where(key).values(config=own))


def _labels() -> None:
    op.create_table(
        "labels",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("slot", sa.String(length=63), nullable=False),
        sa.Column("message", sa.String(length=200), nullable=False),
        sa.Column("label", sa.LargeBinary(), nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.Column("result", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("is_right", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_received"), "labels", ["received"])
    op.create_index("ix_labels_message", "labels", ["device", "slot", "message"], unique=True)
    # Results that are here already stay without: labels find only those that come from now on.
    op.add_column("results", sa.Column("message", sa.String(length=200), nullable=True))
    named = sa.text("message IS NOT NULL")
    op.create_index(
        "ix_results_message",
        "results",
        ["device", "slot", "message"],
        sqlite_where=named,
        postgresql_where=named,
    )
