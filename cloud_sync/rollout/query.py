"""Looking at rollouts: lists, one in detail, its devices, its history. Changes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from cloud_sync.db.engine import Database
from cloud_sync.db.measure_tables import slot_measures
from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.db.search import matches
from cloud_sync.errors import InvalidInput, NotFound
from cloud_sync.rollout import journal, lookout
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.store import load_assignments, load_heads
from cloud_sync.rollout.summary import Counts, assignment_summary, detail, rollout_name, summarize
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    RolloutDetail,
    RolloutEvent,
    RolloutState,
    RolloutSummary,
)
from cloud_sync.rollout_waiting import SlotRollout
from edge_agent.contract.shadows import SUFFIX

MAX_DIGITS: Final = 18
_R: Final = rollouts.c
_A: Final = rollout_assignments.c
_M: Final = slot_measures.c


class RolloutQuery:
    """Reads rollouts for people.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(
        self,
        *,
        states: Sequence[RolloutState] = (),
        module: str = "*",
        limit: int = 100,
        offset: int = 0,
    ) -> list[RolloutSummary]:
        """Rollouts, the newest first.

        Args:
            states: only in one of these; empty for all.
            module: a pattern with `*` and `?`.
            limit: most of them.
            offset: how many to leave out first.
        """
        query = select(rollouts).where(matches(_R.module, module))
        if states:
            query = query.where(_R.state.in_([state.value for state in states]))
        query = query.order_by(_R.id.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            found = [stored.rollout for stored in load_heads(connection, query)]
            counts = count(connection, [rollout.id for rollout in found])
            return [
                summarize(rollout, counts.get(rollout.id, {}), messages_of(connection, rollout))
                for rollout in found
            ]

    def get(self, rollout: str, *, now: float | None = None) -> RolloutDetail:
        """How far a rollout is, and how it goes forward.

        Args:
            rollout: its id.
            now: seconds since 1970; None to leave out what its devices wait for.

        Raises:
            NotFound: there is none of this id.
        """
        with self._database.read() as connection:
            return read_detail(connection, number_of(rollout), now=now)

    def assignments(
        self,
        rollout: str,
        *,
        stage: int | None = None,
        states: Sequence[AssignmentState] = (),
        device: str = "",
        limit: int = 100,
        offset: int = 0,
        now: float | None = None,
    ) -> list[AssignmentSummary]:
        """Where the devices of a rollout stand, by name.

        Args:
            rollout: its id.
            stage: only this one, from 0.
            states: only in one of these; empty for all.
            device: only this one; empty for all.
            limit: most of them.
            offset: how many to leave out first.
            now: seconds since 1970; None to leave out what they wait for.

        Raises:
            NotFound: there is no such rollout.
        """
        number = number_of(rollout)
        query = select(rollout_assignments).where(_A.rollout == number)
        if stage is not None:
            query = query.where(_A.stage == stage)
        if states:
            query = query.where(_A.state.in_([state.value for state in states]))
        if device:
            query = query.where(_A.device == device)
        query = query.order_by(_A.device).limit(limit).offset(offset)
        with self._database.read() as connection:
            head = read_head(connection, number)
            found = load_assignments(connection, query)
            why = {} if now is None else lookout.reasons(connection, head, found, now)
            return [assignment_summary(one, why.get(one.device)) for one in found]

    def of_slot(self, device: str, slot: str, *, now: float) -> tuple[SlotRollout, ...]:
        """The rollouts that have a slot of a device in their line, and what each waits for there.

        Args:
            device: its name.
            slot: its name.
            now: seconds since 1970.
        """
        with self._database.read() as connection:
            return lookout.of_slot(connection, device, slot, now)

    def events(
        self, rollout: str, *, after_id: int = 0, device: str | None = None, limit: int = 1_000
    ) -> list[RolloutEvent]:
        """What happened, the oldest first.

        Args:
            rollout: its id.
            after_id: only what came after this event.
            device: only this one's; "" for the rollout and its stages alone; None for all.
            limit: most of them.

        Raises:
            NotFound: there is no such rollout, or the device is not in it.
        """
        number = number_of(rollout)
        with self._database.read() as connection:
            read_head(connection, number)
            if device:
                _check_member(connection, number, device)
            return journal.read(connection, number, after_id=after_id, device=device, limit=limit)


def number_of(rollout: str) -> int:
    """The number of a rollout's id: 17 of `r17` and of `17`.

    Raises:
        InvalidInput: it is no such id.
    """
    digits = rollout.lower().removeprefix("r")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= MAX_DIGITS):
        raise InvalidInput(
            f"a rollout's id expected r and a number, found {rollout[:80]!r}",
            hint="write it as r17",
            code="rollout_id_invalid",
        )
    return int(digits)


