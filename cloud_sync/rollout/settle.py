"""Decisions made true, in one transaction: rows, desired states and the journal, all or nothing.

    1. slots that are offered something, or have what the rollout brings when it starts, are taken
       from other rollouts, where those do not go first
    2. what a device would get is checked once more beside what else it is to run by now
    3. desired states are written, each a new and higher revision
    4. the rollout evolves, and its rows and the journal follow

Decides nothing of its own but this: an offer that cannot be made any more is not made. Publishes
nothing; who called does that, after the commit.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Final

from msgspec import Struct, structs
from sqlalchemy import Connection

from cloud_sync.errors import ShoalError
from cloud_sync.fleet.checks import Manifests
from cloud_sync.fleet.desired import read_many, read_orders, write_desired, write_many
from cloud_sync.fleet.known import count_known, known_of
from cloud_sync.fleet.layering import Layering
from cloud_sync.fleet.spread import spread_s
from cloud_sync.rollout import holding, journal, wanted
from cloud_sync.rollout.decisions import Decision, Move, Offer, Revert
from cloud_sync.rollout.evidence import begin, is_measured, is_offered
from cloud_sync.rollout.evolve import evolve, with_revisions
from cloud_sync.rollout.fit import check_fit
from cloud_sync.rollout.hearing import is_asked_again
from cloud_sync.rollout.previous import previous_of
from cloud_sync.rollout.rollout import Rollout, Step
from cloud_sync.rollout.shadow_place import as_conflict, obstructions
from cloud_sync.rollout.store import save
from cloud_sync.rollout.takeover import (
    Reservation,
    Rival,
    of_rollout,
    rivals,
    shadow_steps,
    start_of,
    supersede,
)
from cloud_sync.rollout_resources import AssignmentState, Obstacle
from edge_agent.contract.state import AgentSettings, DesiredState, WantedSlot

SERVICE: Final = "cloud-sync"


class Settled(Struct, frozen=True, kw_only=True):
    """What came of decisions.

    Attributes:
        rollout: as it is stored now.
        tell: devices whose desired state is new.
        waiting: devices that were not offered anything, because another rollout goes first; which.
        disturbed: other rollouts that lost devices.
    """

    rollout: Rollout
    tell: frozenset[str] = frozenset()
    waiting: Mapping[str, Reservation] = {}
    disturbed: frozenset[int] = frozenset()


def settle(
    connection: Connection,
    rollout: Rollout,
    decisions: Sequence[Decision],
    *,
    actor: str,
    now: float,
    starts_per_s: float,
) -> Settled:
    """Make decisions true.

    Args:
        connection: of the transaction in which `rollout` was found to be current.
        rollout: as it is stored.
        decisions: what is to become of it.
        actor: who decided.
        now: seconds since 1970.
        starts_per_s: devices that may begin in a second with what many are told at once.
    """
    if not decisions:
        return Settled(rollout=rollout)
    time = journal.stamp(connection, now)
    claim = of_rollout(rollout)
    offers = [decision for decision in decisions if isinstance(decision, Offer)]
    found = rivals(connection, claim, sorted({offer.device for offer in offers}))
    waiting = _waiting(rollout, offers, found)
    losers = [rival for rival in found if rival.device not in waiting]
    losers += holding.losers(connection, rollout, decisions, claim)
    disturbed = supersede(connection, losers, claim, actor, time)
    orphans = drop_shadows(connection, shadow_steps(losers), rollout.slot, now)
    possible = [d for d in decisions if not (isinstance(d, Offer) and d.device in waiting)]
    returning = frozenset(rival.device for rival in losers if rival.is_going_back)
    desk = _Desk(connection, rollout, possible, returning)
    made = [checked for decision in possible if (checked := desk.check(decision)) is not None]
    revisions = desk.write(now, starts_per_s)
    after = with_revisions(evolve(rollout, made, now), revisions, desk.previous)
    if rollout.started is None and after.started is not None:
        after = structs.replace(after, started=start_of(connection, after, after.started))
    entries = journal.entries_of(rollout, made, revisions, actor=actor, time=time)
    journal.write(connection, rollout.id, entries)
    if made:
        save(connection, rollout, after)
    return Settled(
        rollout=after,
        tell=frozenset(desk.changed) | orphans,
        waiting=waiting,
        disturbed=disturbed,
    )


def _waiting(
    rollout: Rollout, offers: Sequence[Offer], found: Sequence[Rival]
) -> dict[str, Reservation]:
    """The devices that cannot be offered anything before another rollout is done with them."""
    assignments = rollout.assignments
    # What a rollout has changed is its own until another one offers: it may go on there.
    begun = {o.device for o in offers if not is_asked_again(assignments[o.device], o.mode)}
    return {
        rival.device: Reservation(rival.rollout, rival.has_slot or rival.has_shadow)
        for rival in found
        if rival.goes_first and rival.device in begun
    }


def drop_shadows(
    connection: Connection, steps: Mapping[str, frozenset[str]], slot: str, now: float
) -> frozenset[str]:
    """Take away what superseded rollouts have put beside a slot; who has to be told."""
    told: set[str] = set()
    for device in sorted(steps):
        before = read_orders(connection, device)
        after = wanted.without_shadow_steps(slot, before.slots, steps[device])
        if after != before.slots:
            write_desired(connection, before, after, now)
            told.add(device)
    return frozenset(told)


class _Desk:
    """The desired states that a round changes: read once, checked, and written together."""

    def __init__(
        self,
        connection: Connection,
        rollout: Rollout,
        decisions: Sequence[Decision],
        returning: Container[str],
    ) -> None:
        self._connection = connection
        self._rollout = rollout
        self._manifests = Manifests(connection)
        self._layering = Layering(connection)
        concerned = [d.device for d in decisions if isinstance(d, Offer | Revert)]
        known = known_of(connection, concerned)
        self._before: dict[str, DesiredState] = {
            orders.device: orders for _, orders in read_many(connection, known)
        }
        self._first: dict[Step, list[tuple[str, str]]] = {"shadow": [], "run": []}
        first = [
            d.device
            for d in decisions
            if isinstance(d, Offer)
            and d.device in self._before
            and rollout.assignments[d.device].revision == 0
        ]
        slot = rollout.slot
        self.previous: dict[str, WantedSlot | None] = previous_of(
            connection,
            slot,
            {device: self._before[device].slots.get(slot) for device in first},
            returning=returning,
        )
        self._obstructed: dict[Step, dict[str, Obstacle]] = {
            step: obstructions(
                connection,
                rollout,
                step,
                [
                    self._before[d.device]
                    for d in decisions
                    if isinstance(d, Offer) and d.mode == step and d.device in self._before
                ],
            )
            for step in self._first
        }
        self._after: dict[str, dict[str, WantedSlot]] = {}
        self._same: set[str] = set()

    @property
    def changed(self) -> set[str]:
        """Devices whose desired state is new."""
        return set(self._after)

    def check(self, decision: Decision) -> Decision | None:
        """The decision, or what has to be decided instead."""
        if isinstance(decision, Offer):
            return self._offer(decision)
        if isinstance(decision, Revert):
            self._revert(decision)
        return decision

    def _offer(self, offer: Offer) -> Decision:
        device = offer.device
        assignment = self._rollout.assignments[device]
        before = self._before.get(device)
        if before is None:
            return Move(
                device=device, state=AssignmentState.EXPIRED, reason="the device was deleted"
            )
        obstacle = self._obstructed[offer.mode].get(device)
        if obstacle is not None:
            conflict = as_conflict(obstacle, self._rollout.slot)
            is_queued = assignment.state is AssignmentState.QUEUED
            end = AssignmentState.NOT_APPLICABLE if is_queued else AssignmentState.REJECTED
            return self._refused(offer, conflict, end)
        slots = wanted.offered(self._rollout, assignment, offer.mode, before.slots)
        try:
            check_fit(device, self._rollout.slot, slots, self._manifests, self._layering)
        except ShoalError as error:
            return self._refused(offer, error, AssignmentState.REJECTED)
        self._after[device] = slots
        if not is_offered(assignment, offer.mode):
            self._first[offer.mode].append((device, assignment.digest))
        return offer

    def _refused(self, offer: Offer, error: ShoalError, if_begun: AssignmentState) -> Decision:
        """It could have been offered at the start; since then something else came there.

        Args:
            offer: that is not made.
            error: why not.
            if_begun: what becomes of a device that was asked before.
        """
        evidence = {"code": error.code, "hint": error.hint}
        if self._rollout.assignments[offer.device].is_wanted:
            revert = Revert(
                device=offer.device,
                state=if_begun,
                reason=error.text,
                evidence=evidence,
            )
            self._revert(revert)
            return revert
        return Move(
            device=offer.device,
            state=AssignmentState.NOT_APPLICABLE,
            reason=error.text,
            evidence=evidence,
        )

    def _revert(self, revert: Revert) -> None:
        before = self._before.get(revert.device)
        if before is None:
            return  # deleted: there is nobody to tell
        assignment = self._rollout.assignments[revert.device]
        slots = wanted.reverted(self._rollout, assignment, before.slots)
        if slots == before.slots:
            self._same.add(revert.device)
        else:
            self._after[revert.device] = slots

    def write(self, now: float, starts_per_s: float) -> dict[str, int]:
        """Write the desired states; the number of each, also where nothing had to change."""
        revisions = {device: self._before[device].revision for device in self._same}
        if not self._after:
            return revisions
        together = AgentSettings(
            fetch_spread_s=spread_s(len(self._after), starts_per_s),
            reconnect_spread_s=spread_s(count_known(self._connection), starts_per_s),
        )
        changes = [(self._before[device], slots) for device, slots in self._after.items()]
        revisions |= write_many(
            self._connection, changes, now, settings=together, layering=self._layering
        )
        for step, places in self._first.items():
            if places and is_measured(self._rollout.wish.policy):
                # What the version did there in an earlier rollout is no evidence of this one.
                begin(self._connection, self._rollout.slot, step, places)
        return revisions
