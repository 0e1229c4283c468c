"""One rollout's recorded events added up again, transaction by transaction. Pure.

Part of the judge (`invariants`): it must not use the planner's own way of counting.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from math import ceil, comb, floor
from typing import Final, TypeVar

from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ASSIGNMENT, IN_FLIGHT, ROLLOUT, STAGE
from cloud_sync.rollout.violation import Invariant
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutEvent, RolloutState, StageState

_R: Final = RolloutState
_S: Final = StageState
_A: Final = AssignmentState
FINISHED: Final = frozenset(
    {_R.COMPLETED, _R.COMPLETED_DEGRADED, _R.ROLLED_BACK, _R.CANCELLED, _R.SUPERSEDED}
)
_BAD: Final = frozenset({_A.REJECTED, _A.FAILED, _A.ROLLED_BACK, _A.TIMED_OUT})
_STOPPED: Final = frozenset({_S.FAILED, _S.INCONCLUSIVE})
_TERMINAL: Final = frozenset(state for state, after in ASSIGNMENT.items() if not after)
_UNPROVED: Final = frozenset({_A.EXPIRED, _A.SUPERSEDED, _A.NOT_APPLICABLE})
_ROUNDING: Final = 1e-9
_MANY: Final = 50
_BY_CHANCE: Final = 0.05
_State = TypeVar("_State", bound=StrEnum)


class Ledger:
    """What is known of one rollout from its events.

    Args:
        rollout: any copy of it, for its policy and its devices.

    Attributes:
        state: of the rollout.
        stages: states by number.
        states: of its assignments, by device.
        digests: that each device gets.
        revisions: that each device was last asked with.
    """

    def __init__(self, rollout: Rollout) -> None:
        self.number = rollout.id
        self.slot = rollout.slot
        self.state: RolloutState | None = None
        self.stages: dict[int, StageState] = {}
        self.states: dict[str, AssignmentState] = {}
        self.digests: dict[str, str] = {}
        self.revisions: dict[str, int] = {}
        self._policy = rollout.wish.policy
        self._stage_of: dict[str, int] = {}
        self._site_of: dict[str, str] = {}
        self._in_flight: Counter[str] = Counter()
        self._on_the_way: set[str] = set()
        self._reverting_since: dict[str, float] = {}
        self._counts: dict[int, Counter[AssignmentState]] = defaultdict(Counter)
        self.know(rollout)

    def know(self, rollout: Rollout) -> None:
        """Take in who belongs to it."""
        for device, assignment in rollout.assignments.items():
            self.digests[device] = assignment.digest
            self._stage_of[device] = assignment.stage
            self._site_of[device] = assignment.site
        sites = Counter(self._site_of.values())
        policy = self._policy
        self._bound = _share(policy.max_in_flight, len(self._site_of))
        self._site_bounds = {
            site: _share(policy.max_in_flight_per_site, size)
            for site, size in sites.items()
            if site
        }

    def committed(self) -> tuple[str, ...]:
        """The devices that count as having it."""
        return tuple(device for device, state in self.states.items() if state is _A.COMMITTED)

    def follow(self, event: RolloutEvent) -> Iterator[tuple[Invariant, str]]:
        """Take in one event; yields what is wrong with the event by itself."""
        if event.device:
            before = self.states.get(event.device)
            after = AssignmentState(event.after)
            yield from _transition(ASSIGNMENT, before, event, _A.QUEUED)
            self._move(event.device, before, after)
            if after is _A.REVERTING and before is not after:
                self._reverting_since[event.device] = event.time
        elif event.stage is not None:
            yield from _transition(STAGE, self.stages.get(event.stage), event, _S.WAITING)
            self.stages[event.stage] = StageState(event.after)
        else:
            yield from _transition(ROLLOUT, self.state, event, _R.DRAFT)
            self.state = RolloutState(event.after)

    def problems(self, events: Sequence[RolloutEvent]) -> Iterator[tuple[Invariant, str, str]]:
        """What is wrong at the end of a transaction that wrote these events: text and device."""
        yield from self._out_of_bounds(events[-1].time)
        for event in events:
            if event.device and event.after == _A.OFFERED:
                yield from self._wrong_offer(event.device)
            elif not event.device and event.stage is not None and event.before != event.after:
                yield from self._wrong_stage(event)
        # Those of one that was cancelled are followed to where they come by themselves.
        if self.state in FINISHED and self.state is not _R.CANCELLED:
            yield from self.left_behind()
        if self.state in (_R.COMPLETED, _R.COMPLETED_DEGRADED):
            for stage, state in self.stages.items():
                if state is not _S.PASSED:
                    yield Invariant.ORDER, f"{self.state}, and stage {stage} is {state}", ""

    def left_behind(self) -> Iterator[tuple[Invariant, str, str]]:
        """Devices on their way, of a rollout that is over."""
        if self.state in FINISHED and self._on_the_way:
            text = f"{self.state}, and {len(self._on_the_way)} devices are on their way"
            yield Invariant.LEFT_BEHIND, text, min(self._on_the_way)

    def _move(self, device: str, before: AssignmentState | None, after: AssignmentState) -> None:
        self.states[device] = after
        counts = self._counts[self._stage_of.get(device, -1)]
        if before is not None:
            counts[before] -= 1
        counts[after] += 1
        if (device in self._on_the_way) != (after in IN_FLIGHT):
            is_leaving = device in self._on_the_way
            self._in_flight[self._site_of.get(device, "")] += -1 if is_leaving else 1
            (self._on_the_way.discard if is_leaving else self._on_the_way.add)(device)

    def _out_of_bounds(self, now: float) -> Iterator[tuple[Invariant, str, str]]:
        if (count := len(self._on_the_way)) > self._bound:
            count -= len(self._given_up(now))
            if count > self._bound:
                text = f"{count} devices in flight, at most {self._bound} may be"
                yield Invariant.BOUNDS, text, ""
        for site, bound in self._site_bounds.items():
            if (count := self._in_flight[site]) > bound:
                count -= sum(self._site_of[device] == site for device in self._given_up(now))
                if count > bound:
                    text = f"{count} devices of {site} in flight, at most {bound} may be"
                    yield Invariant.BOUNDS, text, ""

    def _given_up(self, now: float) -> list[str]:
        """Who was to go back and has not in time: a device that is gone must not hold up others."""
        policy = self._policy
        allowed_s = policy.download_s + policy.install_s + policy.trial_s
        return [
            device
            for device in self._on_the_way
            if self.states[device] is _A.REVERTING
            and now >= self._reverting_since[device] + allowed_s
        ]

    def _wrong_offer(self, device: str) -> Iterator[tuple[Invariant, str, str]]:
        if self.state is not _R.RUNNING:
            yield Invariant.PAUSE, f"offered while the rollout is {self.state}", device
        for stage, state in self.stages.items():
            if state in _STOPPED:
                text = f"offered while stage {stage} is {state}"
                yield Invariant.RESUME, text, device
        own = self._stage_of.get(device, 0)
        if self.stages.get(own, _S.WAITING) is _S.WAITING:
            yield Invariant.ORDER, f"offered before its stage {own} has begun", device

    def _wrong_stage(self, event: RolloutEvent) -> Iterator[tuple[Invariant, str, str]]:
        number = event.stage or 0
        if event.before == _S.WAITING:
            for stage in range(number):
                if (state := self.stages.get(stage, _S.WAITING)) is not _S.PASSED:
                    text = f"stage {number} begins while stage {stage} is {state}"
                    yield Invariant.ORDER, text, ""
        if event.after == _S.PASSED:
            yield from self._passed_too_easily(number)
            yield from self._passed_unjudged(number, event.evidence)

    def _passed_unjudged(
        self, stage: int, evidence: Mapping[str, str]
    ) -> Iterator[tuple[Invariant, str, str]]:
        """Where somebody has tried it, the gate that can always be asked has to have passed."""
        gates = self._policy.gates
        tried = sum(self._counts[stage][state] for state in (_A.COMMITTED, *_BAD))
        said = evidence.get("error_rate", "nothing")
        if gates is not None and gates.error_rate and tried and not said.startswith("passed"):
            text = f"stage {stage} passed, and of errors its verdict says: {said}"
            yield Invariant.MISSING_DATA, text, ""

    def _passed_too_easily(self, stage: int) -> Iterator[tuple[Invariant, str, str]]:
        counts = self._counts[stage]
        good = counts[_A.COMMITTED]
        failed = sum(counts[state] for state in _BAD)
        attempted = good + failed
        if not _may_pass(self._policy, good, failed):
            text = f"stage {stage} passed with {failed} failed of {attempted}"
            yield Invariant.MISSING_DATA, text, ""
        # Silence is no success: while somebody could still be asked too few say too little, and
        # where nobody can be any more only devices that had it before speak for it.
        open_ones = sum(
            count
            for state, count in counts.items()
            if state is not _A.COMMITTED and state not in _TERMINAL
        )
        if open_ones and attempted < self._policy.min_sample:
            text = f"stage {stage} passed with {attempted} attempted and {open_ones} to come"
            yield Invariant.MISSING_DATA, text, ""
        unproved = sum(counts[state] for state in _UNPROVED)
        if not attempted and not open_ones and unproved and self._policy.min_success > 0:
            text = f"stage {stage} passed, and nobody of it has tried the version"
            yield Invariant.MISSING_DATA, text, ""


def _transition(
    table: Mapping[_State, frozenset[_State]],
    known: _State | None,
    event: RolloutEvent,
    first: _State,
) -> Iterator[tuple[Invariant, str]]:
    """What is wrong with a step by itself: it must begin where the last one ended."""
    states = {str(state): state for state in table}
    step = f"{event.before or 'nothing'} -> {event.after}"
    if known is None:
        if event.before not in ("", str(first)):
            yield Invariant.TRANSITION, f"{step}, where it is new"
    elif event.before != known:
        yield Invariant.TRANSITION, f"{step}, where it was {known}"
    before = known or states.get(event.before)
    after = states[event.after]
    if before is None or before is after:
        return
    if not table[before]:
        yield Invariant.TERMINAL, step
    elif after not in table[before]:
        yield Invariant.TRANSITION, f"{step} is no step of the table"


def _may_pass(policy: Policy, good: int, failed: int) -> bool:
    """Whether so many failures are what a version that is good enough may have."""
    attempted = good + failed
    if good >= ceil(policy.min_success * attempted - _ROUNDING):
        return True
    if good == 0 or not policy.min_sample <= attempted < _MANY:
        return False
    # Of few devices one may fail by chance: it fails the stage only if so many hardly ever would.
    rate = min(policy.max_failure, 1 - policy.min_success)
    chance = sum(
        comb(attempted, count) * rate**count * (1 - rate) ** (attempted - count)
        for count in range(failed, attempted + 1)
    )
    return chance > _BY_CHANCE


def _share(share: str, size: int) -> int:
    """How many devices a share of `size` is: at least one, and rounded down."""
    if share.endswith("%"):
        return max(1, floor(size * float(share[:-1]) / 100 + _ROUNDING))
    return max(1, int(share))
