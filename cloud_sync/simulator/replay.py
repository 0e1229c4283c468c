"""A recorded rollout played again, by the real planner, under another policy. Pure, no network.

The planner, the verdicts and the stages are the service's own; what a device does when it is
offered the version is what it did, or what another one of the record did if it was never asked.
Time is a number: weeks take a moment.
"""

import heapq
import math
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cloud_sync.rollout import attention
from cloud_sync.rollout.cohort import Candidate, compose
from cloud_sync.rollout.decisions import Decision, Offer, Revert
from cloud_sync.rollout.evolve import evolve, with_revisions
from cloud_sync.rollout.observation import (
    Counted,
    DeviceNow,
    Measures,
    Sample,
    StageEvidence,
    World,
)
from cloud_sync.rollout.orders import order
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    RolloutOrder,
    RolloutState,
    RolloutWish,
    StageState,
)
from cloud_sync.simulator.chance import chance
from cloud_sync.simulator.past import Journey, Past, unmeasured
from edge_agent.contract.names import digest_of
from edge_agent.contract.state import UNSETTLED, Phase, ReportedSlot, SlotError, WantedSlot

LONGEST_S: Final = 90 * 86_400.0
LOOK_S: Final = 30.0
"""How often devices report what the version did."""
ROUNDS: Final = 1_000_000
_A: Final = AssignmentState
_PHASES: Final[Mapping[AssignmentState, Phase]] = {
    _A.DOWNLOADING: Phase.FETCHING,
    _A.VERIFIED: Phase.VERIFIED,
    _A.TRIAL: Phase.TRIAL,
    _A.SHADOW: Phase.ACTIVE,
    _A.COMMITTED: Phase.ACTIVE,
    _A.REJECTED: Phase.REJECTED,
    _A.FAILED: Phase.FAILED,
    _A.ROLLED_BACK: Phase.ROLLED_BACK,
}
_SHARES: Final = ("error_rate", "slow", "old", "disagreement", "wrong")
_REPLAYED: Final = SlotError(code="replayed", text="as it was recorded", step="")


class Replayed(Struct, frozen=True, kw_only=True):
    """What a policy would have made of the record.

    Attributes:
        seconds: from the start to the end, or as far as it was played.
        offered: devices that were ever asked to take the version.
        answered: most devices that answered with it at a time.
        failed: devices that ended badly with it.
        stages_passed: of all stages.
        most_in_flight: devices on their way at a time.
        unmeasured: gates of the policy that never measured the version in the record: they count
            as passed, whatever they would have found.
    """

    state: RolloutState
    reason: str
    seconds: float
    devices: int
    offered: int
    answered: int
    failed: int
    stages: int
    stages_passed: int
    most_in_flight: int
    unmeasured: tuple[str, ...] = ()


def replay(past: Past, policy: Policy, seed: int | None = None) -> Replayed:
    """Play a record again.

    Args:
        past: the record.
        policy: to try.
        seed: of the order in which devices come; None for the recorded one.
    """
    return _Play(past, policy, past.rollout.seed if seed is None else seed).run()


