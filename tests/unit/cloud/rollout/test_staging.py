"""Stages: shadows first, windows, and how they stop."""

from msgspec.structs import replace

from cloud_sync.rollout.decisions import Judged, MoveRollout, MoveStage, Offer
from cloud_sync.rollout.evolve import evolve
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from edge_agent.contract.state import Phase
from tests.support.rollouts import (
    NEW,
    OLD,
    OLD_SLOT,
    QUICK,
    Fleet,
    candidates,
    messages,
    reported,
    rollout_of,
)

A = AssignmentState
R = RolloutState
S = StageState
SHADOWED = replace(QUICK, stages=("50%", "100%"), shadow_stages=1, max_in_flight="100%")


def offered(fleet: Fleet) -> list[str]:
    return [d.mode for d in fleet.drive() if isinstance(d, Offer)]


def test_the_first_stage_runs_the_version_as_a_shadow_before_it_answers() -> None:
    fleet = Fleet(rollout_of(candidates(4), SHADOWED)).start()
    assert [fleet.of(d).mode for d in fleet.those(A.OFFERED)] == ["shadow"] * 2
    fleet.obey()
    assert offered(fleet) == ["run"] * 2
    steps = [
        (str(d.state), d.step) for d in fleet.decided if isinstance(d, MoveStage) and d.stage == 0
    ]
    assert steps == [
        ("filling", "shadow"),
        ("soaking", None),
        ("judging", None),
        ("filling", "run"),
    ]
    fleet.obey()
    assert offered(fleet) == ["run"] * 2
    assert fleet.rollout.stages[1].step == "run"
    assert fleet.finish() is R.COMPLETED


def test_a_shadow_is_not_in_flight() -> None:
    policy = replace(SHADOWED, stages=("100%",), max_in_flight="1")
    fleet = Fleet(rollout_of(candidates(3), policy)).start()
    fleet.obey()
    fleet.drive()
    assert fleet.states() == {A.SHADOW: 1, A.OFFERED: 1, A.QUEUED: 1}


def test_devices_that_run_nothing_yet_have_nothing_to_shadow() -> None:
    some = [
        *candidates(3),
        *[replace(one, device=f"n{one.device}", previous=None) for one in candidates(3)],
    ]
    fleet = Fleet(rollout_of(some, replace(SHADOWED, stages=("100%",)))).start()
    assert sorted(fleet.those(A.OFFERED)) == ["d0", "d1", "d2"]
    fleet.obey()
    assert offered(fleet) == ["run"] * 6


def test_a_stage_where_nobody_runs_anything_has_no_shadow_step() -> None:
    fleet = Fleet(rollout_of(candidates(4, previous=None), SHADOWED)).start()
    assert [fleet.of(d).mode for d in fleet.those(A.OFFERED)] == ["run"] * 2


def test_what_fails_as_a_shadow_never_answers() -> None:
    fleet = Fleet(rollout_of(candidates(4), replace(SHADOWED, on_error="rollback"))).start()
    for device in fleet.those(A.OFFERED):
        fleet.report(
            device,
            reported(OLD),
            shadow=reported("", Phase.ROLLED_BACK, wanted=NEW, code="golden_mismatch"),
        )
    fleet.drive()
    assert fleet.finish() is R.ROLLED_BACK
    assert all(d.mode == "shadow" for d in fleet.decided if isinstance(d, Offer))
    (why,) = [
        d.reason for d in fleet.decided if isinstance(d, MoveRollout) and d.state is R.ROLLING_BACK
    ]
    assert why.startswith("stage 1 failed: ")


def test_a_rollback_takes_shadows_away() -> None:
    fleet = Fleet(rollout_of(candidates(4), replace(SHADOWED, soak_s=100))).start()
    fleet.obey()
    fleet.drive()
    assert fleet.states() == {A.SHADOW: 2, A.QUEUED: 2}
    fleet.order("rollback")
    fleet.drive()
    (device, _) = fleet.those(A.REVERTING)
    fleet.report(device, reported(OLD), shadow=reported(NEW, shadows="pump"))
    fleet.drive()
    assert fleet.state(device) is A.REVERTING
    fleet.obey()
    fleet.drive()
    assert fleet.rollout.state is R.ROLLED_BACK


