"""The slot beside the one that a rollout is for: whose shadow is there, on a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict
from cloud_sync.resources import Deployment, Removal
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutState, RolloutWish
from tests.support.cloud import change, cloud
from tests.support.puppets import Clock, Puppets

NAMES = tuple(f"line-{number}" for number in range(4))
SHADOWED = Policy(
    stages=("1", "100%"),
    shadow_stages=2,
    soak_s=600,
    soak_messages=0,
    gates=None,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
)
BESIDE = "probe-shadow"
R = RolloutState


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Puppets]:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        puppets = Puppets(made, clock, NAMES)
        puppets.deploy_first()
        yield puppets


def look_at(fleet: Puppets, to: str, version: int) -> None:
    """A person has a version run beside the one that answers."""
    wish = Deployment(module="probe", to=to, version=version, shadows="probe")
    fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))
    fleet.drive()


def test_a_persons_shadow_is_a_conflict_that_the_start_refuses(fleet: Puppets) -> None:
    fleet.cloud.publish(data=b"second")
    look_at(fleet, "line-2", 2)
    fleet.cloud.publish(data=b"third")
    wish = RolloutWish(module="probe", to="all", policy=SHADOWED)
    plan = fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))
    (conflict,) = plan.conflicts
    assert (conflict.device, conflict.code) == ("line-2", "shadow_taken")
    assert "probe/2" in conflict.text
    with pytest.raises(Conflict, match=r"line-2: .*probe/2") as caught:
        fleet.begin(SHADOWED)
    assert caught.value.code == "shadow_taken"
    assert "shoal remove probe-shadow --to line-2" in caught.value.hint
    removal = Removal(slot=BESIDE, to="line-2")
    fleet.cloud.parts.deployments.remove(removal, change(fleet.clock.now))
    rollout = fleet.begin(SHADOWED)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, seconds=600)


def test_without_shadow_stages_a_persons_shadow_stays(fleet: Puppets) -> None:
    fleet.cloud.publish(data=b"second")
    look_at(fleet, "line-2", 2)
    third = fleet.cloud.publish(data=b"third").module.digest
    rollout = fleet.begin(replace(SHADOWED, shadow_stages=0))
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, seconds=600)
    beside = fleet.wanted("line-2", BESIDE)
    assert beside is not None
    assert beside.version == 2
    assert fleet.running["line-2"]["probe"].running == third


def test_a_persons_shadow_that_comes_after_the_start_is_left_alone(fleet: Puppets) -> None:
    fleet.cloud.publish(data=b"second")
    fleet.cloud.publish(data=b"third")
    rollout = fleet.begin(SHADOWED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[0].state == "soaking")
    later = min(name for name, state in fleet.states(rollout).items() if state == "queued")
    look_at(fleet, later, 2)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, seconds=600)
    found = {
        one.device: one for one in fleet.cloud.parts.rollouts.query.assignments(rollout, limit=9)
    }
    assert found[later].state == "not_applicable"
    assert "probe/2" in found[later].reason
    beside = fleet.wanted(later, BESIDE)
    assert beside is not None
    assert beside.version == 2
    assert {one.state for name, one in found.items() if name != later} == {"committed"}


def test_nobody_deploys_over_the_shadow_step_of_a_rollout_at_work(fleet: Puppets) -> None:
    fleet.cloud.publish(data=b"second")
    third = fleet.cloud.publish(data=b"third").module.digest
    rollout = fleet.begin(SHADOWED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[0].state == "soaking")
    (device,) = [name for name, state in fleet.states(rollout).items() if state == "shadow"]
    with pytest.raises(Conflict, match=rollout) as caught:
        look_at(fleet, device, 2)
    assert caught.value.code == "shadow_step"
    wish = RolloutWish(module="probe", version=2, to="all", slot=BESIDE, shadows="probe")
    (unfit,) = fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now)).unfit
    assert (unfit.device, unfit.code) == (device, "shadow_step")
    assert unfit.text.startswith(f"{rollout} compares")  # its device stands beside it
    assert fleet.running[device][BESIDE].running == third
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, seconds=600)
    look_at(fleet, device, 2)
    assert BESIDE in fleet.running[device]


def test_who_takes_the_slot_takes_the_shadow_step_with_it_and_nobody_elses(
    fleet: Puppets,
) -> None:
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(SHADOWED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[0].state == "soaking")
    (device,) = [name for name, state in fleet.states(rollout).items() if state == "shadow"]
    other = next(name for name in NAMES if name != device)
    look_at(fleet, other, 2)
    fleet.cloud.publish(data=b"third")
    wish = Deployment(module="probe", to="all")
    fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))
    fleet.drive()
    assert fleet.wanted(device, BESIDE) is None
    assert fleet.wanted(other, BESIDE) is not None
