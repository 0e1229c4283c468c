"""What a rollout does next, from what is known: the planner. Pure.

It sends nothing, writes nothing and looks at no clock. The same arguments give the same decisions,
and a rollout where nothing has changed gives none. It is asked again after each round.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from cloud_sync.rollout.bounds import Room
from cloud_sync.rollout.deadlines import given_up
from cloud_sync.rollout.decisions import Decision, Join, MoveRollout, MoveStage, Offer, Trouble
from cloud_sync.rollout.evolve import evolve
from cloud_sync.rollout.hearing import has_champion, is_asked_again, is_away, is_put_off
from cloud_sync.rollout.observation import DeviceNow, World
from cloud_sync.rollout.progress import reported
from cloud_sync.rollout.returning import finished, taken_back
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage, Step
from cloud_sync.rollout.staging import (
    AT_WORK,
    current_stage,
    cut_short,
    is_settled,
    next_step,
)
from cloud_sync.rollout.states import ENDED
from cloud_sync.rollout.verdict import judge_labels
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState

_A = AssignmentState
_R = RolloutState
_S = StageState
_HELD = frozenset({_R.RUNNING, _R.PAUSED})
_DONE = frozenset({_R.COMPLETED, _R.COMPLETED_DEGRADED})
_WELL = frozenset({_A.COMMITTED, _A.ALREADY_PRESENT, _A.NOT_APPLICABLE, _A.SUPERSEDED})


def plan(rollout: Rollout, world: World, now: float) -> tuple[Decision, ...]:
    """Everything that a rollout does now, in order; empty if it waits for something.

    The beginning of it may be done alone: what is left is decided again.

    Args:
        rollout: as it is stored.
        world: what is known; nothing is decided about a device that is missing there.
        now: seconds since 1970.
    """
    draft = _Draft(rollout, now)
    if world.trouble != rollout.trouble:
        draft.add([Trouble(text=world.trouble)])
    draft.add(reported(rollout, world, now))
    if rollout.state in _HELD and draft.add(_superseded(draft.rollout)):
        return tuple(draft.decisions)
    if ended := given_up(draft.rollout, now):
        draft.add((*cut_short(draft.rollout, ended[0].reason), *ended))
    if rollout.state in _DONE:
        draft.add(_taken_up_again(draft.rollout, world, now))
    if draft.rollout.state in {_R.RUNNING, *_DONE}:
        draft.add(_left_out(draft.rollout, world, now))
    if draft.rollout.state is _R.RUNNING:
        _go_forward(draft, world, now)
    after = draft.rollout
    stage = current_stage(after)
    match after.state:
        case _R.PAUSED if stage is not None and _is_taken_back(after, stage):
            number = stage.number
            draft.add(
                taken_back(
                    after,
                    world,
                    now,
                    lambda one: one.stage == number and one.revision > 0,
                )
            )
        case _R.CANCELLED | _R.SUPERSEDED:
            draft.add(taken_back(after, world, now, _is_unfinished))
        case _R.ROLLING_BACK | _R.ROLLBACK_INCOMPLETE:
            draft.add(taken_back(after, world, now))
            draft.add(finished(draft.rollout, world, now))
        case _:
            pass
    return tuple(draft.decisions)


class _Draft:
    """A rollout with what has been decided so far, so that each rule sees what others decided."""

    def __init__(self, rollout: Rollout, now: float) -> None:
        self.rollout = rollout
        self.decisions: list[Decision] = []
        self._now = now

    def add(self, decisions: Iterable[Decision]) -> bool:
        """Take decisions in; False if there are none."""
        new = tuple(decisions)
        self.rollout = evolve(self.rollout, new, self._now)
        self.decisions += new
        return bool(new)


def _go_forward(draft: _Draft, world: World, now: float) -> None:
    """A running rollout."""
    draft.add(_joined(draft.rollout, world, now))
    shown = _at_work(draft.rollout)
    while draft.add(next_step(draft.rollout, world, now)):
        if draft.rollout.state is not _R.RUNNING:
            return
        stage = current_stage(draft.rollout)
        if stage is not None and stage.state is _S.JUDGING:
            break  # all of its devices have to be shown for that, which a filling stage needs not
        if stage is not None and stage.state is not _S.WAITING and _at_work(draft.rollout) != shown:
            break  # what is measured is of the step before
    if current_stage(draft.rollout) is None and draft.add(_completed(draft.rollout, world, now)):
        return
    draft.add(_offers(draft.rollout, world, now))


def _at_work(rollout: Rollout) -> tuple[int, Step] | None:
    """The stage and step that measurements are of."""
    stage = current_stage(rollout)
    return None if stage is None else (stage.number, stage.step)


def _offers(rollout: Rollout, world: World, now: float) -> Iterator[Offer]:
    """Who is asked now: as many as may be on their way, in the order of the stages."""
    if world.opens_at is not None and now < world.opens_at:
        return
    room = Room(rollout, now)
    steps = _open_stages(rollout)
    deadline = now + rollout.wish.policy.download_s
    # First those that were asked before: they may begin any time, and are counted already.
    for asks_again in (True, False) if room.has_waiting() else (False,):
        for one in rollout.assignments.values():
            if room.is_full():
                return
            step = steps.get(one.stage)
            if (
                step is not None
                and _is_queued(one, asks_again=asks_again)
                and _may_be_asked(one, world.devices.get(one.device), rollout, step, now)
                and room.take(one)
            ):
                reason = f"stage {one.stage + 1}{', as a shadow' if step == 'shadow' else ''}"
                yield Offer(device=one.device, mode=step, deadline=deadline, reason=reason)


def _is_queued(assignment: Assignment, *, asks_again: bool) -> bool:
    if assignment.state is _A.QUEUED:
        return assignment.is_wanted is asks_again
    return assignment.state is _A.SHADOW and not asks_again


def _open_stages(rollout: Rollout) -> dict[int, Step]:
    """The stages that offer, each with what it offers the version as."""
    steps: dict[int, Step] = {
        stage.number: "run" for stage in rollout.stages if stage.state is _S.PASSED
    }
    current = current_stage(rollout)
    if current is not None and current.state in AT_WORK:
        steps[current.number] = current.step
    return steps


def _may_be_asked(
    assignment: Assignment, seen: DeviceNow | None, rollout: Rollout, step: Step, now: float
) -> bool:
    if seen is None or (seen.is_taken and not is_asked_again(assignment, step)):
        return False
    if assignment.next_retry is not None and now < assignment.next_retry:
        return False
    if step == "shadow" and (
        assignment.state is _A.SHADOW or not has_champion(assignment, rollout)
    ):
        return False
    policy = rollout.wish.policy
    # One that was told while it was away learns of it when it is back.
    if is_away(seen, now) and (assignment.is_wanted or not policy.offer_offline):
        return False
    # Nor does a lock keep an order back that a device is to know of at once: it waits there.
    begun = rollout.stages[assignment.stage].since
    return policy.offer_offline or not is_put_off(seen, begun, policy, now)


def _joined(rollout: Rollout, world: World, now: float) -> Iterator[Join]:
    if rollout.wish.policy.late_joiners != "include" or not rollout.stages:
        return
    last = rollout.stages[-1].number
    for one in world.joined:
        if one.device not in rollout.assignments:
            yield Join(
                assignment=Assignment(
                    device=one.device,
                    stage=last,
                    module=one.module,
                    version=one.version,
                    digest=one.digest,
                    site=one.site,
                    previous=one.previous,
                    since=now,
                    reason="it came to match the target after the start",
                )
            )


def _left_out(rollout: Rollout, world: World, now: float) -> Iterator[Join]:
    """Late devices that get nothing: told, and never asked about again."""
    for one in world.left_out:
        if one.device not in rollout.assignments and one.device not in rollout.left_out:
            yield Join(assignment=replace(one, since=now))


def _superseded(rollout: Rollout) -> tuple[MoveStage | MoveRollout, ...]:
    """A rollout that has lost its last device to others."""
    states = {one.state for one in rollout.assignments.values()}
    if _A.SUPERSEDED in states and states <= ENDED:
        reason = "other rollouts took its devices"
        return *cut_short(rollout, reason), MoveRollout(state=_R.SUPERSEDED, reason=reason)
    return ()


def _completed(rollout: Rollout, world: World, now: float) -> tuple[MoveRollout, ...]:
    """All stages have passed; it is over when nobody is waited for."""
    devices = world.devices
    stages = rollout.stages
    members = rollout.assignments.values()
    if not all(
        is_settled(one, devices.get(one.device), rollout, stages[one.stage], now) for one in members
    ):
        return ()
    return (_over(rollout),)


def _over(rollout: Rollout) -> MoveRollout:
    counts = Counter(one.state for one in rollout.assignments.values() if one.state not in _WELL)
    if not counts:
        unasked = sum(one.state is _A.NOT_APPLICABLE for one in rollout.left_out.values())
        more = f"; {unasked} left out, which do not run it" if unasked else ""
        return MoveRollout(state=_R.COMPLETED, reason=f"all stages passed{more}")
    names = ", ".join(f"{count} {_SAID.get(state, state)}" for state, count in counts.most_common())
    return MoveRollout(
        state=_R.COMPLETED_DEGRADED, reason=f"all stages passed; not everywhere: {names}"
    )


_SAID = {_A.QUEUED: "not reached", _A.TIMED_OUT: "timed out", _A.ROLLED_BACK: "rolled back"}


def _taken_up_again(rollout: Rollout, world: World, now: float) -> Iterator[Decision]:
    """What can still happen to a rollout that was over."""
    if current_stage(rollout) is not None:
        yield MoveRollout(state=_R.RUNNING, reason="its last stage is in question again")
        return
    last = rollout.stages[-1] if rollout.stages else None
    verdict = judge_labels(world.evidence, rollout.wish.policy)
    if last is not None and verdict.outcome == "failed":
        yield MoveStage(stage=last.number, state=_S.FAILED, reason=verdict.text, verdict=verdict)
        yield MoveRollout(state=_R.RUNNING, reason="labels came")
        return
    joined = next(_joined(rollout, world, now), None)
    if joined is not None:
        reason = f"{joined.assignment.device} came to match the target"
        yield MoveRollout(state=_R.RUNNING, reason=reason)
        return
    for device, seen in world.devices.items():
        one = rollout.assignments.get(device)
        if one is not None and not is_settled(one, seen, rollout, rollout.stages[one.stage], now):
            yield MoveRollout(state=_R.RUNNING, reason=f"{device}: {one.reason or 'it is back'}")
            return
    if rollout.state is _R.COMPLETED_DEGRADED and (over := _over(rollout)).state is _R.COMPLETED:
        yield over


def _is_taken_back(rollout: Rollout, stage: Stage) -> bool:
    return stage.state is _S.FAILED and rollout.wish.policy.on_error == "rollback-stage"


def _is_unfinished(assignment: Assignment) -> bool:
    """What an ended rollout does not leave as it is: who waits, and shadows."""
    return assignment.state is _A.QUEUED or assignment.state is _A.SHADOW
