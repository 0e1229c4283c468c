"""Who has a device's slot when several rollouts want it, and when it changes hands.

A rollout takes a slot from others when it offers the device something, and not before: what is
taken away is superseded for good, so that it can never be installed after its successor. Until
then what the other one has changed stays its own. A device that is in the line of several rollouts
at work is reserved for the one that goes first (`precedence`): the others begin nothing there, and
go on when that one is over without having asked it.
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, select, update

from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.rollout import journal
from cloud_sync.rollout.precedence import rank, rank_of
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.rows import LIVE
from cloud_sync.rollout.states import ACTIVE
from cloud_sync.rollout.summary import rollout_name
from cloud_sync.rollout_resources import AssignmentState, Obstacle, RolloutEvent, RolloutState

BATCH: Final = 500
_NOT_STARTED: Final = frozenset(
    {RolloutState.DRAFT, RolloutState.PENDING_APPROVAL, RolloutState.READY}
)
_R: Final = rollouts.c
_A: Final = rollout_assignments.c


class Claim(Struct, frozen=True, kw_only=True):
    """Who wants a slot.

    Attributes:
        rollout: its number; 0 for a person who takes the slot away.
        priority: None to go before every rollout.
        started: when the rollout did; None if it starts now.
        by: for the history: "r17 took this device's slot".
    """

    slot: str
    rollout: int
    priority: int | None
    started: float | None
    by: str


class Rival(Struct, frozen=True, kw_only=True):
    """Another rollout's assignment of the same slot of the same device.

    Attributes:
        is_at_work: its rollout is neither over nor ended.
        came_later: its rollout started after the one that claims.
        goes_first: it cannot be superseded by the claim, which has to wait for it.
        waits: it came later, and waits for who claims the slot.
        has_slot: the slot is wanted as it is because of it.
        has_shadow: it put a shadow beside the slot.
        is_going_back: the slot was given back what it wanted before this rollout, which is not
            known to run again yet.
    """

    rollout: int
    device: str
    stage: int
    state: str
    is_at_work: bool
    came_later: bool
    goes_first: bool
    waits: bool
    has_slot: bool
    has_shadow: bool
    is_going_back: bool


class Reservation(Struct, frozen=True):
    """A device that another rollout goes first on.

    Attributes:
        by: the number of that rollout.
        is_used: it has changed what the slot is to run.
    """

    by: int
    is_used: bool


def rivals(
    connection: Connection,
    claim: Claim,
    devices: Sequence[str],
    *conditions: ColumnElement[bool],
) -> list[Rival]:
    """Assignments of others that have, or want, what is claimed on these devices.

    Args:
        connection: of a transaction.
        claim: who claims it.
        devices: whose slot.
        conditions: that an assignment and its rollout have to meet besides.
    """
    found: list[Rival] = []
    for start in range(0, len(devices), BATCH):
        query = (
            select(rollout_assignments, _R.priority, _R.started, _R.state.label("rollout_state"))
            .join(rollouts, _R.id == _A.rollout)
            .where(
                _A.device.in_(devices[start : start + BATCH]),
                _A.slot == claim.slot,
                _A.rollout != claim.rollout,
                _A.state.in_(sorted(ACTIVE)),
                _R.state.not_in(sorted(_NOT_STARTED)),
                *conditions,
            )
        )
        found += [_rival(row, claim) for row in connection.execute(query)]
    return found


def reservations(connection: Connection, rollout: Rollout) -> dict[str, Reservation]:
    """The devices on which another rollout goes before this one, as far as it is at work there."""
    query = select(_R.id, _R.priority, _R.started).where(
        _R.slot == rollout.slot, _R.id != rollout.id, _R.state.in_(sorted(LIVE))
    )
    own = rank_of(rollout)
    first = sorted(
        place
        for row in connection.execute(query)
        if (place := rank(row.priority, row.started, row.id)) > own
    )
    found: dict[str, Reservation] = {}
    for place in first:  # of several the one that goes before all of them comes last
        devices = select(_A.device, _A.is_wanted).where(
            _A.rollout == place.number, _A.state.in_(sorted(ACTIVE))
        )
        for row in connection.execute(devices):
            found[row.device] = Reservation(place.number, row.is_wanted)
    return found


def leaving(connection: Connection, slot: str) -> frozenset[str]:
    """Devices that a rollout still has to take back: what they want now is not for long."""
    query = (
        select(_A.device)
        .join(rollouts, _R.id == _A.rollout)
        .where(
            _A.slot == slot,
            _A.is_wanted.is_(True),
            _R.state.in_([RolloutState.ROLLING_BACK, RolloutState.ROLLBACK_INCOMPLETE]),
        )
    )
    return frozenset(connection.scalars(query))


def supersede(
    connection: Connection, losers: Iterable[Rival], claim: Claim, actor: str, now: float
) -> frozenset[int]:
    """End assignments whose slot another has taken.

    Args:
        connection: of the transaction.
        losers: as `rivals` found them.
        claim: who takes the slots.
        actor: for the history.
        now: seconds since 1970, as stamped in this transaction.

    Returns:
        The rollouts that lost a device, which have to be looked at.
    """
    by_rollout: dict[int, list[Rival]] = {}
    for rival in losers:
        if not (rival.goes_first or rival.waits):
            by_rollout.setdefault(rival.rollout, []).append(rival)
    reason = f"{claim.by} took this device's slot"
    for number, lost in by_rollout.items():
        connection.execute(
            _SUPERSEDE,
            [
                {"key_rollout": number, "key_device": rival.device}
                | {
                    "state": AssignmentState.SUPERSEDED.value,
                    "since": now,
                    "deadline": None,
                    "next_retry": None,
                    "reason": reason,
                    "evidence": msgspec.json.encode({"was": rival.state}),
                    "is_wanted": False,
                    "is_active": False,
                    "has_news": True,
                }
                for rival in lost
            ],
        )
        connection.execute(update(rollouts).where(_R.id == number).values(edition=_R.edition + 1))
        journal.write(
            connection,
            number,
            [
                RolloutEvent(
                    id=0,
                    time=now,
                    stage=rival.stage,
                    device=rival.device,
                    before=rival.state,
                    after=AssignmentState.SUPERSEDED.value,
                    actor=actor,
                    reason=reason,
                    evidence={"was": rival.state},
                )
                for rival in lost
            ],
        )
    return frozenset(by_rollout)


def start_of(connection: Connection, rollout: Rollout, now: float) -> float:
    """When a rollout starts: after all others of its slot, also when the clock was set back.

    Args:
        connection: of the transaction in which it starts.
        rollout: that starts.
        now: seconds since 1970.
    """
    others = (_R.slot == rollout.slot, _R.id != rollout.id)
    latest: float | None = connection.scalar(select(func.max(_R.started)).where(*others))
    return now if latest is None else max(now, latest + journal.TICK_S)


def shadow_steps(losers: Iterable[Rival]) -> dict[str, frozenset[str]]:
    """Device to the names of the rollouts that had put a shadow beside what they have lost."""
    found: dict[str, frozenset[str]] = {}
    for rival in losers:
        if rival.has_shadow:
            names = found.get(rival.device, frozenset())
            found[rival.device] = names | {rollout_name(rival.rollout)}
    return found


def of_rollout(rollout: Rollout) -> Claim:
    """A rollout's claim of its slot."""
    return Claim(
        slot=rollout.slot,
        rollout=rollout.id,
        priority=rollout.wish.policy.priority,
        started=rollout.started,
        by=rollout_name(rollout.id),
    )