class _Play:
    def __init__(self, past: Past, policy: Policy, seed: int) -> None:
        self._past = past
        self._seed = seed
        self._now = 0.0
        # Nobody has to be asked in a replay.
        self._policy = replace(policy, approval=False)
        self._rollout = _draft(past, self._policy, seed)
        self._devices = {
            device: DeviceNow(
                device=device,
                presence="online",
                revision_seen=0,
                revision_applied=0,
                reported_at=0.0,
                slot=_reported(one.previous) if one.previous else None,
            )
            for device, one in self._rollout.assignments.items()
        }
        self._coming: list[tuple[float, int, str, dict[str, object], int]] = []
        self._number = 0
        self._revisions: dict[str, int] = {}
        self._pools = {mode: tuple(found.values()) for mode, found in past.journeys.items()}
        self._served_s = 0.0
        self._served = (0, "")
        self._offered: set[str] = set()
        self._answered = 0
        self._in_flight = 0
        for device, times in past.away.items():
            if device in self._devices:
                for begins, ends in times:
                    self._come(device, begins, presence="offline", away_since=begins)
                    self._come(device, ends, presence="online", away_since=None)

    def run(self) -> Replayed:
        """Until nothing more comes of it."""
        self._take(order(self._rollout, RolloutOrder(action="start"), "replay", 0.0))
        for _ in range(ROUNDS):
            decisions = plan(self._rollout, self._world(), self._now)
            if decisions:
                self._take(decisions)
                continue
            if not attention.is_live(self._rollout) or not self._wait():
                break
        states = [one.state for one in self._rollout.assignments.values()]
        stages = self._rollout.stages
        return Replayed(
            state=self._rollout.state,
            reason=self._rollout.state_reason,
            seconds=round(self._now, 1),
            devices=len(states),
            offered=len(self._offered),
            answered=self._answered,
            failed=sum(
                state in (_A.REJECTED, _A.FAILED, _A.ROLLED_BACK, _A.TIMED_OUT) for state in states
            ),
            stages=len(stages),
            stages_passed=sum(stage.state is StageState.PASSED for stage in stages),
            most_in_flight=self._in_flight,
            unmeasured=unmeasured(self._past, self._rollout.wish.policy),
        )

    def _wait(self) -> bool:
        """Go on to the next moment at which something is different; false if there is none."""
        times = [self._coming[0][0]] if self._coming else []
        due = attention.due(self._rollout, self._world(), self._now)
        if due is not None:
            times.append(due)
        if any(s.state in (StageState.SOAKING, StageState.JUDGING) for s in self._rollout.stages):
            times.append(self._now + LOOK_S)
        if not times or min(times) > LONGEST_S or self._rollout.state is RolloutState.PAUSED:
            return False
        self._go_to(min(times))
        return True

    def _go_to(self, now: float) -> None:
        key = self._place()
        if key != self._served:
            self._served, self._served_s = key, 0.0
        self._served_s += (now - self._now) * self._serving(key)
        self._now = now
        while self._coming and self._coming[0][0] <= now:
            _, _, device, changes, revision = heapq.heappop(self._coming)
            if revision in (0, self._revisions.get(device, 0)):
                known = self._devices[device]
                self._devices[device] = replace(known, **changes, reported_at=now)

    def _place(self) -> tuple[int, str]:
        for stage in self._rollout.stages:
            if stage.state not in (StageState.PASSED, StageState.WAITING):
                return stage.number, stage.step
        return -1, ""

    def _serving(self, place: tuple[int, str]) -> int:
        state = _A.SHADOW if place[1] == "shadow" else _A.COMMITTED
        return sum(
            one.stage == place[0] and one.state is state
            for one in self._rollout.assignments.values()
        )

    def _world(self) -> World:
        return World(devices=self._devices, evidence=self._evidence())

    def _evidence(self) -> StageEvidence:
        """As much as the devices of the stage have done so far, at the recorded rates."""
        if self._served != self._place():
            return StageEvidence()
        count = self._served_s * self._past.messages_per_s
        devices = float(max(1, self._serving(self._served)))
        counted = {
            gate: Counted(
                least=self._past.rates.get(gate, 0.0) * count,
                most=self._past.rates.get(gate, 0.0) * count,
                of=count,
                devices=devices,
            )
            for gate in _SHARES
            if gate != "wrong" or gate in self._past.rates
        }
        memory, psi = self._past.rates.get("memory"), self._past.rates.get("psi")
        return StageEvidence(
            version=Measures(
                devices=int(devices),
                messages=int(count),
                compared=int(count),
                counted=counted,
                memory=Sample(devices=int(devices), mean=math.log(memory) if memory else 0.0),
                drift=Sample(devices=int(devices), mean=psi or 0.0),
            )
        )

    def _take(self, decisions: Iterable[Decision]) -> None:
        decisions = tuple(decisions)
        self._rollout = evolve(self._rollout, decisions, self._now)
        changed: dict[str, int] = {}
        for decision in decisions:
            if isinstance(decision, Offer | Revert):
                changed[decision.device] = self._revisions.get(decision.device, 0) + 1
        self._revisions |= changed
        self._rollout = with_revisions(self._rollout, changed)
        for decision in decisions:
            if isinstance(decision, Offer):
                self._offer(decision.device, decision.mode)
            elif isinstance(decision, Revert):
                self._revert(decision.device)
        states = [one.state for one in self._rollout.assignments.values()]
        self._answered = max(self._answered, states.count(_A.COMMITTED))
        moving = (_A.OFFERED, _A.DOWNLOADING, _A.VERIFIED, _A.TRIAL, _A.REVERTING)
        self._in_flight = max(self._in_flight, sum(state in moving for state in states))

    def _offer(self, device: str, mode: str) -> None:
        self._offered.add(device)
        journey = self._journey(device, mode)
        one = self._rollout.assignments[device]
        new = _wanted(one.module, one.version, one.digest)
        before = one.previous
        for after_s, state in journey.steps if journey else ():
            phase = _PHASES.get(state)
            if phase is None:
                continue  # it was silent until its time was over, and is now
            is_there = state in (_A.COMMITTED, _A.SHADOW, _A.TRIAL)
            report = _reported(
                new if is_there else before,
                wanted=new,
                phase=phase,
                shadows=self._rollout.slot if mode == "shadow" else "",
            )
            part = "shadow" if mode == "shadow" else "slot"
            self._report(device, after_s, {part: report})

    def _revert(self, device: str) -> None:
        previous = self._rollout.assignments[device].previous
        slot = _reported(previous) if previous else None
        self._report(device, self._past.return_s, {"slot": slot, "shadow": None})

    def _report(self, device: str, after_s: float, changes: dict[str, object]) -> None:
        revision = self._revisions[device]
        at = self._now + after_s
        for begins, ends in self._past.away.get(device, ()):
            if begins <= at < ends:
                at = ends
        seen = {"revision_seen": revision, "revision_applied": revision}
        self._come(device, at, revision=revision, **changes, **seen)

    def _come(self, device: str, at: float, *, revision: int = 0, **changes: object) -> None:
        self._number += 1
        heapq.heappush(self._coming, (at, self._number, device, changes, revision))

    def _journey(self, device: str, mode: str) -> Journey | None:
        """What the device did when it was asked; else what one did that was."""
        own = self._past.journeys[mode].get(device)
        if own is not None:
            return own
        other = "run" if mode == "shadow" else "shadow"
        pool = self._pools[mode] or self._pools[other]
        if not pool:
            return None
        drawn = pool[int(chance(self._seed, device, mode) * len(pool))]
        return drawn if self._pools[mode] else _as(drawn, mode)


