"""Planning: from what is wanted and seen to steps, the same for the same, and never stuck."""

from msgspec.structs import replace

from edge_agent.contract.state import DesiredState, Phase, SlotConfig
from edge_agent.reconcile import transition
from edge_agent.reconcile.plan import (
    SlotSeen,
    plan,
    plan_slot,
    wanted_version,
)
from edge_agent.reconcile.steps import (
    Begin,
    Commit,
    Fetch,
    Reject,
    Remove,
    RollBack,
    Run,
    Settle,
    Stop,
)
from edge_agent.reconcile.trial import TrialRun
from edge_agent.store.slots import FINAL_FAILURES
from tests.support.planned import (
    BRING_TWO,
    ERROR,
    ONE,
    THREE,
    TWO,
    active,
    answering,
    on_trial,
    record,
    want,
)


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
