"""The service's side in memory: rollouts, desired states, reports, and schedulers that drive.

A transaction is one call of `commit`: everything of it is there afterwards, or nothing. What a
scheduler holds by itself (copies of rollouts, what it has still to publish) is lost with it.
Decisions come from the real planner; nothing here decides.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from cloud_sync.rollout.decisions import (
    Decision,
    Offer,
    Revert,
)
from cloud_sync.rollout.evolve import evolve, with_revisions
from cloud_sync.rollout.invariants import Judge
from cloud_sync.rollout.observation import DeviceNow, Joiner, World
from cloud_sync.rollout.orders import order, supersede
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ENDED
from cloud_sync.rollout.violation import Heard
from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutEvent,
    RolloutOrder,
    RolloutState,
)
from edge_agent.contract.shadows import shadow_slot
from edge_agent.contract.state import DesiredState, Phase, WantedSlot
from tests.rollouts.claims import (
    check_begun,
    claimed,
    is_returning,
    latecomers,
    losers,
    taken,
)
from tests.rollouts.device import Report
from tests.rollouts.lines import Line, lines_of
from tests.rollouts.measured import Measured
from tests.rollouts.passing import check_passed
from tests.rollouts.sightings import MemorySightings

MOST_ROUNDS = 20
TICK_S = 1e-6
SLOTS = ("probe", "extra")
"""Where versions go; the second one is empty in the beginning."""

_R = RolloutState
_A = AssignmentState


@dataclass
class Presence:
    """Whether a device is there, as the service knows it."""

    is_online: bool = True
    away_since: float | None = None
    report: Report | None = None
    reported_at: float | None = None
    locked_until: float | None = None


@dataclass
class Scheduler:
    """What one service process holds in memory.

    Attributes:
        copies: of rollouts, each with the edition that it is.
        sightings: of their devices, each with the edition that they were read for.
        due: devices that have to be told.
    """

    copies: dict[int, tuple[int, Rollout]] = field(default_factory=dict)
    sightings: dict[int, tuple[int, MemorySightings]] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Brain:
    """Who decides: the real code, or in tests of the tests something that is wrong."""

    plan: Callable[[Rollout, World, float], tuple[Decision, ...]] = plan
    evolve: Callable[[Rollout, Iterable[Decision], float], Rollout] = evolve
    order: Callable[[Rollout, RolloutOrder, str, float], tuple[Decision, ...]] = order
    supersede: Callable[[Rollout, Iterable[str], str], tuple[Decision, ...]] = supersede


class MemoryCloud:
    """The database, and what is done with it.

    Args:
        sites: of the devices, by name.
        now: the service's clock at the beginning, seconds since 1970.
        brain: who decides.

    Attributes:
        now: the service's clock, seconds since 1970; every transaction has its own instant.
        measured: what versions did.
        matching: devices that came to match a rollout's target after it was made.
    """

    def __init__(self, sites: Mapping[str, str], now: float, brain: Brain) -> None:
        self.now = now
        self.sites = sites
        self._brain = brain
        self.rollouts: dict[int, Rollout] = {}
        self.editions: dict[int, int] = {}
        self.desired = {name: DesiredState(device=name, revision=0) for name in sites}
        self.known = {name: Presence() for name in sites}
        self.retained: dict[str, DesiredState] = {}
        self.measured = Measured()
        self.matching: dict[int, set[str]] = {}
        self._news: dict[int, set[str]] = {}
        self._drivers: dict[int, Scheduler] = {}
        self.opens_at: float | None = None
        self.judge = Judge()
        self.events: list[tuple[int, RolloutEvent]] = []

    # What comes in.

    def take_report(self, device: str, report: Report) -> bool:
        """A report is taken off the broker.

        Returns:
            Whether the device has to be told again: it follows other orders, and `fleet.reports`
            writes the same ones with a higher revision then.
        """
        self.now += TICK_S
        known = self.known[device]
        known.report, known.reported_at = report, self.now
        self._note_news(device)
        for name in SLOTS:
            slot = report.slots.get(name)
            self.judge.hear(
                Heard(
                    device=device,
                    slot=name,
                    time=self.now,
                    revision_seen=report.revision_seen,
                    running=slot.running if slot else "",
                    is_active=slot is None or slot.phase is Phase.ACTIVE,
                )
            )
        desired = self.desired[device]
        wanted = {name: one.wanted for name, one in report.slots.items() if one.wanted}
        ordered = {name: one.digest for name, one in desired.slots.items()}
        if report.revision_seen >= desired.revision and wanted != ordered:
            self.desired[device] = replace(desired, revision=report.revision_seen + 1)
            return True
        return False

    def take_status(self, device: str, *, is_online: bool) -> None:
        """A device came or went."""
        known = self.known[device]
        if known.is_online != is_online:
            known.is_online = is_online
            known.away_since = None if is_online else self.now
            self._note_news(device)

    def _note_news(self, device: str) -> None:
        """As `fleet.news`: for the rollouts that wait for the device."""
        for rollout in self.rollouts.values():
            one = rollout.assignments.get(device)
            if one is not None and one.state not in ENDED:
                self._news[rollout.id].add(device)

    # What is done.

    def create(self, rollout: Rollout) -> None:
        """Write a rollout that has not begun, and its devices."""
        self.rollouts[rollout.id] = rollout
        self.editions[rollout.id] = 1
        self._news[rollout.id] = set(rollout.assignments)
        self.judge.know(rollout)
        self.now += TICK_S
        lines = [(None, "", "draft"), *((None, name, "queued") for name in rollout.assignments)]
        self._record([(rollout.id, stage, device, "", after, {}) for stage, device, after in lines])

    def obey(self, scheduler: Scheduler, number: int, wish: RolloutOrder, actor: str) -> None:
        """Do what a person wants.

        Raises:
            Conflict: it does not fit the rollout's state.
        """
        rollout = self._load(scheduler, number)
        self.now += TICK_S
        self.commit(scheduler, rollout, self._brain.order(rollout, wish, actor, self.now))

    def drive(self, scheduler: Scheduler, number: int, rounds: int = MOST_ROUNDS) -> int:
        """Plan and do until nothing is decided; each of `rounds` is a transaction of its own.

        Returns:
            How many transactions were written.
        """
        for done in range(rounds):
            rollout = self._load(scheduler, number)
            self.now += TICK_S
            sightings = self._look(scheduler, rollout)
            world = self._world_of(rollout, sightings.devices)
            decisions = self._brain.plan(rollout, world, self.now)
            if not decisions:
                self.judge.rest(number, self.now)
                return done
            self.commit(scheduler, rollout, decisions)
            scheduler.sightings[number] = (self.editions[number], sightings)
        return rounds

    def _look(self, scheduler: Scheduler, rollout: Rollout) -> MemorySightings:
        """What the scheduler knows now: all anew if somebody else has changed or driven it."""
        number = rollout.id
        edition, sightings = scheduler.sightings.get(number, (0, None))
        is_mine = self._drivers.get(number) is scheduler
        if sightings is None or not is_mine or edition != self.editions[number]:
            sightings = MemorySightings()
            self._drivers[number] = scheduler
            scheduler.sightings[number] = (self.editions[number], sightings)
        news, self._news[number] = self._news[number], set()
        rivals = self.of_slot(rollout.slot)
        sightings.read(
            rollout,
            news,
            lambda name: self._device_now(rollout, name, self.known[name]),
            lambda name: taken(rivals, rollout, name),
            self.now,
        )
        return sightings

    def publish(self, scheduler: Scheduler) -> list[str]:
        """Put what is due on the broker, as the database has it now; who was told."""
        told = sorted(scheduler.due)
        scheduler.due.clear()
        for device in told:
            self.retained[device] = self.desired[device]
        return told

    def commit(
        self, scheduler: Scheduler, rollout: Rollout, decisions: tuple[Decision, ...]
    ) -> None:
        """Write what was decided: states, desired states and events."""
        after = self._brain.evolve(rollout, decisions, self.now)
        # By what was measured until now: an offer of the same round begins to count anew.
        check_passed(rollout, decisions, self.measured.evidence_of(rollout), self.now)
        check_begun(self.of_slot(rollout.slot), rollout, decisions)
        revisions: dict[str, int] = {}
        previous: dict[str, WantedSlot | None] = {}
        for decision in decisions:
            if isinstance(decision, Offer | Revert):
                if isinstance(decision, Offer):
                    self.measured.begin(after, decision)
                previous[decision.device] = self.previous_of(decision.device, rollout.slot)
                revisions[decision.device] = self._write_desired(after, decision)
        after = with_revisions(after, revisions, previous)
        lines = list(lines_of(rollout, decisions, revisions))
        lines = [*self._take_over(scheduler, after, claimed(decisions)), *lines]
        self.judge.know(after)
        self._news[after.id] |= after.assignments.keys() - rollout.assignments.keys()
        self._save(scheduler, after)
        scheduler.due |= revisions.keys()
        self._record(lines)

    def of_slot(self, slot: str) -> list[Rollout]:
        """All rollouts that want a slot."""
        return [one for one in self.rollouts.values() if one.slot == slot]

    def late_of(self, rollout: Rollout) -> tuple[Joiner, ...]:
        """Devices that are to join a rollout."""
        return latecomers(self.of_slot(rollout.slot), rollout, self._offers(rollout))

    def _world_of(self, rollout: Rollout, devices: Mapping[str, DeviceNow]) -> World:
        """What the planner may look at."""
        return World(
            devices=devices,
            evidence=self.measured.evidence_of(rollout),
            joined=self.late_of(rollout),
            opens_at=self.opens_at if (self.opens_at or 0.0) > self.now else None,
        )

    def _offers(self, rollout: Rollout) -> Iterable[Joiner]:
        """What devices that have come to match a rollout's target would get."""
        known = next(iter(rollout.assignments.values()))
        for name in sorted(self.matching.get(rollout.id, ())):
            wanted = self.desired[name].slots.get(rollout.slot)
            # One that wants it already is left out.
            if wanted is None or wanted.digest != known.digest:
                yield Joiner(
                    device=name,
                    module=known.module,
                    version=known.version,
                    digest=known.digest,
                    site=self.sites[name],
                    previous=self.previous_of(name, rollout.slot),
                )

    def _device_now(self, rollout: Rollout, name: str, known: Presence) -> DeviceNow:
        slots = known.report.slots if known.report else {}
        taken_by, is_lost = taken(self.of_slot(rollout.slot), rollout, name)
        return DeviceNow(
            device=name,
            presence="online" if known.is_online else "offline",
            away_since=known.away_since,
            revision_seen=known.report.revision_seen if known.report else -1,
            reported_at=known.reported_at,
            slot=slots.get(rollout.slot),
            shadow=slots.get(shadow_slot(rollout.slot)),
            taken_by=taken_by,
            is_lost=is_lost,
            locked_until=known.locked_until,
        )

    def _load(self, scheduler: Scheduler, number: int) -> Rollout:
        """The scheduler's copy if it is of this edition, or else the stored one."""
        edition, copy = scheduler.copies.get(number, (0, None))
        if copy is None or edition != self.editions[number]:
            copy = self.rollouts[number]
            scheduler.copies[number] = (self.editions[number], copy)
        return copy

    def _save(self, scheduler: Scheduler, rollout: Rollout) -> None:
        self.rollouts[rollout.id] = rollout
        self.editions[rollout.id] += 1
        scheduler.copies[rollout.id] = (self.editions[rollout.id], rollout)

    def _take_over(
        self, scheduler: Scheduler, rollout: Rollout, devices: Iterable[str]
    ) -> list[Line]:
        """Take the slot of these devices from all other rollouts that do not go first."""
        lines: list[Line] = []
        for other, lost in losers(self.of_slot(rollout.slot), rollout, devices):
            decisions = self._brain.supersede(other, lost, f"r{rollout.id}")
            lines += lines_of(other, decisions, {})
            self._save(scheduler, self._brain.evolve(other, decisions, self.now))
            self._news[other.id].update(lost)
        return lines

    def previous_of(self, device: str, slot: str) -> WantedSlot | None:
        """What a slot wants, or before that if it does not run it: as in `rollout.previous`."""
        wanted = self.desired[device].slots.get(slot)
        if is_returning(self.of_slot(slot), device):
            return wanted
        report = self.known[device].report
        reported = report.slots.get(slot) if report else None
        running = reported.running if reported else ""
        while wanted is not None and wanted.rollout and running not in ("", wanted.digest):
            wanted = self.rollouts[int(wanted.rollout[1:])].assignments[device].previous
        return wanted

    def _write_desired(self, rollout: Rollout, decision: Offer | Revert) -> int:
        assignment = rollout.assignments[decision.device]
        before = self.desired[decision.device]
        own, shadow = rollout.slot, shadow_slot(rollout.slot)
        slots = {name: slot for name, slot in before.slots.items() if name != shadow}
        if isinstance(decision, Offer):
            is_shadow = decision.mode == "shadow"
            slots[shadow if is_shadow else own] = WantedSlot(
                module=assignment.module,
                version=assignment.version,
                digest=assignment.digest,
                mode=decision.mode,
                shadows=own if is_shadow else "",
                rollout=f"r{rollout.id}",
                stage=assignment.stage,
            )
        elif assignment.previous is None:
            slots.pop(own, None)
        else:
            slots[own] = assignment.previous
        after = replace(before, revision=before.revision + 1, slots=slots)
        self.desired[decision.device] = after
        return after.revision

    def _record(self, lines: Iterable[Line]) -> None:
        commit = []
        for rollout, stage, device, before, after, evidence in lines:
            event = RolloutEvent(
                id=len(self.events) + 1,
                time=self.now,
                stage=stage,
                device=device,
                before=before,
                after=after,
                actor="",
                reason="",
                evidence=evidence,
            )
            self.events.append((rollout, event))
            commit.append((rollout, event))
        if commit:
            self.judge.take(commit)
