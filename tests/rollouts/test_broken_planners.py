"""The promises can be broken, and that is seen: planners that are wrong in one way each.

Each is the real planner with one mistake. If none of the stories shows it, the stories or the
judge are too weak.
"""

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.decisions import Decision, Move, MoveRollout, MoveStage, Offer, Revert
from cloud_sync.rollout.evolve import evolve
from cloud_sync.rollout.observation import Measures, StageEvidence, World
from cloud_sync.rollout.orders import order
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ASSIGNMENT, ENDED
from cloud_sync.rollout.violation import Invariant
from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutOrder,
    RolloutState,
    StageState,
)
from tests.rollouts.cloud import Brain
from tests.rollouts.outcome import DEAF, NOT_BACK, NOT_JOINED, STUCK
from tests.rollouts.story import Story, tell
from tests.rollouts.telling import explore

STORIES = 400
FEW = 20
_A = AssignmentState
_R = RolloutState
_S = StageState
Decisions = tuple[Decision, ...]


def _greedy(rollout: Rollout, world: World, now: float) -> Decisions:
    """Counts nobody: whoever waits in a stage that has begun is asked."""
    decisions = plan(rollout, world, now)
    if rollout.state is not _R.RUNNING or any(isinstance(d, MoveRollout) for d in decisions):
        return decisions
    begun = {stage.number for stage in rollout.stages if stage.state is _S.FILLING}
    named = {d.device for d in decisions if isinstance(d, Move | Offer | Revert)}
    more = [
        Offer(device=one.device, mode="run", deadline=now + 60, reason="")
        for one in rollout.assignments.values()
        if one.state is _A.QUEUED and one.stage in begun and one.device not in named
    ]
    return (*decisions, *more)


def _deaf(rollout: Rollout, world: World, now: float) -> Decisions:
    """Does not hear that somebody has paused."""
    if rollout.state is _R.PAUSED and all(one.state in _GOES_ON for one in rollout.stages):
        running = plan(replace(rollout, state=_R.RUNNING), world, now)
        return tuple(one for one in running if isinstance(one, Offer | Move))
    return plan(rollout, world, now)


_GOES_ON = frozenset(_S) - {_S.FAILED, _S.INCONCLUSIVE}


def _credulous(rollout: Rollout, world: World, now: float) -> Decisions:
    """Believes that what was offered was done."""
    decisions = plan(rollout, world, now)
    named = {d.device for d in decisions if isinstance(d, Move | Offer | Revert)}
    done = [
        Move(device=one.device, state=_A.COMMITTED, reason="")
        for one in rollout.assignments.values()
        if one.state is _A.OFFERED and one.device not in named
    ]
    return (*decisions, *done)


def _faithful(rollout: Rollout, world: World, now: float) -> Decisions:
    """Once committed, committed for ever."""
    return tuple(
        one
        for one in plan(rollout, world, now)
        if not (
            isinstance(one, Move)
            and one.state is _A.QUEUED
            and rollout.assignments[one.device].state is _A.COMMITTED
        )
    )


def _kind(rollout: Rollout, world: World, now: float) -> Decisions:
    """Lets every stage pass that is judged."""
    decisions = plan(rollout, world, now)
    return tuple(
        MoveStage(stage=one.stage, state=_S.PASSED, reason="")
        if isinstance(one, MoveStage) and one.state is _S.FAILED and _judged(rollout, one.stage)
        else one
        for one in decisions
        if not (isinstance(one, MoveRollout) and any(_fails(two) for two in decisions))
    )


def _judged(rollout: Rollout, stage: int) -> bool:
    return rollout.stages[stage].state is _S.JUDGING


def _fails(decision: Decision) -> bool:
    return isinstance(decision, MoveStage) and decision.state is _S.FAILED


def _hasty(rollout: Rollout, world: World, now: float) -> Decisions:
    """Begins all stages at once."""
    decisions = plan(rollout, world, now)
    if rollout.state is not _R.RUNNING or any(isinstance(one, MoveStage) for one in decisions):
        return decisions
    early = [
        MoveStage(stage=one.number, state=_S.FILLING, reason="", deadline=now + 60)
        for one in rollout.stages
        if one.state is _S.WAITING
    ]
    return (*decisions, *early)


