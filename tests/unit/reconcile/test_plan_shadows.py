"""Planning of shadows: brought as any version, and refused where there is nothing to compare."""

from msgspec.structs import replace

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import DesiredState, Phase, SlotConfig, SlotError, WantedSlot
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
    Install,
    Prove,
    Reject,
    Switch,
)
from edge_agent.reconcile.trial import TrialRun
from edge_agent.store.slots import SlotRecord
from tests.support.planned import (
    BRING_TWO,
    ONE,
    TWO,
    active,
    record,
    want,
)

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
