"""Planning: from what is wanted and seen to steps, the same for the same, and never stuck."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import DesiredState, Phase, SlotConfig, SlotError, WantedSlot
from edge_agent.reconcile import transition
from edge_agent.reconcile.plan import (
    SlotSeen,
    is_settled,
    plan,
    plan_slot,
    wanted_version,
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
from edge_agent.store.slots import FINAL_FAILURES, Installed, SlotRecord


def want(version: int = 1, **options) -> WantedSlot:
    return WantedSlot(module="m", version=version, digest=f"sha256:{version:064x}", **options)


def version_of(number: int) -> Installed:
    return wanted_version(want(number))


ONE, TWO, THREE = version_of(1), version_of(2), version_of(3)
ERROR = SlotError(code="x", text="x")
BRING_TWO = (Begin("s", TWO), Fetch("s", TWO), Install("s", TWO), Prove("s", TWO), Switch("s", TWO))


def record(**options) -> SlotRecord:
    return SlotRecord(slot="s", **options)


def active(version: Installed = ONE) -> SlotRecord:
    return record(phase=Phase.ACTIVE, target=version, active=version)


def on_trial(**options) -> SlotRecord:
    return record(
        phase=Phase.TRIAL, target=TWO, candidate=TWO, active=ONE,
        trial=Trial(seconds=10, messages=100, max_error_rate=0.1), **options,
    )  # fmt: skip


def answering(seconds: float, **options) -> TrialRun:
    """A run whose worker has been connected for so long."""
    return TrialRun(running_s=seconds, connected_s=seconds, **options)


def test_nothing_wanted_and_nothing_there_needs_nothing():
    assert plan(None, {}) == {}
    assert plan(DesiredState(device="d", revision=1), {}) == {}
    assert plan_slot(None, SlotSeen(record=record())) == ()


def test_before_anything_was_ever_wanted_what_is_installed_runs():
    assert plan(None, {"s": SlotSeen(record=active())}) == {"s": (Run("s", ONE),)}


def test_a_new_slot_goes_all_the_way():
    assert plan_slot(want(2), SlotSeen(record=record())) == BRING_TWO


def test_a_slot_that_is_where_it_should_be_needs_nothing():
    assert plan_slot(want(1), SlotSeen(record=active(), running=ONE)) == ()


def test_after_a_boot_what_is_active_runs_before_anything_is_fetched():
    assert plan_slot(want(2), SlotSeen(record=active())) == (Run("s", ONE), *BRING_TWO)


def test_another_configuration_is_another_version():
    other = want(1, config=SlotConfig(uplink="all"))
    steps = plan_slot(other, SlotSeen(record=active(), running=ONE))
    assert steps[0] == Begin("s", wanted_version(other))


def test_a_candidate_on_trial_is_waited_for_then_kept():
    seen = SlotSeen(record=on_trial(), running=TWO, trial=answering(1, answered=5))
    assert plan_slot(want(2), seen) == ()
    over = replace(seen, trial=answering(10, answered=5))
    assert plan_slot(want(2), over) == (Commit("s", TWO),)
    early = replace(seen, trial=answering(1, answered=100))
    assert plan_slot(want(2), early) == (Commit("s", TWO),)


def test_a_first_version_has_nothing_to_go_back_to_and_is_kept_as_soon_as_it_stays_up():
    first = replace(on_trial(), active=None)
    young = SlotSeen(record=first, running=TWO, trial=answering(1))
    assert plan_slot(want(2), young) == ()
    older = replace(young, trial=answering(3))
    assert plan_slot(want(2), older) == (Commit("s", TWO),)


def test_a_candidate_that_is_not_loaded_yet_is_never_kept():
    starting = SlotSeen(record=on_trial(), running=TWO, trial=TrialRun())
    assert plan_slot(want(2), starting) == ()
    first = replace(starting, record=replace(on_trial(), active=None))
    assert plan_slot(want(2), first) == ()


def test_a_candidate_that_crashes_or_errs_is_rolled_back():
    crashed = answering(1, crashes=1)
    erring = answering(1, answered=15, model_errors=5)
    for run, code in ((crashed, "worker_crashed"), (erring, "trial_errors")):
        (step,) = plan_slot(want(2), SlotSeen(record=on_trial(), running=TWO, trial=run))
        assert isinstance(step, RollBack)
        assert step.error is not None
        assert step.error.code == code


def test_a_candidate_under_which_the_agent_keeps_dying_is_rolled_back():
    dead = on_trial(interruptions={"trial": 3})
    (step,) = plan_slot(want(2), SlotSeen(record=dead))
    assert isinstance(step, RollBack)
    assert step.error is not None
    assert step.error.code == "agent_restarted"


def test_a_version_that_takes_the_machine_down_before_it_answers_is_given_up():
    """Proving, loading and the trial count together; what is cut off while fetching does not."""
    for interruptions in ({"prove": 3}, {"prove": 1, "switch": 2}, {"prove": 1, "trial": 2}):
        cut = record(phase=Phase.TRIAL, target=TWO, active=ONE, interruptions=interruptions)
        (step,) = plan_slot(want(2), SlotSeen(record=cut))
        assert isinstance(step, RollBack)
        other = plan_slot(want(3), SlotSeen(record=cut))
        assert other[:2] == (Run("s", ONE), Begin("s", THREE))
    fetched = record(phase=Phase.FETCHING, target=TWO, active=ONE, interruptions={"fetch": 99})
    assert plan_slot(want(2), SlotSeen(record=fetched, running=ONE)) == BRING_TWO


def test_a_first_version_that_takes_the_machine_down_is_refused_and_never_started_again():
    cut = record(phase=Phase.TRIAL, target=TWO, interruptions={"prove": 3})
    (step,) = plan_slot(want(2), SlotSeen(record=cut))
    assert isinstance(step, Reject)
    assert step.error.code == "agent_restarted"
    live = replace(cut, candidate=TWO, interruptions={"trial": 3})
    withdrawn, rejected = plan_slot(want(2), SlotSeen(record=live))
    assert withdrawn == RollBack("s", None)
    assert isinstance(rejected, Reject)


def test_a_candidate_whose_successor_is_refused_gives_way_to_what_was_committed():
    stray = replace(on_trial(), target=THREE, phase=Phase.REJECTED, error=ERROR)
    assert plan_slot(want(3), SlotSeen(record=stray, running=TWO)) == (RollBack("s", None),)
    crashed = answering(1, crashes=1)
    for phase in (Phase.FETCHING, Phase.FAILED):
        bad = SlotSeen(record=replace(stray, phase=phase), running=TWO, trial=crashed)
        assert plan_slot(want(3), bad) == (RollBack("s", None),)
        assert plan_slot(want(3), replace(bad, trial=answering(1)))[0] == Begin("s", THREE)


def test_a_candidate_runs_again_after_a_boot():
    assert plan_slot(want(2), SlotSeen(record=on_trial())) == (Run("s", TWO),)


def test_a_candidate_that_is_not_wanted_any_more_gives_way():
    seen = SlotSeen(record=on_trial(), running=TWO, trial=answering(1))
    assert plan_slot(want(1), seen) == (RollBack("s", None), Settle("s", ONE))
    assert plan_slot(want(3), seen)[0] == Begin("s", THREE)


def test_a_final_failure_is_not_tried_again_until_something_else_is_wanted():
    for phase in FINAL_FAILURES:
        failed = record(phase=phase, target=TWO, active=ONE, error=ERROR)
        assert plan_slot(want(2), SlotSeen(record=failed, running=ONE)) == ()
        assert plan_slot(want(2), SlotSeen(record=failed)) == (Run("s", ONE),)
        assert plan_slot(want(3), SlotSeen(record=failed, running=ONE))[0] == Begin("s", THREE)
        assert plan_slot(want(1), SlotSeen(record=failed, running=ONE)) == (Settle("s", ONE),)
        asked = transition.asked_again(failed, 0.0)
        assert plan_slot(want(2), SlotSeen(record=asked, running=ONE)) == BRING_TWO


def test_a_failure_is_tried_again_when_it_is_due_and_another_wish_does_not_wait():
    failed = record(phase=Phase.FAILED, target=TWO, active=ONE, error=ERROR)
    seen = SlotSeen(record=failed, running=ONE, is_retry_due=False)
    assert plan_slot(want(2), seen) == ()
    assert plan_slot(want(2), replace(seen, is_retry_due=True)) == BRING_TWO
    assert plan_slot(want(3), seen)[0] == Begin("s", THREE)


def test_damaged_files_of_what_runs_are_fetched_again():
    seen = SlotSeen(record=active(), running=ONE, is_damaged=True)
    assert plan_slot(want(1), seen)[:2] == (Begin("s", ONE), Fetch("s", ONE))
    assert plan_slot(want(1), replace(seen, is_retry_due=False)) == ()


def test_an_install_that_was_interrupted_begins_again():
    for phase in (Phase.FETCHING, Phase.VERIFIED, Phase.INSTALLED, Phase.TRIAL):
        cut = record(phase=phase, target=TWO, active=ONE)
        assert plan_slot(want(2), SlotSeen(record=cut, running=ONE)) == BRING_TWO


def test_a_slot_that_is_not_wanted_is_removed():
    assert plan_slot(None, SlotSeen(record=active(), running=ONE)) == (Remove("s"),)
    assert plan_slot(None, SlotSeen(record=record(), running=ONE)) == (Remove("s"),)


def test_a_worker_that_nothing_asks_for_is_ended():
    failed = record(phase=Phase.REJECTED, target=ONE, error=ERROR)
    assert plan_slot(want(1), SlotSeen(record=failed, running=ONE)) == (Stop("s"),)


SHADOW = replace(TWO, shadows="live")
SHADOW_WISH = want(2, mode="shadow", shadows="live")
LIVE_WISH = want(1)


def test_a_shadow_goes_all_the_way_as_any_version_does():
    assert compared(("y",), ("y",)) == (
        Begin("s", SHADOW),
        Fetch("s", SHADOW),
        Install("s", SHADOW),
        Prove("s", SHADOW),
        Switch("s", SHADOW),
    )


def test_a_version_that_is_a_shadow_and_one_that_answers_are_not_the_same():
    steps = plan_slot(want(2), SlotSeen(record=active(SHADOW), running=SHADOW))
    assert steps == BRING_TWO


def test_a_shadow_is_kept_as_soon_as_it_runs():
    trial = Trial(seconds=0, messages=0, max_error_rate=1)
    new = record(phase=Phase.TRIAL, target=SHADOW, candidate=SHADOW, trial=trial)
    seen = SlotSeen(record=new, running=SHADOW, trial=TrialRun(running_s=0.1, model_errors=50))
    assert plan_slot(SHADOW_WISH, seen) == (Commit("s", SHADOW),)


def shadows_of(**wishes: WantedSlot) -> dict[str, str]:
    """The slots that are refused, and why, of a device on which nothing is installed."""
    plans = plan(DesiredState(device="d", revision=1, slots=wishes), {})
    return {
        slot: steps[0].error.text for slot, steps in plans.items() if isinstance(steps[0], Reject)
    }


def test_a_shadow_of_what_is_not_there_is_refused_and_what_it_shadows_is_not_held_up():
    refused = shadows_of(live=LIVE_WISH, s=want(2, mode="shadow", shadows="other"))
    assert list(refused) == ["s"]
    assert "'other'" in refused["s"]
    assert "known: live" in refused["s"]


def test_a_shadow_of_a_shadow_of_itself_or_of_nothing_is_refused():
    assert list(shadows_of(live=LIVE_WISH, a=want(2, mode="shadow", shadows="live"),
                           b=want(2, mode="shadow", shadows="a"))) == ["b"]  # fmt: skip
    assert list(shadows_of(s=want(2, mode="shadow", shadows="s"))) == ["s"]
    assert list(shadows_of(s=want(2, mode="shadow"))) == ["s"]


def test_a_slot_has_one_shadow_at_most_and_none_has_topics_of_its_own():
    refused = shadows_of(
        live=LIVE_WISH,
        a=want(2, mode="shadow", shadows="live"),
        b=want(3, mode="shadow", shadows="live"),
    )
    assert list(refused) == ["a", "b"]
    config = SlotConfig(input_topic="x")
    assert list(shadows_of(live=LIVE_WISH, s=replace(SHADOW_WISH, config=config))) == ["s"]


def test_a_slot_that_answers_and_names_another_to_shadow_is_refused():
    assert list(shadows_of(live=LIVE_WISH, s=want(2, shadows="live"))) == ["s"]


def test_a_refused_shadow_is_brought_once_the_other_slots_are_as_it_needs_them():
    error = SlotError(code="shadow_misfit", text="x")
    refused = record(phase=Phase.REJECTED, target=SHADOW, error=error)
    slots = {"live": LIVE_WISH, "s": SHADOW_WISH}
    plans = plan(DesiredState(device="d", revision=2, slots=slots), {"s": SlotSeen(record=refused)})
    assert plans["s"][0] == Begin("s", SHADOW)
    alone = DesiredState(device="d", revision=3, slots={"s": SHADOW_WISH})
    assert plan(alone, {"s": SlotSeen(record=refused)}) == {}


def test_a_shadow_goes_on_when_what_it_shadows_is_taken_away():
    alone = DesiredState(device="d", revision=3, slots={"s": SHADOW_WISH})
    assert plan(alone, {"s": SlotSeen(record=active(SHADOW), running=SHADOW)}) == {}


def compared(own: tuple[str, ...] | None, live: tuple[str, ...] | None, **options):
    """The plan of a shadow beside a slot that answers, by what is known of their outputs."""
    slots = {"live": LIVE_WISH, "s": SHADOW_WISH}
    answering = wanted_version(LIVE_WISH)
    others = SlotSeen(
        record=SlotRecord(slot="live", phase=Phase.ACTIVE, target=answering, active=answering),
        running=answering,
        outputs=live,
    )
    shadow = SlotSeen(record=record(**({"target": SHADOW} | options)), outputs=own)
    desired = DesiredState(device="d", revision=2, slots=slots)
    return plan(desired, {"live": others, "s": shadow}).get("s", ())


def test_a_shadow_without_an_output_in_common_is_refused():
    (refusal,) = compared(("risk",), ("score", "label"), phase=Phase.VERIFIED)
    assert isinstance(refusal, Reject)
    assert refusal.error.code == "shadow_misfit"
    for part in ("expected an output that 'live' has, too ('score', 'label')", "found 'risk'"):
        assert part in refusal.error.text
    # It stays refused, and is not looked at again and again.
    options = {"phase": Phase.REJECTED, "error": refusal.error}
    assert compared(("risk",), ("score", "label"), **options) == ()
    assert compared(("risk",), ("risk", "label"), **options)[0] == Begin("s", SHADOW)


def test_a_shadow_is_brought_with_one_output_in_common():
    assert compared(("risk", "label"), ("score", "label"), phase=Phase.VERIFIED)[-1] == Switch(
        "s", SHADOW
    )
    # What is not known yet is no reason to refuse it.
    assert compared(("risk",), None, phase=Phase.VERIFIED)[-1] == Switch("s", SHADOW)


def test_what_a_shadow_computes_is_looked_up_before_it_is_proved():
    fetched_only = (Begin("s", SHADOW), Fetch("s", SHADOW))
    assert compared(None, ("score",)) == fetched_only
    # What is known is about another version.
    assert compared(("score",), ("score",), target=ONE) == fetched_only


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