def _grudging(rollout: Rollout, world: World, now: float) -> Decisions:
    """Takes its devices back from whoever has taken them."""
    decisions = plan(rollout, world, now)
    if decisions or rollout.state is not _R.SUPERSEDED:
        return decisions
    return tuple(
        Revert(device=one.device, state=_A.SUPERSEDED, reason="")
        for one in rollout.assignments.values()
        if one.state is _A.SUPERSEDED and one.revision
    )


def _careless(rollout: Rollout, wanted: RolloutOrder, actor: str, now: float) -> Decisions:
    """Resumes without looking at what failed."""
    return tuple(
        one for one in order(rollout, wanted, actor, now) if not isinstance(one, MoveStage)
    )


def _careless_too(rollout: Rollout, world: World, now: float) -> Decisions:
    """Takes a stage that has failed for one that is being filled."""
    is_careless = rollout.state is _R.RUNNING and not all(
        one.state in _GOES_ON for one in rollout.stages
    )
    if not is_careless:
        return plan(rollout, world, now)
    stages = tuple(
        one if one.state in _GOES_ON else replace(one, state=_S.FILLING) for one in rollout.stages
    )
    running = plan(replace(rollout, stages=stages), world, now)
    return tuple(one for one in running if isinstance(one, Offer | Move))


def _rude(_rollout: Rollout, _devices: Iterable[str], _by: str) -> Decisions:
    """Gives nothing away to a newer rollout."""
    return ()


def _blind(rollout: Rollout, world: World, now: float) -> Decisions:
    """Takes for granted that all is well where nothing was measured."""
    well = Measures(devices=9, messages=90_000, compared=90_000)
    return plan(rollout, replace(world, evidence=StageEvidence(version=well)), now)


def _deluded(rollout: Rollout, world: World, now: float) -> Decisions:
    """Does not see errors."""
    seen = replace(world.evidence.version, errors=0, differed=0)
    return plan(rollout, replace(world, evidence=replace(world.evidence, version=seen)), now)


def _unread(rollout: Rollout, world: World, now: float) -> Decisions:
    """Reads no labels."""
    seen = replace(world.evidence.version, right=0, wrong=0)
    return plan(rollout, replace(world, evidence=replace(world.evidence, version=seen)), now)


def _closed(rollout: Rollout, world: World, now: float) -> Decisions:
    """Takes nobody in."""
    return plan(rollout, replace(world, joined=()), now)


def _impatient(rollout: Rollout, world: World, now: float) -> Decisions:
    """Lets no version soak."""
    return plan(_with_policy(rollout, soak_s=0), world, now)


def _rash(rollout: Rollout, world: World, now: float) -> Decisions:
    """One device is enough for it."""
    return plan(_with_policy(rollout, min_sample=1), world, now)


def _with_policy(rollout: Rollout, **other: int) -> Rollout:
    wish = rollout.wish
    return replace(rollout, wish=replace(wish, policy=replace(wish.policy, **other)))


def _lonely(rollout: Rollout, world: World, now: float) -> Decisions:
    """Lets stages pass that nobody has tried the version in."""
    decisions = plan(rollout, world, now)
    if not any(isinstance(d, MoveStage) and d.state is _S.INCONCLUSIVE for d in decisions):
        return decisions
    return tuple(
        replace(d, state=_S.PASSED) if isinstance(d, MoveStage) else d
        for d in decisions
        if not isinstance(d, MoveRollout)
    )


def _pushy(rollout: Rollout, world: World, now: float) -> Decisions:
    """Sees no other rollout."""
    devices = {
        name: replace(seen, taken_by=0, is_lost=False) for name, seen in world.devices.items()
    }
    return plan(rollout, replace(world, devices=devices), now)


def _hesitant(rollout: Rollout, world: World, now: float) -> Decisions:
    """Lets no stage pass: it pauses."""
    decisions: list[Decision] = []
    for one in plan(rollout, world, now):
        if not isinstance(one, MoveStage) or one.state is not _S.PASSED:
            decisions.append(one)
            continue
        decisions.append(replace(one, state=_S.INCONCLUSIVE))
        return (*decisions, MoveRollout(state=_R.PAUSED, reason="not sure"))
    return tuple(decisions)


def _idle(rollout: Rollout, world: World, now: float) -> Decisions:
    """Offers nothing."""
    return tuple(one for one in plan(rollout, world, now) if not isinstance(one, Offer))


def _unforgiving(rollout: Rollout, world: World, now: float) -> Decisions:
    """Takes nobody back whose rollout goes back."""
    is_going_back = rollout.state in (_R.ROLLING_BACK, _R.ROLLBACK_INCOMPLETE)
    decisions = plan(rollout, world, now)
    if not is_going_back:
        return decisions
    return tuple(one for one in decisions if not isinstance(one, Revert))


