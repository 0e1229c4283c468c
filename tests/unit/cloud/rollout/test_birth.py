"""How rollouts come to be, and what is refused before they do, on a real database."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict, InvalidInput, NotFound
from cloud_sync.rollout_resources import (
    RolloutState,
    RolloutWish,
)
from tests.support.cloud import change
from tests.support.puppets import STAGED, Puppets

R = RolloutState


def test_a_draft_has_no_devices_until_it_starts(fleet: Puppets) -> None:
    fleet.cloud.publish()
    wish = RolloutWish(module="probe", to="all", policy=STAGED)
    made = fleet.cloud.parts.rollouts.create(wish, change(), start=False).summary
    assert (made.state, made.cohort, made.stages) == (R.DRAFT, 0, ())
    assert "start" in made.needs
    assert fleet.order(made.id, "start") is R.RUNNING
    assert fleet.show(made.id).summary.cohort == 20


def test_an_approval_is_somebody_elses(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(replace(STAGED, approval=True))
    assert fleet.show(rollout).summary.state is R.PENDING_APPROVAL
    fleet.drive()
    assert set(fleet.states(rollout).values()) == {"queued"}
    with pytest.raises(Conflict):
        fleet.order(rollout, "approve", actor="ada")
    assert fleet.order(rollout, "approve", actor="bob") is R.RUNNING
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)


def test_a_plan_says_what_would_happen_and_changes_nothing(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second!")
    fleet.leave("line-2")
    before = fleet.cloud.parts.rollouts.query.search()
    wish = RolloutWish(module="probe", to="all", policy=STAGED, seed=7)
    plan = fleet.cloud.parts.rollouts.plan(wish, change())
    assert [stage.size for stage in plan.stages] == [1, 4, 15]
    assert (plan.cohort, plan.away, plan.seed) == (20, ("line-2",), 7)
    assert plan.bytes_to_send > 20 * len(b"second!")
    assert fleet.cloud.parts.rollouts.query.search() == before
    rollout = fleet.begin(STAGED)
    found = fleet.cloud.parts.rollouts.query.assignments(rollout, stage=0)
    assert [one.device for one in found] == list(plan.stages[0].devices)


def test_what_would_do_nothing_is_refused(fleet: Puppets) -> None:
    fleet.deploy_first()
    with pytest.raises(Conflict) as caught:
        fleet.begin(STAGED)
    assert caught.value.code == "nothing_to_do"
    with pytest.raises(NotFound):
        fleet.begin(STAGED, to="site=nowhere")
    assert len(fleet.cloud.parts.rollouts.query.search()) == 1


def test_stages_that_take_in_nobody_are_refused(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    for stages in (("0",), ("0%", "0.0%")):
        policy = replace(STAGED, stages=stages)
        wish = RolloutWish(module="probe", to="all", policy=policy)
        with pytest.raises(InvalidInput, match="expected one device at least"):
            fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))
        with pytest.raises(InvalidInput, match="expected one device at least"):
            fleet.begin(policy)
