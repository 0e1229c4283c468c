"""What keeps a rollout from something, kept in its row so that people see it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("trouble", sa.Text(), nullable=False, server_default=""))
