"""The service's side in memory: rollouts, desired states, reports, and schedulers that drive.

A transaction is one call of `commit`: everything of it is there afterwards, or nothing. What a
scheduler holds by itself (copies of rollouts, what it has still to publish) is lost with it.
Decisions come from the real planner; nothing here decides.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from cloud_sync.rollout.decisions import (
    Decision,
    Join,
    Judged,
    Move,
    MoveRollout,
    MoveStage,
    Offer,
    Revert,
)
from cloud_sync.rollout.evolve import evolve, with_revisions
from cloud_sync.rollout.invariants import Heard, Judge
from cloud_sync.rollout.observation import DeviceNow, Measures, StageEvidence, World
from cloud_sync.rollout.orders import order, supersede
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ACTIVE
from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutEvent,
    RolloutOrder,
    RolloutState,
    StageState,
)
from edge_agent.contract.shadows import shadow_slot
from edge_agent.contract.state import DesiredState, Phase, WantedSlot
from tests.rollouts.device import Report

SLOT = "probe"
SHADOW = shadow_slot(SLOT)
MOST_ROUNDS = 20
TICK_S = 1e-6
_R = RolloutState
_A = AssignmentState
OVER = frozenset({_R.COMPLETED, _R.COMPLETED_DEGRADED, _R.ROLLED_BACK, _R.CANCELLED, _R.SUPERSEDED})
UNDER_WAY = frozenset(StageState) - {StageState.WAITING, StageState.PASSED}
LIVE = frozenset({_R.RUNNING, _R.PAUSED, _R.ROLLING_BACK})
NOT_BEGUN = frozenset({_R.DRAFT, _R.PENDING_APPROVAL, _R.READY})


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
        due: devices that have to be told.
    """

    copies: dict[int, tuple[int, Rollout]] = field(default_factory=dict)
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
        devices: by name.
        now: the service's clock at the beginning, seconds since 1970.
        brain: who decides.

    Attributes:
        now: the service's clock, seconds since 1970; every transaction has its own instant.
        messages: that a digest has had, by device, slot and digest; as they were reported.
        bad: digests that fail every fifth message.
    """

    def __init__(self, devices: Iterable[str], now: float, brain: Brain) -> None:
        self.now = now
        self._brain = brain
        self.rollouts: dict[int, Rollout] = {}
        self.editions: dict[int, int] = {}
        self.desired = {name: DesiredState(device=name, revision=0) for name in devices}
        self.known = {name: Presence() for name in devices}
        self.retained: dict[str, DesiredState] = {}
        self.messages: Counter[tuple[str, str, str]] = Counter()
        self.bad: set[str] = set()
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
        slot = report.slots.get(SLOT)
        self.judge.hear(
            Heard(
                device=device,
                slot=SLOT,
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

    # What is done.

    def create(self, rollout: Rollout) -> None:
        """Write a rollout that has not begun, and its devices."""
        self.rollouts[rollout.id] = rollout
        self.editions[rollout.id] = 1
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
            decisions = self._brain.plan(rollout, self.world_of(rollout), self.now)
            if not decisions:
                self.judge.rest(number, self.now)
                return done
            self.commit(scheduler, rollout, decisions)
        return rounds

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
        self._check_passed(rollout, after, decisions)
        revisions: dict[str, int] = {}
        previous: dict[str, WantedSlot | None] = {}
        for decision in decisions:
            if isinstance(decision, Offer | Revert):
                self._begin_to_measure(after, decision)
                previous[decision.device] = self._previous_of(decision.device)
                revisions[decision.device] = self._write_desired(after, decision)
        after = with_revisions(after, revisions, previous)
        lines = list(_lines(rollout, decisions, revisions))
        claimed = {one.device for one in decisions if isinstance(one, Offer)}
        if rollout.started is None and after.started is not None:
            claimed |= after.assignments.keys()
        lines = [*self._take_over(scheduler, after, sorted(claimed)), *lines]
        self.judge.know(after)
        self._save(scheduler, after)
        scheduler.due |= revisions.keys()
        self._record(lines)

    def _check_passed(
        self, before: Rollout, after: Rollout, decisions: tuple[Decision, ...]
    ) -> None:
        """A stage passes only with the evidence that the policy asks for."""
        policy = after.wish.policy
        for decision in decisions:
            if not isinstance(decision, MoveStage) or decision.state is not StageState.PASSED:
                continue
            members = [one for one in after.assignments.values() if one.stage == decision.stage]
            if not any(one.state is _A.COMMITTED for one in members):
                continue  # nobody of it is left to be judged
            seen = self.evidence_of(before).version.messages
            assert seen >= policy.soak_messages, f"passed after {seen} messages"
            asked = policy.gates is not None and policy.gates.error_rate is not None
            assert seen > 0 or not asked, "passed without a message, and there is a gate"
            since = min(one.since for one in members if one.state is _A.COMMITTED)
            assert self.now - since >= policy.soak_s - 1e-3, "passed before its soak was over"

    def world_of(self, rollout: Rollout) -> World:
        """What the planner may look at."""
        return World(
            devices={
                name: self._device_now(rollout, name, self.known[name])
                for name in rollout.assignments
            },
            evidence=self.evidence_of(rollout),
            opens_at=self.opens_at if (self.opens_at or 0.0) > self.now else None,
        )

    def evidence_of(self, rollout: Rollout) -> StageEvidence:
        """What is measured of the stage that is under way."""
        stage = next((one for one in rollout.stages if one.state in UNDER_WAY), None)
        if stage is None:
            return StageEvidence()
        slot = SHADOW if stage.step == "shadow" else SLOT
        members = [one for one in rollout.assignments.values() if one.stage == stage.number]
        version = [(self.messages[one.device, slot, one.digest], one.digest) for one in members]
        champion = [
            (self.messages[one.device, SLOT, one.previous.digest], one.previous.digest)
            for one in members
            if one.previous is not None
        ]
        return StageEvidence(
            version=self._measures(version, is_shadow=stage.step == "shadow"),
            champion=self._measures(champion, is_shadow=False),
        )

    def _measures(self, counts: list[tuple[int, str]], *, is_shadow: bool) -> Measures:
        messages = sum(count for count, _digest in counts)
        errors = sum(count // 5 for count, digest in counts if digest in self.bad)
        return Measures(
            devices=sum(count > 0 for count, _digest in counts),
            messages=messages,
            errors=errors,
            compared=messages if is_shadow else 0,
            differed=errors if is_shadow else 0,
        )

    def is_taken(self, rollout: Rollout, device: str) -> bool:
        """Whether another rollout goes first on this device, or has the slot from this one."""
        return any(
            self._outranks(other, rollout)
            for other in self._started()
            if (theirs := other.assignments.get(device)) is not None
            and theirs.state in ACTIVE
            and other.id != rollout.id
        )

    def _started(self) -> list[Rollout]:
        return [one for one in self.rollouts.values() if one.state not in NOT_BEGUN]

    @staticmethod
    def _outranks(one: Rollout, other: Rollout) -> bool:
        """Whether one that is at work keeps what it has from another."""
        return one.state in LIVE and one.wish.policy.priority > other.wish.policy.priority

    def _device_now(self, rollout: Rollout, name: str, known: Presence) -> DeviceNow:
        slots = known.report.slots if known.report else {}
        return DeviceNow(
            device=name,
            presence="online" if known.is_online else "offline",
            away_since=known.away_since,
            revision_seen=known.report.revision_seen if known.report else -1,
            reported_at=known.reported_at,
            slot=slots.get(SLOT),
            shadow=slots.get(SHADOW),
            is_taken=self.is_taken(rollout, name),
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
    ) -> list["Line"]:
        """Take the slot of these devices from all other rollouts that do not go first."""
        lines: list[Line] = []
        for other in self._started():
            if other.id == rollout.id or self._outranks(other, rollout):
                continue
            shared = [
                device
                for device in devices
                if (theirs := other.assignments.get(device)) is not None and theirs.state in ACTIVE
            ]
            if shared:
                decisions = self._brain.supersede(other, shared, f"r{rollout.id}")
                lines += _lines(other, decisions, {})
                self._save(scheduler, self._brain.evolve(other, decisions, self.now))
        return lines

    def _previous_of(self, device: str) -> WantedSlot | None:
        """What a device wants, or before that if it does not run it: as in `rollout.previous`."""
        wanted = self.desired[device].slots.get(SLOT)
        report = self.known[device].report
        reported = report.slots.get(SLOT) if report else None
        running = reported.running if reported else ""
        while wanted is not None and wanted.rollout and running not in ("", wanted.digest):
            wanted = self.rollouts[int(wanted.rollout[1:])].assignments[device].previous
        return wanted

    def _write_desired(self, rollout: Rollout, decision: Offer | Revert) -> int:
        assignment = rollout.assignments[decision.device]
        before = self.desired[decision.device]
        slots = {name: slot for name, slot in before.slots.items() if name != SHADOW}
        if isinstance(decision, Offer):
            is_shadow = decision.mode == "shadow"
            slots[SHADOW if is_shadow else SLOT] = WantedSlot(
                module=assignment.module,
                version=assignment.version,
                digest=assignment.digest,
                mode=decision.mode,
                shadows=SLOT if is_shadow else "",
                rollout=f"r{rollout.id}",
                stage=assignment.stage,
            )
        elif assignment.previous is None:
            slots.pop(SLOT, None)
        else:
            slots[SLOT] = assignment.previous
        after = replace(before, revision=before.revision + 1, slots=slots)
        self.desired[decision.device] = after
        return after.revision

    def _begin_to_measure(self, rollout: Rollout, decision: Offer | Revert) -> None:
        """Only what a version does after it was asked for counts."""
        if isinstance(decision, Offer):
            slot = SHADOW if decision.mode == "shadow" else SLOT
            self.messages.pop(
                (decision.device, slot, rollout.assignments[decision.device].digest), None
            )

    def _record(self, lines: Iterable["Line"]) -> None:
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


Line = tuple[int, int | None, str, str, str, dict[str, str]]
"""Rollout, stage, device, before, after, evidence."""


def _lines(
    rollout: Rollout, decisions: tuple[Decision, ...], revisions: Mapping[str, int]
) -> Iterable[Line]:
    """An event for every transition, in the order in which they were decided."""
    state: str = rollout.state
    stages = {stage.number: str(stage.state) for stage in rollout.stages}
    states = {name: str(one.state) for name, one in rollout.assignments.items()}
    for decision in decisions:
        match decision:
            case MoveRollout():
                yield rollout.id, None, "", state, decision.state, {}
                state = decision.state
            case MoveStage():
                before = stages[decision.stage]
                yield rollout.id, decision.stage, "", before, decision.state, {}
                stages[decision.stage] = decision.state
            case Move() | Offer() | Revert():
                after = _A.OFFERED if isinstance(decision, Offer) else decision.state
                evidence = {} if isinstance(decision, Offer) else dict(decision.evidence)
                if not isinstance(decision, Move):
                    evidence["revision"] = str(revisions[decision.device])
                yield rollout.id, None, decision.device, states[decision.device], after, evidence
                states[decision.device] = after
            case Join():
                name = decision.assignment.device
                states[name] = str(decision.assignment.state)
                yield rollout.id, None, name, "", states[name], {}
            case Judged():
                pass
