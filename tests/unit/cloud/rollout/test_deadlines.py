"""What ends each state when nobody does anything: devices, people, or other rollouts."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.attention import due
from cloud_sync.rollout.evolve import OVER
from cloud_sync.rollout.jitter import longest_delay_s
from cloud_sync.rollout.rollout import Assignment
from cloud_sync.rollout.states import ASSIGNMENT, ROLLOUT, STAGE
from cloud_sync.rollout_gates import Gates
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from edge_agent.contract.state import Phase
from tests.support.rollouts import NEW, OLD, QUICK, Fleet, candidates, reported, rollout_of

A = AssignmentState
R = RolloutState
S = StageState
DAY = 86_400.0
YEAR = 366 * DAY
STAGED = replace(QUICK, stages=("2", "100%"), max_in_flight="100%")
JUDGED = replace(STAGED, soak_s=600, soak_messages=100, gates=Gates())
SHADOWED = replace(JUDGED, shadow_stages=1)


def fleet_of(policy: Policy = STAGED, devices: int = 6) -> Fleet:
    return Fleet(rollout_of(candidates(devices), policy))


def begun(policy: Policy = STAGED) -> Fleet:
    return fleet_of(policy).start()


def paused() -> Fleet:
    fleet = begun()
    fleet.order("pause")
    return fleet


def filled(policy: Policy = JUDGED) -> Fleet:
    fleet = begun(policy)
    fleet.obey()
    fleet.drive()
    return fleet


def judging() -> Fleet:
    fleet = filled()
    fleet.wait(JUDGED.soak_s)
    return fleet


def step(phase: Phase) -> Callable[[], Fleet]:
    """The first device says that it is so far, and then nothing more."""

    def build() -> Fleet:
        fleet = begun()
        fleet.report(fleet.those(A.OFFERED)[0], reported(OLD, phase, wanted=NEW))
        fleet.drive()
        return fleet

    return build


def going_back() -> Fleet:
    fleet = filled()
    fleet.order("rollback")
    fleet.drive()
    return fleet


def in_state(state: RolloutState) -> Callable[[], Fleet]:
    return lambda: Fleet(replace(rollout_of(candidates(6), STAGED), state=state))


def kept_from_its_turn(**known: object) -> Callable[[], Fleet]:
    """The first device in the line is there, or not, and cannot be asked."""

    def build() -> Fleet:
        fleet = fleet_of()
        first = next(iter(fleet.rollout.assignments))
        fleet.tell(first, **known)
        return fleet.start()

    return build


def closed() -> Fleet:
    fleet = fleet_of()
    fleet.opens_at = 7 * DAY
    return fleet.start()


def crowded() -> Fleet:
    return begun(replace(STAGED, max_in_flight="1"))


BUILDERS: dict[RolloutState | StageState | AssignmentState, list[Callable[[], Fleet]]] = {
    R.DRAFT: [in_state(R.DRAFT)],
    R.PENDING_APPROVAL: [in_state(R.PENDING_APPROVAL)],
    R.READY: [in_state(R.READY)],
    R.RUNNING: [begun, filled, judging, closed, crowded],
    R.PAUSED: [paused],
    R.ROLLING_BACK: [going_back],
    S.WAITING: [begun, paused],
    S.FILLING: [begun, crowded],
    S.SOAKING: [filled],
    S.JUDGING: [judging],
    A.QUEUED: [
        kept_from_its_turn(presence="offline", away_since=0.0),
        kept_from_its_turn(locked_until=YEAR),
        closed,
        crowded,
        paused,
    ],
    A.OFFERED: [begun],
    A.DOWNLOADING: [step(Phase.FETCHING)],
    A.VERIFIED: [step(Phase.VERIFIED)],
    A.TRIAL: [step(Phase.TRIAL)],
    A.SHADOW: [lambda: filled(SHADOWED)],
    A.REVERTING: [going_back],
}
LASTING = {
    *(OVER - {R.ROLLED_BACK, R.CANCELLED, R.SUPERSEDED}),
    *(S.FAILED, S.INCONCLUSIVE, S.PASSED),
    A.COMMITTED,
}
"""What may follow these needs news, or an order: they are ends, if not for ever."""

CASES = [(state, build) for state, builders in BUILDERS.items() for build in builders]


def is_there(fleet: Fleet, state: RolloutState | StageState | AssignmentState) -> frozenset[str]:
    """Whose state it is: the rollout, stages, devices."""
    if isinstance(state, RolloutState):
        return frozenset({"rollout"} if fleet.rollout.state is state else ())
    if isinstance(state, StageState):
        return frozenset(str(each.number) for each in fleet.rollout.stages if each.state is state)
    return frozenset(fleet.those(state))


def tables() -> set[RolloutState | StageState | AssignmentState]:
    """All states that something may follow."""
    found: set[RolloutState | StageState | AssignmentState] = set()
    for table in (ROLLOUT, STAGE, ASSIGNMENT):
        found |= {state for state, after in table.items() if after}
    return found


def test_every_state_that_is_no_end_is_looked_at_here() -> None:
    assert tables() == {*BUILDERS, *LASTING}


@pytest.mark.parametrize(("state", "build"), CASES, ids=[str(state) for state, _ in CASES])
def test_time_alone_ends_every_state_that_is_no_end(
    state: RolloutState | StageState | AssignmentState, build: Callable[[], Fleet]
) -> None:
    fleet = build()
    left = is_there(fleet, state)
    assert left, f"no {state} to begin with"
    while left and not (isinstance(state, StageState) and fleet.rollout.state in OVER):
        moment = due(fleet.rollout, fleet.world(), fleet.now)
        assert moment is not None, f"nothing ends {state} of {sorted(left)}"
        assert moment < YEAR, f"{state} of {sorted(left)} lasts until {moment:g}"
        if fleet.opens_at is not None and moment >= fleet.opens_at:
            fleet.opens_at = None
        fleet.wait(moment - fleet.now)
        left &= is_there(fleet, state)
    # A stage that never began is no promise to anybody once its rollout is over.
    assert not left or state is S.WAITING


def test_what_nobody_looks_after_is_cancelled_after_thirty_days() -> None:
    fleet = paused()
    fleet.wait(30 * DAY - 1)
    assert is_there(fleet, R.PAUSED)
    fleet.wait(1)
    assert is_there(fleet, R.CANCELLED)
    assert fleet.rollout.state_reason == (
        "nobody resumed it or took it back in time: it waited for 30 days"
    )
    assert A.QUEUED not in fleet.states(), "as when somebody aborts it"


def test_how_long_a_rollout_waits_for_a_person_is_its_policys() -> None:
    fleet = Fleet(rollout_of(candidates(3), replace(QUICK, unattended_s=60)))
    fleet.wait(59)
    assert is_there(fleet, R.DRAFT)
    fleet.wait(1)
    assert is_there(fleet, R.CANCELLED)


@pytest.mark.parametrize("stage", [S.FILLING, S.JUDGING])
def test_a_pause_takes_no_time_from_a_stage(stage: StageState) -> None:
    fleet = begun() if stage is S.FILLING else judging()
    fleet.wait(100)
    before = fleet.rollout.stages[0]
    assert before.state is stage
    left = (before.deadline or 0) - fleet.now
    fleet.order("pause")
    for device in fleet.those(A.OFFERED):
        fleet.leave(device)
    fleet.wait(20 * DAY)
    fleet.order("resume")
    after = fleet.rollout.stages[0]
    assert after.state is stage
    assert (after.deadline or 0) - fleet.now == pytest.approx(left)


def test_a_stage_that_ran_while_its_rollout_was_paused_has_soaked() -> None:
    fleet = filled()
    fleet.order("pause")
    fleet.wait(JUDGED.soak_s)
    fleet.order("resume")
    fleet.drive()
    assert fleet.rollout.stages[0].state is S.JUDGING


def test_a_pause_that_the_clock_was_set_back_in_takes_no_time_either() -> None:
    fleet = begun()
    fleet.now += 1_000
    fleet.order("pause")
    before = fleet.rollout.stages[0].deadline
    fleet.now -= 500
    fleet.order("resume")
    assert fleet.rollout.stages[0].deadline == before


@pytest.mark.parametrize("action", ["abort", "rollback"])
@pytest.mark.parametrize("build", [begun, filled, judging, paused])
def test_a_stage_ends_when_its_rollout_does(build: Callable[[], Fleet], action: str) -> None:
    fleet = build()
    fleet.order("abort" if action == "abort" else "rollback")
    stage = fleet.rollout.stages[0]
    assert (stage.state, stage.deadline) == (S.INCONCLUSIVE, None)
    done = {"abort": "aborted", "rollback": "taken back"}[action]
    assert stage.reason == f"not finished: {done} by bert"
    fleet.finish()
    assert fleet.rollout.state in (R.CANCELLED, R.ROLLED_BACK)


def test_a_stage_ends_when_others_take_the_last_device() -> None:
    fleet = begun()
    fleet.take(*fleet.rollout.assignments)
    fleet.drive()
    assert fleet.rollout.state is R.SUPERSEDED
    stage = fleet.rollout.stages[0]
    assert stage.reason == "not finished: other rollouts took its devices"


def test_a_stage_may_take_as_many_windows_as_its_devices_may_need() -> None:
    weekly = replace(STAGED, windows=("sat 01:00-05:00 UTC",), max_in_flight="1", retries=1)
    fleet = begun(weekly)
    tries = 2 * (weekly.retries + 1)
    assert (fleet.rollout.stages[0].deadline or 0) > tries * 6.5 * DAY


@pytest.mark.parametrize(("retries", "retry_s"), [(5, DAY), (3, 60.0), (0, DAY)])
def test_a_stage_may_take_as_long_as_the_longest_waits_between_tries(
    retries: int, retry_s: float
) -> None:
    policy = replace(STAGED, retries=retries, retry_s=retry_s)
    fleet = begun(policy)
    try_s = policy.download_s + policy.install_s + policy.trial_s
    waits = [longest_delay_s(attempt, retry_s) for attempt in range(1, retries + 1)]
    assert (fleet.rollout.stages[0].deadline or 0) - fleet.now == pytest.approx(
        policy.offline_after_s + policy.lock_max_s + (retries + 1) * try_s + sum(waits)
    )


def test_a_device_that_comes_with_its_last_try_is_in_time_for_its_stage() -> None:
    short = replace(STAGED, download_s=60, install_s=60, trial_s=60, lock_max_s=0)
    policy = replace(short, retries=5, retry_s=DAY)
    fleet = begun(policy)
    while any(one.attempts < policy.retries for one in members(fleet)):
        moment = due(fleet.rollout, fleet.world(), fleet.now)
        assert moment is not None
        fleet.wait(moment - fleet.now)
        assert fleet.rollout.stages[0].state is S.FILLING


def members(fleet: Fleet) -> list[Assignment]:
    return [one for one in fleet.rollout.assignments.values() if one.stage == 0]