def conflict_of(rival: Rival, slot: str) -> Obstacle:
    """What a rollout that has not begun meets on a device, for people."""
    other = rollout_name(rival.rollout)
    if rival.goes_first:
        code, text = "slot_taken", f"{other} goes first on slot {slot!r}: this one waits for it"
    elif rival.has_slot or rival.has_shadow:
        code = "supersedes"
        text = f"{other} has slot {slot!r} until this one offers, and is superseded there then"
    else:
        code = "supersedes"
        text = f"{other} waits for this one on slot {slot!r}, and is superseded when it offers"
    return Obstacle(device=rival.device, code=code, text=text)


def _rival(row: Row[Any], claim: Claim) -> Rival:  # Any: columns
    is_at_work = row.rollout_state in LIVE
    own = rank(claim.priority, claim.started, claim.rollout)
    # One that has ended without ever starting has nothing to go first with.
    came = 0.0 if row.started is None else row.started
    started = inf if claim.started is None else claim.started
    came_later = (came, row.rollout) > (started, claim.rollout)
    return Rival(
        rollout=row.rollout,
        device=row.device,
        stage=row.stage,
        state=row.state,
        is_at_work=is_at_work,
        came_later=came_later,
        goes_first=is_at_work and rank(row.priority, came, row.rollout) > own,
        waits=came_later and not row.is_active,
        has_slot=row.is_wanted and row.mode == "run",
        has_shadow=row.is_wanted and row.mode == "shadow",
        is_going_back=row.revision > 0 and not row.is_wanted,
    )


_SUPERSEDE: Final = update(rollout_assignments).where(
    _A.rollout == bindparam("key_rollout"), _A.device == bindparam("key_device")
)
