"""News of devices for those who wait for them: rollouts whose assignments are still open.

A mark in the assignment's own row, written in the transaction that takes the report in: whoever
drives the rollout finds it there, in this service or another, also after a restart.
"""

from typing import Final

from sqlalchemy import Connection, bindparam, update

from cloud_sync.db.rollout_tables import rollout_assignments
from cloud_sync.rollout_resources import AssignmentState

_A: Final = rollout_assignments.c
_WAITED_FOR: Final = (
    AssignmentState.QUEUED,
    AssignmentState.OFFERED,
    AssignmentState.DOWNLOADING,
    AssignmentState.VERIFIED,
    AssignmentState.TRIAL,
    AssignmentState.SHADOW,
    AssignmentState.COMMITTED,
    AssignmentState.REVERTING,
)


# Built once: building a statement takes the library longer than the database takes to run it.
_NOTE: Final = (
    update(rollout_assignments)
    .where(
        _A.device == bindparam("of_device"),
        ~_A.has_news,
        _A.state.in_([state.value for state in _WAITED_FOR]),
    )
    .values(has_news=True)
)


def note_news(connection: Connection, device: str) -> None:
    """Note that something new is known of a device."""
    connection.execute(_NOTE, {"of_device": device})
