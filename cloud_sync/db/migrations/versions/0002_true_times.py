"""True times of rows that a device stamped with a wrong clock."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DOUBTFUL = sa.text("uptime_s IS NOT NULL AND true_time IS NULL")


def upgrade() -> None:
    for table in ("events", "results"):
        op.add_column(table, sa.Column("boot_id", sa.String(length=100), nullable=True))
        op.add_column(table, sa.Column("uptime_s", sa.Float(), nullable=True))
        op.add_column(table, sa.Column("true_time", sa.Float(), nullable=True))
        op.create_index(
            f"ix_{table}_doubtful",
            table,
            ["device", "boot_id"],
            sqlite_where=_DOUBTFUL,
            postgresql_where=_DOUBTFUL,
        )
