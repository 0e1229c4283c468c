"""Devices that want a rollout's version without it: taken from other rollouts, with no offer.

There is nothing to offer them, so the start is for them what an offer is for others (`takeover`):
a rollout that started before, and has such a device in its line, must not change it afterwards. One
that brought the same version keeps the device and looks after it, and one that only takes it back
does that. Must never touch a device that wants something else by now.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, or_, select

from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.fleet.desired import read_many
from cloud_sync.rollout import wanted
from cloud_sync.rollout.decisions import Decision, Join, MoveRollout
from cloud_sync.rollout.omission import ASKED_ALREADY, is_already
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.summary import rollout_name
from cloud_sync.rollout.takeover import Claim, Rival, rivals
from cloud_sync.rollout_resources import AssignmentState, Obstacle, RolloutState

BATCH: Final = 500
_MAY_OFFER: Final = frozenset(
    {
        RolloutState.RUNNING,
        RolloutState.PAUSED,
        RolloutState.COMPLETED,
        RolloutState.COMPLETED_DEGRADED,
    }
)
"""It offers, or may again: when somebody resumes it, or a device comes back."""

_GIVEN_BACK: Final = frozenset(
    {RolloutState.ROLLING_BACK, RolloutState.ROLLBACK_INCOMPLETE, RolloutState.ROLLED_BACK}
)
_R: Final = rollouts.c
_A: Final = rollout_assignments.c
_EVIDENCE: Final = msgspec.json.Decoder(dict[str, str])


def contenders(connection: Connection, claim: Claim, devices: Sequence[str]) -> list[Rival]:
    """Assignments of others that may yet change what these devices want already."""
    return rivals(
        connection,
        claim,
        devices,
        _R.state.in_(sorted(_MAY_OFFER)),
        # What is asked to go back is never asked to come again.
        _A.state != AssignmentState.REVERTING,
        # Who brought what the slot wants now has nothing else for it.
        or_(_A.is_wanted.is_(False), _A.mode != "run"),
    )


def losers(
    connection: Connection, rollout: Rollout, decisions: Iterable[Decision], claim: Claim
) -> list[Rival]:
    """The rollouts that lose devices which this one has nothing to offer.

    Args:
        connection: of the transaction in which the decisions are made true.
        rollout: as it is stored; its start, and who joins it, are among the decisions.
        decisions: of one round.
        claim: the rollout's.
    """
    found: dict[str, Assignment] = {}
    for decision in decisions:
        if isinstance(decision, Join):
            found[decision.assignment.device] = decision.assignment
        elif rollout.started is None and _is_start(decision):
            found |= rollout.left_out
    present = {name: one for name, one in found.items() if is_already(one)}
    rest = [
        rival
        for rival in contenders(connection, claim, sorted(present))
        if not (rival.goes_first or rival.waits)
    ]
    still = _still_wanted(connection, rollout, {one.device: present[one.device] for one in rest})
    return [rival for rival in rest if rival.device in still]


def conflict_of(rival: Rival, slot: str) -> Obstacle:
    """What a rollout that has not begun meets on a device that has its version, for people."""
    other = rollout_name(rival.rollout)
    if rival.goes_first:
        code = "slot_taken"
        text = f"{other} goes first on slot {slot!r} and would change it, though it has this now"
    else:
        code = "supersedes"
        text = (
            f"it has this already; {other} would change slot {slot!r}, and is superseded there "
            "when this one starts"
        )
    return Obstacle(device=rival.device, code=code, text=text)


def held_by_later(
    connection: Connection, rollout: Rollout, devices: Sequence[str]
) -> frozenset[str]:
    """The devices on which one that started later has found its version, which they still want."""
    found: dict[str, set[str]] = {}
    for start in range(0, len(devices), BATCH):
        query = (
            select(_A.device, _A.digest, _A.state, _A.evidence)
            .join(rollouts, _R.id == _A.rollout)
            .where(
                _A.device.in_(devices[start : start + BATCH]),
                _A.slot == rollout.slot,
                _A.state.in_([AssignmentState.ALREADY_PRESENT, AssignmentState.NOT_APPLICABLE]),
                or_(
                    _R.started > rollout.started,
                    (_R.started == rollout.started) & (_R.id > rollout.id),
                ),
                _R.state.not_in(sorted(_GIVEN_BACK)),
            )
        )
        for row in connection.execute(query):
            is_present = row.state == AssignmentState.ALREADY_PRESENT
            if is_present or _EVIDENCE.decode(row.evidence).get("code") == ASKED_ALREADY:
                found.setdefault(row.device, set()).add(row.digest)
    return frozenset(
        orders.device
        for _, orders in read_many(connection, sorted(found))
        if (now := orders.slots.get(rollout.slot)) is not None
        and now.digest in found[orders.device]
    )


def _is_start(decision: Decision) -> bool:
    return isinstance(decision, MoveRollout) and decision.state is RolloutState.RUNNING


def _still_wanted(
    connection: Connection, rollout: Rollout, present: Mapping[str, Assignment]
) -> set[str]:
    """Those that want exactly the rollout's version in this instant, too."""
    slot = rollout.slot
    return {
        orders.device
        for _, orders in read_many(connection, sorted(present))
        if wanted.is_same(
            orders.slots.get(slot),
            wanted.offered(rollout, present[orders.device], "run", orders.slots)[slot],
        )
    }