def _forgetful(rollout: Rollout, world: World, now: float) -> Decisions:
    """Looks at nobody again who has ended."""
    devices = {
        name: seen
        for name, seen in world.devices.items()
        if name not in rollout.assignments or rollout.assignments[name].state not in ENDED
    }
    return plan(rollout, replace(world, devices=devices), now)


def _undead(rollout: Rollout, world: World, now: float) -> Decisions:
    """Brings devices that are done back into the queue."""
    decisions = plan(rollout, world, now)
    if decisions or rollout.state is not _R.RUNNING:
        return decisions
    return tuple(
        Move(device=one.device, state=_A.QUEUED, reason="")
        for one in rollout.assignments.values()
        if one.state in (_A.REJECTED, _A.TIMED_OUT)
    )


def _lawless(rollout: Rollout, decisions: Iterable[Decision], now: float) -> Rollout:
    """Knows no table for devices that are done."""
    lawful: list[Decision] = []
    risen: list[str] = []
    for one in decisions:
        known = isinstance(one, Move) and rollout.assignments.get(one.device)
        if isinstance(one, Move) and known and not ASSIGNMENT[known.state]:
            risen.append(one.device)
        else:
            lawful.append(one)
    after = evolve(rollout, lawful, now)
    changed = {
        device: replace(after.assignments[device], state=_A.QUEUED, since=now) for device in risen
    }
    return replace(after, assignments={**after.assignments, **changed}) if risen else after


WRONG: dict[str, tuple[Brain, str]] = {
    "greedy": (Brain(plan=_greedy), Invariant.BOUNDS),
    "deaf": (Brain(plan=_deaf), Invariant.PAUSE),
    "credulous": (Brain(plan=_credulous), Invariant.MISSING_DATA),
    "faithful": (Brain(plan=_faithful), Invariant.REOPENED),
    "kind": (Brain(plan=_kind), Invariant.MISSING_DATA),
    "blind": (Brain(plan=_blind), Invariant.MISSING_DATA),
    "deluded": (Brain(plan=_deluded), Invariant.MISSING_DATA),
    "unread": (Brain(plan=_unread), DEAF),
    "closed": (Brain(plan=_closed), NOT_JOINED),
    "impatient": (Brain(plan=_impatient), Invariant.MISSING_DATA),
    "rash": (Brain(plan=_rash), Invariant.MISSING_DATA),
    "lonely": (Brain(plan=_lonely), Invariant.MISSING_DATA),
    "hasty": (Brain(plan=_hasty), Invariant.ORDER),
    "grudging": (Brain(plan=_grudging), Invariant.SUCCESSION),
    "careless": (Brain(plan=_careless_too, order=_careless), Invariant.RESUME),
    "rude": (Brain(supersede=_rude), Invariant.ONE_ACTIVE),
    "pushy": (Brain(plan=_pushy), Invariant.ONE_ACTIVE),
    "hesitant": (Brain(plan=_hesitant), STUCK),
    "idle": (Brain(plan=_idle), STUCK),
    "unforgiving": (Brain(plan=_unforgiving), NOT_BACK),
    "forgetful": (Brain(plan=_forgetful), NOT_BACK),
    "undead": (Brain(plan=_undead, evolve=_lawless), Invariant.TERMINAL),
}


class _SeenError(Exception):
    """Somebody saw it."""


@pytest.mark.parametrize("name", WRONG)
def test_a_planner_that_is_wrong_is_found_out(name: str) -> None:
    brain, promise = WRONG[name]
    with pytest.raises(_SeenError):
        explore(0, _finds(brain, promise), count=STORIES, shrinks=False)


def test_what_is_found_is_told_in_a_few_calls() -> None:
    brain, promise = WRONG["greedy"]
    with pytest.raises(_SeenError) as found:
        explore(0, _finds(brain, promise), count=STORIES)
    told = "\n".join(found.value.__notes__)
    assert told.count("\n  ") < FEW, told


def _finds(brain: Brain, promise: str) -> Callable[[Story], None]:
    def listen(story: Story) -> None:
        try:
            tell(story, brain)
        except AssertionError as error:
            if str(error).startswith(f"{promise}:"):
                raise _SeenError from error
        except Exception:  # noqa: BLE001 - a wrong planner may also fall over
            return

    return listen
