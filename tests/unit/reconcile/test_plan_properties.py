"""Planning, whatever is wanted and seen: the same plan for the same, and nothing left down."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import Phase
from edge_agent.reconcile import transition
from edge_agent.reconcile.plan import (
    SlotSeen,
    is_settled,
    plan_slot,
)
from edge_agent.reconcile.steps import (
    Begin,
    Commit,
    Fetch,
    Install,
    Prove,
    Reject,
    Remove,
    RollBack,
    Run,
    Settle,
    Stop,
    Switch,
)
from edge_agent.reconcile.trial import TrialRun
from edge_agent.store.slots import FINAL_FAILURES, SlotRecord
from tests.support.planned import (
    ERROR,
    ONE,
    THREE,
    TWO,
    answering,
    record,
    want,
)

versions = st.sampled_from([None, ONE, TWO, THREE])
records = st.builds(
    SlotRecord,
    slot=st.just("s"),
    phase=st.sampled_from([p for p in Phase if p is not Phase.ABSENT]),
    target=st.sampled_from([ONE, TWO, THREE]),
    active=versions,
    previous=versions,
    candidate=versions,
    interruptions=st.dictionaries(
        st.sampled_from(["fetch", "prove", "switch", "trial"]), st.integers(0, 4), max_size=2
    ),
    attempts=st.integers(0, 3),
)
sights = st.builds(
    SlotSeen,
    record=records,
    running=versions,
    trial=st.none()
    | st.builds(TrialRun, running_s=st.none() | st.floats(0, 120),
                connected_s=st.none() | st.floats(0, 20), answered=st.integers(0, 200),
                model_errors=st.integers(0, 50), crashes=st.integers(0, 1)),
    is_retry_due=st.booleans(),
    is_damaged=st.booleans(),
)  # fmt: skip
wishes = st.none() | st.builds(want, st.integers(1, 3))


@given(wishes, sights)
def test_the_same_sight_gives_the_same_plan_for_this_slot_only(wanted, seen):
    steps = plan_slot(wanted, seen)
    assert steps == plan_slot(wanted, seen)
    assert all(step.slot == "s" for step in steps)


@given(wishes, sights)
def test_what_serves_is_never_left_down_while_a_slot_is_wanted(wanted, seen):
    serving = seen.record.serving
    if wanted is None or serving is None or seen.running == serving:
        return
    steps = plan_slot(wanted, seen)
    assert any(isinstance(step, Run | RollBack) for step in steps)


def carry_out(seen: SlotSeen, steps: tuple, fate: bool) -> SlotSeen:  # noqa: C901  # one match
    """What the world is like after steps that all succeed, or whose proof fails."""
    state, running = seen.record, seen.running
    for step in steps:
        match step:
            case Begin(target=target):
                state = transition.begun(state, target, 0.0)
            case Fetch():
                state = transition.arrived(state, Phase.VERIFIED, 0.0)
            case Install():
                state = transition.arrived(state, Phase.INSTALLED, 0.0)
            case Prove() if not fate:
                state = transition.arrived(state, Phase.TRIAL, 0.0)
                if state.serving is None:
                    state = transition.rejected(state, state.target, ERROR, 0.0)
                elif state.serving == state.target:
                    state = transition.failed(state, ERROR, 0.0, 0.0)
                else:
                    state = transition.rolled_back(state, ERROR, 0.0)
                break
            case Prove():
                state = transition.arrived(state, Phase.TRIAL, 0.0)
            case Switch(target=target):
                state, running = transition.flipped(state, Trial(), 0.0), target
            case Run(version=version):
                running = version
            case Stop():
                running = None
            case Commit():
                state = transition.committed(state, 0.0)
            case RollBack(error=None):
                state = transition.withdrawn(state)
                running = state.active
            case RollBack(error=error):
                state = (
                    transition.rolled_back(state, error, 0.0)
                    if state.active
                    else transition.failed(transition.withdrawn(state), error, 0.0, 0.0)
                )
                running = state.active
            case Settle():
                state = transition.settled(state, 0.0)
            case Reject(target=target, error=error):
                state = transition.rejected(state, target, error, 0.0)
            case Remove():
                state, running = record(), None
    return SlotSeen(record=state, running=running, trial=answering(100), is_retry_due=True)


@given(wishes, sights)
def test_when_every_step_succeeds_the_slot_arrives_or_stays_refused(wanted, seen):
    past = replace(seen.trial or TrialRun(), running_s=100, connected_s=100)
    seen = replace(seen, is_retry_due=True, trial=past)  # time passes
    for _ in range(6):
        steps = plan_slot(wanted, seen)
        if not steps:
            break
        seen = carry_out(seen, steps, fate=True)
    assert plan_slot(wanted, seen) == ()
    refused = wanted is not None and seen.record.phase in FINAL_FAILURES
    assert is_settled(wanted, seen.record) or refused
    assert seen.running == seen.record.serving


@given(st.builds(want, st.integers(1, 3)), sights)
def test_a_failing_proof_never_touches_what_was_committed(wanted, seen):
    before = seen.record
    after = carry_out(seen, plan_slot(wanted, seen), fate=False).record
    if any(isinstance(step, Commit) for step in plan_slot(wanted, seen)):
        return
    assert (after.active, after.previous) == (before.active, before.previous)