def _check_member(connection: Connection, number: int, device: str) -> None:
    """Refuse a device that a rollout knows nothing of: nothing happened to it, and never will.

    Raises:
        NotFound: `device_not_in_rollout`.
    """
    query = select(_A.device).where(_A.rollout == number, _A.device == device)
    if connection.execute(query).first() is None:
        name = rollout_name(number)
        raise NotFound(
            f"device {device[:80]!r} is not in rollout {name}",
            hint=f"`shoal rollout status {name} --devices` shows its devices",
            code="device_not_in_rollout",
        )


def rollout_not_found(connection: Connection, number: int) -> NotFound:
    """The error for a rollout that is not there."""
    newest = connection.scalar(select(func.max(_R.id)))
    return NotFound(
        f"there is no rollout {rollout_name(number)}",
        hint="there are no rollouts yet"
        if newest is None
        else f"the newest is {rollout_name(newest)}; old ones are forgotten after a while",
        code="rollout_not_found",
    )


def read_head(connection: Connection, number: int) -> Rollout:
    """A rollout without its assignments.

    Raises:
        NotFound: there is none of this number.
    """
    found = load_heads(connection, select(rollouts).where(_R.id == number))
    if not found:
        raise rollout_not_found(connection, number)
    return found[0].rollout


def read_detail(connection: Connection, number: int, *, now: float | None = None) -> RolloutDetail:
    """A rollout in detail.

    Args:
        connection: of a transaction.
        number: the rollout's.
        now: seconds since 1970; None to leave out what its devices wait for.

    Raises:
        NotFound: there is none of this number.
    """
    rollout = read_head(connection, number)
    counts = count(connection, [number]).get(number, {})
    waits = () if now is None else lookout.line(connection, rollout, now)
    return detail(rollout, counts, messages_of(connection, rollout), waits)


def count(connection: Connection, numbers: Iterable[int]) -> dict[int, Counts]:
    """How many assignments of some rollouts are in which state, by stage."""
    query = (
        select(_A.rollout, _A.stage, _A.state, func.count().label("number"))
        .where(_A.rollout.in_(tuple(numbers)))
        .group_by(_A.rollout, _A.stage, _A.state)
    )
    found: dict[int, dict[int, dict[str, int]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.rollout, {}).setdefault(row.stage, {})[row.state] = row.number
    return dict(found)


def messages_of(connection: Connection, rollout: Rollout) -> Mapping[int, int]:
    """Stage to inferences of the version in it; a shadow's while it is one."""
    found: dict[int, int] = {}
    for step in ("run", "shadow"):
        stages = [stage.number for stage in rollout.stages if stage.step == step]
        if not stages:
            continue
        slot = rollout.slot + SUFFIX if step == "shadow" else rollout.slot
        query = (
            select(_A.stage, func.sum(_M.messages).label("messages"))
            .join(
                slot_measures,
                (_M.device == _A.device) & (_M.digest == _A.digest) & (_M.slot == slot),
            )
            .where(
                _A.rollout == rollout.id,
                _A.stage.in_(stages),
                # As `evidence.is_offered`: what people see is what the verdict is about.
                _A.revision > 0,
                _A.mode == step,
            )
            .group_by(_A.stage)
        )
        found |= {row.stage: int(row.messages) for row in connection.execute(query)}
    return found
