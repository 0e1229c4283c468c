"""Why a device of a rollout waits, and until when: what the planner went by, said to people. Pure.

It decides nothing, and must say of no device that it waits for what the planner does not ask about.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cloud_sync.rollout.bounds import at_most
from cloud_sync.rollout.deadlines import ends_at
from cloud_sync.rollout.hearing import has_champion, is_away, is_put_off, slot_of
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.precedence import waits_for
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout.states import IN_FLIGHT
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from cloud_sync.rollout_waiting import WaitCount, Waiting

_A: Final = AssignmentState
_OPEN: Final = frozenset(
    {RolloutState.RUNNING, RolloutState.COMPLETED, RolloutState.COMPLETED_DEGRADED}
)


class Crowd(Struct, frozen=True, kw_only=True):
    """How many devices a rollout has, and how many of them keep room from others.

    Attributes:
        sizes: devices of each site; of the site "" those that do not say where they are.
        busy: of these, who is on the way, or waits for another try.
    """

    sizes: Mapping[str, int]
    busy: Mapping[str, int]


def waiting(
    assignment: Assignment,
    seen: DeviceNow,
    rollout: Rollout,
    crowd: Crowd,
    opens_at: float | None,
    now: float,
) -> Waiting | None:
    """Why a device does not go on; of several reasons the one that lasts longest.

    Args:
        assignment: of the device.
        seen: what is known of it.
        rollout: its assignments are not looked at.
        crowd: of the rollout.
        opens_at: when the next maintenance window begins; None if one is open.
        now: seconds since 1970.

    Returns:
        None if it has what it should have, is on its way, or is not asked any more.
    """
    if assignment.stage < 0:
        return None
    stage = rollout.stages[assignment.stage]
    if assignment.state in IN_FLIGHT:
        reasons = _on_the_way(assignment, seen, now)
    elif _is_in_line(assignment, stage):
        reasons = _in_line(assignment, seen, rollout, stage, opens_at, now)
    else:
        return None
    longest = max(reasons, key=lambda one: inf if one.until is None else one.until, default=None)
    if longest is not None or assignment.state in IN_FLIGHT or rollout.state not in _OPEN:
        return longest
    return _room(assignment, rollout.wish.policy, crowd)


def counted(reasons: Iterable[Waiting]) -> tuple[WaitCount, ...]:
    """How many devices wait for what, the most first."""
    found: dict[tuple[str, str], WaitCount] = {}
    for one in reasons:
        before = found.get((one.code, one.text))
        if before is None:
            found[one.code, one.text] = WaitCount(
                code=one.code, text=one.text, devices=1, until=one.until
            )
            continue
        ends = [each for each in (one.until, before.until) if each is not None]
        found[one.code, one.text] = replace(
            before, devices=before.devices + 1, until=min(ends, default=None)
        )
    return tuple(sorted(found.values(), key=lambda one: -one.devices))


def _is_in_line(assignment: Assignment, stage: Stage) -> bool:
    """Whether it is still to be asked something: for the first time, again, or to answer."""
    if assignment.state is _A.SHADOW:
        return stage.step == "run"
    return assignment.state is _A.QUEUED


def _on_the_way(assignment: Assignment, seen: DeviceNow, now: float) -> Iterator[Waiting]:
    if is_away(seen, now):
        yield Waiting(
            code="away",
            text="away, and does it when it is back",
            since=seen.away_since,
            until=assignment.deadline,
        )
    slot = slot_of(assignment, seen)
    if slot is not None and slot.is_put_off:
        yield _lock(seen.locked_until)
    elif slot is not None and slot.is_waiting_its_turn:
        yield Waiting(
            code="spread",
            text="begins later, so that a fleet does not ask at once",
            until=assignment.deadline,
        )


def _in_line(
    assignment: Assignment,
    seen: DeviceNow,
    rollout: Rollout,
    stage: Stage,
    opens_at: float | None,
    now: float,
) -> Iterator[Waiting]:
    policy = rollout.wish.policy
    if rollout.state is RolloutState.PAUSED:
        yield Waiting(code="paused", text="the rollout is paused", until=ends_at(rollout))
        return
    if rollout.state not in _OPEN:
        return
    if stage.state is StageState.WAITING:
        yield Waiting(code="stage", text="its stage has not begun")
        return
    tells_at_once = policy.offer_offline and not assignment.is_wanted
    if is_away(seen, now) and not tells_at_once:
        yield Waiting(
            code="away",
            text="away, keeps its place",
            since=seen.away_since,
            until=(seen.away_since or now) + policy.expire_after_s,
        )
    if seen.is_taken:
        yield Waiting(code="first", text=waits_for(seen.taken_by))
    if not policy.offer_offline and is_put_off(seen, stage.since, policy, now):
        yield _lock(min(seen.locked_until or inf, stage.since + policy.lock_max_s))
    if opens_at is not None and now < opens_at:
        yield Waiting(code="window", text="no maintenance window is open", until=opens_at)
    if assignment.next_retry is not None and now < assignment.next_retry:
        text = assignment.reason or "tried again later"
        yield Waiting(code="retry", text=text, until=assignment.next_retry)
    if stage.step == "shadow" and not has_champion(assignment, rollout):
        text = "runs nothing to compare with, and is asked when the version is to answer"
        yield Waiting(code="stage", text=text)


def _lock(until: float | None) -> Waiting:
    return Waiting(code="lock", text="a program on the device puts updates off", until=until)


def _room(assignment: Assignment, policy: Policy, crowd: Crowd) -> Waiting:
    """What is left when nothing about the device itself keeps it from its turn."""
    busy, size = sum(crowd.busy.values()), sum(crowd.sizes.values())
    bound = at_most(policy.max_in_flight, size)
    if busy >= bound:
        return Waiting(code="room", text=f"as many as may be ({bound}) are on their way")
    site = assignment.site
    bound = at_most(policy.max_in_flight_per_site, crowd.sizes.get(site, 0))
    if site and crowd.busy.get(site, 0) >= bound:
        return Waiting(code="room", text=f"as many of {site} as may be ({bound}) are on their way")
    return Waiting(code="turn", text="is asked next")
