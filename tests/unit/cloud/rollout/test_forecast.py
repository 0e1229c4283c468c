"""A plan counts what a rollout would do to the devices that it would reach, and nothing else."""

import pytest
from msgspec.structs import replace

from cloud_sync.resources import Deployment
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutPlan, RolloutWish
from tests.support.cloud import change
from tests.support.letters import health, letter, reported
from tests.support.puppets import Puppets

NAMES = tuple(f"line-{number}" for number in range(10))
STAGED = Policy(
    stages=("1", "30%"),
    shadow_stages=0,
    soak_s=60,
    soak_messages=0,
    gates=None,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
)


def plan(fleet: Puppets, policy: Policy = STAGED) -> RolloutPlan:
    wish = RolloutWish(module="probe", to="all", policy=policy, seed=7)
    return fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))


def test_bytes_are_those_of_the_devices_in_its_stages(fleet: Puppets) -> None:
    fleet.cloud.publish()
    part, whole = plan(fleet), plan(fleet, replace(STAGED, stages=("100%",)))
    assert (part.cohort, whole.cohort) == (3, 10)
    assert part.bytes_to_send * 10 == whole.bytes_to_send * 3 > 0


def test_devices_behind_the_last_stage_are_named(fleet: Puppets) -> None:
    fleet.cloud.publish()
    part = plan(fleet)
    reached = {device for stage in part.stages for device in stage.devices}
    assert part.rest == tuple(sorted(set(NAMES) - reached))
    assert plan(fleet, replace(STAGED, stages=("100%",))).rest == ()


def test_a_conflict_is_told_once_and_only_of_devices_that_would_be_reached(
    fleet: Puppets,
) -> None:
    fleet.deploy_first()
    for data in (b"second", b"third"):  # both are at work on every device
        fleet.cloud.publish(data=data)
        fleet.begin(replace(STAGED, stages=("100%",), soak_s=3600))
        fleet.clock.now += 1
        fleet.drive()
    fleet.cloud.publish(data=b"fourth")
    part = plan(fleet)
    reached = sorted(device for stage in part.stages for device in stage.devices)
    assert [one.device for one in part.conflicts] == reached


def test_who_has_it_and_who_was_asked_for_it_are_told_apart(fleet: Puppets) -> None:
    fleet.cloud.publish()
    fleet.silent.add("line-2")
    wish = Deployment(module="probe", to="line-1 or line-2")
    fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))
    fleet.answer()
    found = plan(fleet)
    assert (found.already, found.asked_already) == (("line-1",), ("line-2",))


def test_the_time_is_the_least_and_what_it_takes_for_granted_is_said(fleet: Puppets) -> None:
    fleet.cloud.publish()
    found = plan(fleet)
    # Two soaks of a minute and two trials of at most ten seconds each, and a moment to spread.
    assert 2 * 60 + 2 * 10 <= found.expected_s < 2 * 60 + 2 * 10 + 1
    assert not any("away" in text for text in found.assumptions)
    fleet.leave(found.stages[0].devices[0])
    assert any("away" in text for text in plan(fleet).assumptions)
    one_by_one = plan(fleet, replace(STAGED, max_in_flight="1"))
    assert one_by_one.expected_s == pytest.approx(2 * 60 + 3 * 10)


def test_a_device_that_cannot_take_it_is_in_no_stage(fleet: Puppets) -> None:
    fleet.cloud.publish()
    full = health("line-3", time=fleet.clock.now, disk_low=True)
    fleet.cloud.ingest.write([letter(reported("line-3")), letter(full)])
    found = plan(fleet, replace(STAGED, stages=("100%",)))
    assert found.cohort == 9
    assert {one.device for one in found.unfit} == {"line-3"}
