"""Rollouts in the database: loaded as values, and what a change of a value changes of the rows.

Knows rows and values and decides nothing. Everything here runs in its caller's transaction, so a
rollout is never half saved.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, Select, bindparam, insert, select, update

from cloud_sync.db.rollout_tables import rollout_assignments, rollout_stages, rollouts
from cloud_sync.rollout.rollout import NO_STAGE, Assignment, Rollout, Stage
from cloud_sync.rollout.rows import (
    LIVE,
    as_assignment,
    as_rollout,
    as_stage,
    assignment_values,
    rollout_values,
    stage_values,
)
from cloud_sync.rollout_resources import AssignmentState

_R: Final = rollouts.c
_S: Final = rollout_stages.c
_A: Final = rollout_assignments.c


class Stored(Struct, frozen=True, kw_only=True):
    """A rollout as it is in the database.

    Attributes:
        edition: counts the changes of its rows.
        lease_owner: the service that drives it; empty for none.
        lease_until: so long, seconds since 1970.
    """

    rollout: Rollout
    edition: int
    lease_owner: str
    lease_until: float


def load(connection: Connection, number: int) -> Stored | None:
    """A rollout with everything in it; None if there is none of this number."""
    heads = load_heads(connection, select(rollouts).where(_R.id == number))
    if not heads:
        return None
    (head,) = heads
    assignments: dict[str, Assignment] = {}
    left_out: dict[str, Assignment] = {}
    for row in _assignment_rows(connection, number):
        (left_out if row.stage == NO_STAGE else assignments)[row.device] = as_assignment(row)
    return msgspec.structs.replace(
        head,
        rollout=msgspec.structs.replace(head.rollout, assignments=assignments, left_out=left_out),
    )


def load_heads(connection: Connection, query: Select[Any]) -> list[Stored]:  # Any: all columns
    """Rollouts with their stages and without their assignments, in the order of a query."""
    rows = connection.execute(query).all()
    stages: dict[int, list[Stage]] = {row.id: [] for row in rows}
    found = select(rollout_stages).where(_S.rollout.in_(stages)).order_by(_S.number)
    for row in connection.execute(found):
        stages[row.rollout].append(as_stage(row))
    return [
        Stored(
            rollout=as_rollout(row, tuple(stages[row.id])),
            edition=row.edition,
            lease_owner=row.lease_owner,
            lease_until=row.lease_until,
        )
        for row in rows
    ]


def load_assignments(
    connection: Connection, query: Select[Any]
) -> list[Assignment]:  # Any: as above
    """Assignments in the order of a query on their table."""
    return [as_assignment(row) for row in connection.execute(query)]


def add(connection: Connection, rollout: Rollout) -> Rollout:
    """Store a new rollout; it is given its number."""
    values = rollout_values(rollout) | {"edition": 1, "lease_owner": "", "lease_until": 0.0}
    result = connection.execute(insert(rollouts).values(**values))
    (number,) = result.inserted_primary_key or (0,)
    added = msgspec.structs.replace(rollout, id=number)
    _insert_stages(connection, number, added.stages)
    _insert_assignments(connection, added, added.assignments.values(), first=0)
    _insert_assignments(connection, added, added.left_out.values(), first=0)
    return added


def save(connection: Connection, before: Rollout, after: Rollout) -> None:
    """Store what has changed. Counts the edition up, so that every copy elsewhere is old.

    Args:
        connection: of the transaction in which `before` was loaded, or found to be current.
        before: as it is in the database.
        after: as it is to be.
    """
    number = after.id
    values = rollout_values(after) | {"edition": _R.edition + 1}
    connection.execute(update(rollouts).where(_R.id == number).values(**values))
    known = {stage.number: stage for stage in before.stages}
    _insert_stages(connection, number, [s for s in after.stages if s.number not in known])
    changed = [s for s in after.stages if s.number in known and s != known[s.number]]
    if changed:
        connection.execute(_UPDATE_STAGE, [_keys(number, s) | stage_values(s) for s in changed])
    _save_assignments(connection, before, after)


def _save_assignments(connection: Connection, before: Rollout, after: Rollout) -> None:
    known = before.assignments
    fresh: list[Assignment] = []
    changed: list[dict[str, object]] = []
    for device, assignment in after.assignments.items():
        old = known.get(device)
        if old is None:
            fresh.append(assignment)
        elif old is not assignment and old != assignment:
            key = {"key_rollout": after.id, "key_device": device}
            changed.append(key | assignment_values(after, assignment))
    if changed:
        # Whoever lets go comes first: a slot has one owner at any moment.
        changed.sort(key=lambda values: bool(values["is_active"]))
        connection.execute(_UPDATE_ASSIGNMENT, changed)
    _insert_assignments(connection, after, fresh, first=len(known))
    if after.left_out is not before.left_out:
        new = [one for device, one in after.left_out.items() if device not in before.left_out]
        _insert_assignments(connection, after, new, first=0)
    if (before.state in LIVE) != (after.state in LIVE):
        committed = (_A.rollout == after.id, _A.state == AssignmentState.COMMITTED)
        is_live = after.state in LIVE
        connection.execute(update(rollout_assignments).where(*committed).values(is_active=is_live))


def _assignment_rows(connection: Connection, number: int) -> Iterable[Row[Any]]:  # Any: columns
    query = select(rollout_assignments).where(_A.rollout == number).order_by(_A.position, _A.device)
    return connection.execute(query)


def _insert_stages(connection: Connection, number: int, stages: Iterable[Stage]) -> None:
    values = [{"rollout": number, "number": s.number} | stage_values(s) for s in stages]
    if values:
        connection.execute(insert(rollout_stages), values)


def _insert_assignments(
    connection: Connection, rollout: Rollout, assignments: Iterable[Assignment], *, first: int
) -> None:
    same = {"rollout": rollout.id, "slot": rollout.slot}
    values = [
        same
        | {"device": a.device, "position": position, "has_news": a.stage != NO_STAGE}
        | assignment_values(rollout, a)
        for position, a in enumerate(assignments, first)
    ]
    if values:
        connection.execute(insert(rollout_assignments), values)


def _keys(number: int, stage: Stage) -> dict[str, object]:
    return {"key_rollout": number, "key_number": stage.number}


_UPDATE_STAGE: Final = update(rollout_stages).where(
    _S.rollout == bindparam("key_rollout"), _S.number == bindparam("key_number")
)
_UPDATE_ASSIGNMENT: Final = update(rollout_assignments).where(
    _A.rollout == bindparam("key_rollout"), _A.device == bindparam("key_device")
)