def _as(journey: Journey, mode: str) -> Journey:
    """A journey of the other mode: the same steps to the end that this one has."""
    good = _A.SHADOW if mode == "shadow" else _A.COMMITTED
    swapped = {_A.SHADOW: good, _A.COMMITTED: good}
    return Journey(tuple((after_s, swapped.get(state, state)) for after_s, state in journey.steps))


def _draft(past: Past, policy: Policy, seed: int) -> Rollout:
    detail = past.rollout
    cohort = compose(
        (_candidate(device, past.sites.get(device.device, "")) for device in past.devices),
        policy,
        seed,
        0.0,
    )
    summary = detail.summary
    return Rollout(
        id=1,
        wish=RolloutWish(module=summary.module, to=summary.to, policy=policy),
        slot=summary.slot,
        module=summary.module,
        version=summary.version,
        seed=seed,
        created=0.0,
        created_by="replay",
        stages=cohort.stages,
        assignments=cohort.assignments,
    )


def _candidate(device: AssignmentSummary, site: str) -> Candidate:
    before = device.previous_version
    previous = _wanted(device.module, before, _digest(device.module, before)) if before else None
    return Candidate(
        device=device.device,
        module=device.module,
        version=device.version,
        digest=device.digest,
        site=site,
        hardware="",
        previous=previous,
    )


def _digest(module: str, version: int) -> str:
    """In place of a digest that the record does not tell."""
    return digest_of(f"{module}/{version}".encode())


def _wanted(module: str, version: int, digest: str) -> WantedSlot:
    return WantedSlot(module=module, version=version, digest=digest)


def _reported(
    running: WantedSlot | None,
    *,
    wanted: WantedSlot | None = None,
    phase: Phase = Phase.ACTIVE,
    shadows: str = "",
) -> ReportedSlot:
    wanted = wanted or running
    return ReportedSlot(
        module=wanted.module if wanted else "",
        phase=phase,
        running=running.digest if running else "",
        running_version=running.version if running else 0,
        shadows=shadows if running else "",
        wanted=wanted.digest if wanted else "",
        wanted_version=wanted.version if wanted else 0,
        error=_REPLAYED if phase in UNSETTLED else None,
    )