def test_an_abort_leaves_no_shadow_behind() -> None:
    fleet = Fleet(rollout_of(candidates(4), replace(SHADOWED, soak_s=100))).start()
    fleet.obey()
    fleet.drive()
    fleet.order("abort")
    fleet.drive()
    assert fleet.states() == {A.REVERTING: 2, A.EXPIRED: 2}
    fleet.obey()
    fleet.drive()
    assert fleet.states() == {A.ROLLED_BACK: 2, A.EXPIRED: 2}


def test_a_shadow_that_is_gone_is_put_back() -> None:
    fleet = Fleet(rollout_of(candidates(4), replace(SHADOWED, soak_s=1000))).start()
    fleet.obey()
    fleet.drive()
    device = fleet.those(A.SHADOW)[0]
    fleet.now += 10
    fleet.report(device, reported(OLD))
    fleet.drive()
    assert fleet.state(device) is A.QUEUED
    fleet.wait(60)
    assert (fleet.state(device), fleet.of(device).mode) == (A.OFFERED, "shadow")


def test_nothing_is_offered_outside_the_maintenance_window() -> None:
    fleet = Fleet(rollout_of(candidates(4)))
    fleet.opens_at = 1000.0
    fleet.start()
    assert fleet.states() == {A.QUEUED: 4}
    fleet.opens_at = None
    fleet.wait(1000)
    assert fleet.states() == {A.QUEUED: 3, A.OFFERED: 1}


def test_a_failed_device_goes_back_outside_the_window_too() -> None:
    fleet = Fleet(rollout_of(candidates(4))).start()
    (device,) = fleet.those(A.OFFERED)
    fleet.opens_at = 1000.0
    fleet.roll_back(device)
    fleet.drive()
    assert not fleet.of(device).is_wanted


def test_a_stage_fails_before_it_is_full() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="50%")
    fleet = Fleet(rollout_of(candidates(40), policy)).start()
    fleet.roll_back(*fleet.those(A.OFFERED))
    assert not [d for d in fleet.drive() if isinstance(d, Offer)]
    assert fleet.rollout.state is R.PAUSED
    assert fleet.rollout.stages[0].state is S.FAILED
    assert not fleet.rollout.stages[0].is_full


def test_a_stage_that_was_stopped_while_it_filled_goes_on_filling_when_it_has_not_failed() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="50%", gates=None)
    fleet = Fleet(rollout_of(candidates(4), policy)).start()
    fleet.wait(fleet.rollout.stages[0].deadline or 0)
    stage = fleet.rollout.stages[0]
    assert (stage.state, fleet.rollout.state) == (S.INCONCLUSIVE, R.PAUSED)
    fleet.order("resume")
    fleet.drive()
    assert fleet.rollout.stages[0].state is S.FILLING


def test_too_many_away_make_a_stage_inconclusive() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="100%", judge_s=1000)
    fleet = Fleet(rollout_of(candidates(10), policy))
    fleet.leave("d1", "d2", "d3")
    fleet.start()
    fleet.obey()
    fleet.drive()
    fleet.wait(86_400)
    fleet.wait(1000)
    assert fleet.rollout.stages[0].state is S.INCONCLUSIVE
    assert "away" in fleet.rollout.state_reason


def test_a_verdict_that_changes_nothing_is_shown_once() -> None:
    policy = replace(QUICK, stages=("100%",), max_in_flight="100%", soak_messages=10)
    fleet = Fleet(rollout_of(candidates(3, previous=OLD_SLOT), policy)).start()
    fleet.evidence = messages(3)
    fleet.obey()
    shown = [d for d in fleet.drive() if isinstance(d, Judged)]
    assert [d.verdict.text for d in shown] == ["3 inferences seen, 10 are needed"]
    assert fleet.drive() == []


def test_measurements_of_one_stage_say_nothing_about_the_next() -> None:
    fleet = Fleet(rollout_of(candidates(20), replace(QUICK, soak_messages=10))).start()
    fleet.evidence = messages(10)
    fleet.obey()
    first = plan(fleet.rollout, fleet.world(), fleet.now)
    fleet.rollout = evolve(fleet.rollout, first, fleet.now)
    second = plan(fleet.rollout, fleet.world(), fleet.now)
    after = evolve(fleet.rollout, second, fleet.now)
    assert [str(stage.state) for stage in after.stages[:2]] == ["passed", "filling"]
    assert after.stages[1].verdict is None
