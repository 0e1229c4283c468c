"""An order is obeyed in the next look, however long the rollout had nothing to do before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutOrder, RolloutState, RolloutWish, StageState
from tests.support.cloud import change, cloud
from tests.support.puppets import Clock, Puppets

POLICY = Policy(stages=("1", "100%"), shadow_stages=0, soak_s=0, soak_messages=0, gates=None)
APPROVED = Policy(
    stages=("1", "100%"), shadow_stages=0, soak_s=0, soak_messages=0, gates=None, approval=True
)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Puppets]:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        yield Puppets(made, clock, [f"line-{number}" for number in range(4)])


def begin(fleet: Puppets, policy: Policy, *, start: bool = True) -> str:
    wish = RolloutWish(module="probe", to="all", policy=policy)
    made = fleet.cloud.parts.rollouts.create(wish, change(fleet.clock.now), start=start)
    return made.summary.id


def order(fleet: Puppets, rollout: str, action: str) -> None:
    wanted = RolloutOrder(action=action)  # type: ignore[arg-type]
    fleet.cloud.parts.rollouts.order(rollout, wanted, change(fleet.clock.now, actor="bob"))


def test_a_rollout_begins_as_soon_as_it_is_approved(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet, APPROVED)
    fleet.cloud.driver.look()
    assert fleet.show(rollout).summary.state is RolloutState.PENDING_APPROVAL
    fleet.tick(1)
    order(fleet, rollout, "approve")
    fleet.cloud.driver.look()
    shown = fleet.show(rollout).summary
    assert shown.state is RolloutState.RUNNING
    assert shown.stages[0].state is StageState.FILLING
    assert fleet.answer() == 1


def test_a_draft_begins_as_soon_as_it_is_started(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet, POLICY, start=False)
    fleet.cloud.driver.look()
    fleet.tick(1)
    order(fleet, rollout, "start")
    fleet.cloud.driver.look()
    assert fleet.answer() == 1


def test_a_pause_ends_as_soon_as_somebody_says_so(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet, POLICY)
    order(fleet, rollout, "pause")
    fleet.cloud.driver.look()
    assert fleet.answer() == 0
    fleet.tick(1)
    order(fleet, rollout, "resume")
    fleet.cloud.driver.look()
    assert fleet.answer() == 1
