"""Alembic's entry: runs on the connection that `migrate` passes in, and on no other."""

from alembic import context

from cloud_sync.db import (
    fleet_tables,
    label_tables,
    measure_tables,
    registry_tables,
    rollout_tables,
    telemetry_tables,
)
from cloud_sync.db.metadata import metadata

_FILL_METADATA = (
    registry_tables,
    fleet_tables,
    label_tables,
    measure_tables,
    rollout_tables,
    telemetry_tables,
)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot change a column in place.
    render_as_batch=True,
)
context.run_migrations()
