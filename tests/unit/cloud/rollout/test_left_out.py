"""Devices that a target means and that get nothing: shown from the start, counted nowhere else."""

import pytest
from msgspec.structs import replace

from cloud_sync.resources import Deployment
from cloud_sync.rollout.invariants import History, violations
from cloud_sync.rollout.store import load
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    RolloutOrder,
    RolloutState,
    RolloutWish,
)
from tests.support.cloud import change
from tests.support.letters import health, letter, reported, status
from tests.support.puppets import Puppets

NAMES = tuple(f"line-{number}" for number in range(10))
STAGED = Policy(
    stages=("1", "100%"),
    shadow_stages=0,
    soak_s=0,
    soak_messages=0,
    gates=None,
    max_in_flight="30%",
    max_in_flight_per_site="100%",
)
R = RolloutState
A = AssignmentState


def begin(
    fleet: Puppets, policy: Policy = STAGED, *, to: str = "all", module: str = "probe"
) -> str:
    wish = RolloutWish(module=module, to=to, seed=7, policy=policy)
    made = fleet.cloud.parts.rollouts.create(wish, change(fleet.clock.now), start=True)
    return made.summary.id


def deploy(fleet: Puppets, to: str) -> None:
    wish = Deployment(module="probe", to=to)
    fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))


def fill_disk(fleet: Puppets, name: str) -> None:
    full = health(name, time=fleet.clock.now, disk_low=True)
    fleet.cloud.ingest.write([letter(reported(name)), letter(full)])


def found(fleet: Puppets, rollout: str) -> dict[str, AssignmentSummary]:
    listed = fleet.cloud.parts.rollouts.query.assignments(rollout, limit=1000)
    return {one.device: one for one in listed}


def test_devices_that_have_it_or_cannot_take_it_are_told_and_belong_to_no_stage(
    fleet: Puppets,
) -> None:
    fleet.cloud.publish()
    deploy(fleet, "line-1")
    fleet.answer()
    fill_disk(fleet, "line-2")
    rollout = begin(fleet)
    told = found(fleet, rollout)
    assert (told["line-1"].state, told["line-1"].stage) == (A.ALREADY_PRESENT, None)
    assert (told["line-2"].state, told["line-2"].stage) == (A.NOT_APPLICABLE, None)
    assert "disk" in told["line-2"].reason
    shown = fleet.show(rollout).summary
    assert shown.cohort == 8
    assert [stage.size for stage in shown.stages] == [1, 7]
    assert [sum(stage.counts.values()) for stage in shown.stages] == [1, 7]
    assert shown.left_out == {"already_present": 1, "not_applicable": 1}
    (event,) = fleet.cloud.parts.rollouts.query.events(rollout, device="line-2")
    assert (event.before, event.after, event.stage) == ("", "not_applicable", None)
    assert event.evidence == {"code": "disk_short"}


def test_who_is_left_out_keeps_out_of_the_way_to_the_end(fleet: Puppets) -> None:
    fleet.cloud.publish()
    deploy(fleet, "line-1")
    fleet.answer()
    fill_disk(fleet, "line-2")
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert "1 left out" in fleet.show(rollout).summary.state_reason
    states = [one.state for one in found(fleet, rollout).values()]
    assert states.count(A.COMMITTED) == 8
    assert fleet.running["line-2"] == {}
    wish = RolloutOrder(action="rollback")
    fleet.cloud.parts.rollouts.order(rollout, wish, change(fleet.clock.now))
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    assert set(fleet.running["line-1"]) == {"probe"}
    assert found(fleet, rollout)["line-1"].state is A.ALREADY_PRESENT


