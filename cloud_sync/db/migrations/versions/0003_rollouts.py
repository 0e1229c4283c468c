"""Rollouts, what versions did, groups and layers of configuration, delayed labels."""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Each part makes its own tables."""
