"""A lock puts off what begins a version, and nothing that keeps a slot running."""

from msgspec.structs import replace

from edge_agent.contract.state import UPDATE_LOCKED, DesiredState, Phase, SlotError, WantedSlot
from edge_agent.reconcile import transition
from edge_agent.reconcile.locking import LockSeen
from edge_agent.reconcile.plan import SlotSeen, plan, wanted_version
from edge_agent.reconcile.steps import Begin, Commit, PutOff, Remove, RollBack, Run
from edge_agent.reconcile.trial import TrialRun
from edge_agent.store.slots import Installed, SlotRecord

UNTIL = 1_800_000_600.0
LOCKED = {"s": LockSeen(until=UNTIL, reason="a cut is being made")}


def want(version: int) -> WantedSlot:
    return WantedSlot(module="m", version=version, digest=f"sha256:{version:064x}")


ONE, TWO = wanted_version(want(1)), wanted_version(want(2))
ACTIVE = SlotRecord(slot="s", phase=Phase.ACTIVE, target=ONE, active=ONE)
RUNNING = SlotSeen(record=ACTIVE, running=ONE)


def steps(seen: SlotSeen, locks: dict[str, LockSeen] = LOCKED, version: int = 2):
    desired = DesiredState(device="d", revision=1, slots={"s": want(version)} if version else {})
    return plan(desired, {"s": seen}, locks).get("s", ())


def put_off(until: float = UNTIL, target: Installed = TWO, before: SlotRecord = ACTIVE):
    return transition.put_off(before, target, until, "why", UNTIL - 600)


def test_an_update_is_noted_as_put_off_once_and_begins_when_the_lock_is_gone():
    assert steps(RUNNING) == (PutOff("s", TWO, UNTIL, "a cut is being made"),)
    noted = replace(RUNNING, record=put_off())
    assert steps(noted) == ()
    assert steps(noted, {})[0] == Begin("s", TWO)


def test_a_renewed_lock_is_noted_only_when_it_is_worth_it():
    noted = replace(RUNNING, record=put_off())
    assert steps(noted, {"s": LockSeen(until=UNTIL + 10)}) == ()
    assert steps(noted, {"s": LockSeen(until=UNTIL + 60)}) == (PutOff("s", TWO, UNTIL + 60, ""),)


def test_another_version_that_is_wanted_meanwhile_is_put_off_instead():
    noted = replace(RUNNING, record=put_off())
    three = wanted_version(want(3))
    assert steps(noted, version=3) == (PutOff("s", three, UNTIL, "a cut is being made"),)


def test_what_runs_is_kept_running_under_a_lock():
    down = SlotSeen(record=ACTIVE)
    assert steps(down, version=1) == (Run("s", ONE),)
    assert steps(down)[0] == Run("s", ONE)
    assert isinstance(steps(down)[1], PutOff)


def test_a_trial_ends_and_a_bad_version_is_taken_back_under_a_lock():
    record = SlotRecord(slot="s", phase=Phase.TRIAL, target=TWO, candidate=TWO, active=ONE)
    passed = TrialRun(running_s=60.0, connected_s=60.0, answered=100)
    on_trial = SlotSeen(record=record, running=TWO, trial=passed)
    assert steps(on_trial) == steps(on_trial, {})
    assert any(isinstance(step, Commit) for step in steps(on_trial))
    bad = replace(on_trial, trial=TrialRun(running_s=1.0, crashes=1))
    assert steps(bad) == steps(bad, {})
    assert not any(isinstance(step, PutOff) for step in steps(bad))
    stray = replace(record, target=wanted_version(want(3)), phase=Phase.REJECTED)
    assert isinstance(steps(SlotSeen(record=stray, running=TWO), version=3)[0], RollBack)


def test_a_slot_that_is_not_wanted_any_more_is_removed_under_a_lock():
    assert steps(RUNNING, version=0) == (Remove("s"),)


def test_a_put_off_update_says_why_since_when_and_until_when():
    record = put_off()
    assert record.phase is Phase.FETCHING
    assert record.next_retry == UNTIL
    assert record.put_off_since == UNTIL - 600
    assert record.step == ""
    assert record.is_put_off
    assert record.error == SlotError(
        code=UPDATE_LOCKED, text="a program on this device asked for no update now: why"
    )
    assert record.serving == ONE


def test_the_time_that_an_update_was_put_off_counts_on_until_something_else_is_wanted():
    first = put_off()
    begun = transition.begun(first, TWO, UNTIL)
    assert not begun.is_put_off
    assert begun.next_retry is None
    again = transition.put_off(begun, TWO, UNTIL + 900, "", UNTIL + 300)
    assert again.put_off_since == first.put_off_since
    other = transition.begun(again, wanted_version(want(3)), UNTIL)
    assert other.put_off_since is None
    assert transition.settled(again, UNTIL).put_off_since is None


def test_what_was_put_off_loses_no_count_of_its_failures():
    failed = replace(ACTIVE, phase=Phase.FAILED, target=TWO, attempts=3, next_retry=1.0)
    assert put_off(before=failed).attempts == 3