def test_a_judge_that_counts_again_finds_nothing_wrong(fleet: Puppets) -> None:
    fleet.cloud.publish()
    for name in NAMES[:4]:
        fill_disk(fleet, name)
    rollout = begin(fleet, replace(STAGED, max_in_flight="50%"))
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    with fleet.cloud.parts.database.read() as connection:
        stored = load(connection, int(rollout.removeprefix("r")))
    assert stored is not None
    assert (len(stored.rollout.assignments), len(stored.rollout.left_out)) == (6, 4)
    events = fleet.cloud.parts.rollouts.query.events(rollout)
    assert violations([History(rollout=stored.rollout, events=events)], until=1e12) == ()


def test_one_that_was_asked_before_and_has_not_got_it_does_not_count_as_having_it(
    fleet: Puppets,
) -> None:
    fleet.refusing.add(fleet.cloud.publish().module.digest)
    deploy(fleet, "line-1")
    fleet.answer()
    one = found(fleet, begin(fleet))["line-1"]
    assert (one.state, one.stage) == (A.NOT_APPLICABLE, None)
    assert "asked" in one.reason


def test_devices_without_a_module_of_their_own_are_told(fleet: Puppets) -> None:
    fleet.cloud.publish("model-for-line-1")
    wish = RolloutWish(
        module="model-for-{device}", to="all", slot="probe", per_device=True, policy=STAGED
    )
    made = fleet.cloud.parts.rollouts.create(wish, change(fleet.clock.now), start=True).summary
    told = found(fleet, made.id)
    assert (told["line-2"].state, told["line-2"].module) == (A.NOT_APPLICABLE, "model-for-line-2")
    assert (told["line-2"].version, told["line-2"].digest) == (0, "")
    assert (made.cohort, made.left_out) == (1, {"not_applicable": 9})


def test_bounds_are_of_those_that_get_it(fleet: Puppets) -> None:
    fleet.cloud.publish()
    for name in NAMES[:6]:
        fill_disk(fleet, name)
    rollout = begin(fleet, replace(STAGED, stages=("100%",), max_in_flight="50%"))
    fleet.cloud.driver.look()
    states = [one.state for one in found(fleet, rollout).values()]
    assert states.count(A.OFFERED) == 2


@pytest.mark.parametrize("is_over", [False, True])
def test_a_late_device_that_cannot_take_it_is_told_once_and_holds_nothing_up(
    fleet: Puppets, is_over: bool
) -> None:
    fleet.cloud.publish()
    policy = replace(STAGED, late_joiners="include", soak_s=0 if is_over else 3600)
    rollout = begin(fleet, policy)
    if is_over:
        fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    fleet.cloud.ingest.write([letter(status("late"))])
    fill_disk(fleet, "late")
    fleet.drive(lambda: "late" in found(fleet, rollout), seconds=10)
    late = found(fleet, rollout)["late"]
    assert (late.state, late.stage) == (A.NOT_APPLICABLE, None)
    for _ in range(10):
        fleet.cloud.driver.look()
        fleet.tick(10)
    assert len(fleet.cloud.parts.rollouts.query.events(rollout, device="late")) == 1
    shown = fleet.show(rollout).summary
    assert shown.state is (R.COMPLETED if is_over else R.RUNNING)
    assert (shown.cohort, shown.left_out) == (10, {"not_applicable": 1})


def test_who_stands_behind_the_last_stage_is_not_late(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet, replace(STAGED, stages=("1", "30%"), late_joiners="include"))
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    for _ in range(10):
        fleet.cloud.driver.look()
        fleet.tick(10)
    shown = fleet.show(rollout).summary
    assert (shown.state, shown.cohort) == (R.COMPLETED, 3)
    assert shown.left_out == {"not_applicable": 7}


def test_a_service_that_begins_anew_knows_who_is_left_out(fleet: Puppets) -> None:
    fleet.cloud.publish()
    fill_disk(fleet, "line-2")
    rollout = begin(fleet, replace(STAGED, late_joiners="include"))
    fleet.cloud.driver._courses.clear()
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert found(fleet, rollout)["line-2"].state is A.NOT_APPLICABLE
    assert fleet.show(rollout).summary.cohort == 9
