"""Forgetting rollouts in parts: what somebody takes back meanwhile stays whole."""

from cloud_sync.config import RetentionSettings
from cloud_sync.resources import Deployment
from cloud_sync.rollout.forgetting import BATCH_ROWS, forget
from cloud_sync.rollout_resources import RolloutOrder, RolloutState
from tests.support.cloud import NOW, Cloud, change
from tests.support.crowd import crowd
from tests.support.meanwhile import meanwhile
from tests.support.puppets import Puppets

NAMES = tuple(f"line-{number}" for number in range(3))
KEPT = RetentionSettings(rollout_rows=1)


def test_a_rollout_that_somebody_takes_back_meanwhile_stays(fleet: Puppets) -> None:
    fleet.deploy_first()
    rollouts = fleet.cloud.parts.rollouts
    fleet.cloud.publish(data=b"second")
    wish = Deployment(module="probe", to="all")
    fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))
    fleet.drive(lambda: fleet.show("r2").summary.state is RolloutState.COMPLETED)
    newest = Deployment(module="probe", slot="other", to=NAMES[0])
    fleet.cloud.parts.deployments.deploy(newest, change(fleet.clock.now))
    back = RolloutOrder(action="rollback")
    database = fleet.cloud.parts.database
    assert forget(database, RetentionSettings(rollout_rows=4), fleet.clock.now) == 1
    events = rollouts.query.events("r2")
    meanwhile(database, lambda: rollouts.order("r2", back, change(fleet.clock.now)))
    assert forget(database, KEPT, fleet.clock.now) == 0
    assert [one.device for one in rollouts.query.assignments("r2")] == list(NAMES)
    assert rollouts.query.events("r2")[: len(events)] == events
    fleet.drive(lambda: fleet.show("r2").summary.state is RolloutState.ROLLED_BACK)


def test_a_history_of_many_parts_goes_with_its_rollout(parts_of_cloud: Cloud) -> None:
    made = parts_of_cloud
    crowd(made, [f"device-{number}" for number in range(BATCH_ROWS // 2)])
    for data in (b"first", b"second"):
        made.publish(data=data)
        made.parts.deployments.deploy(Deployment(module="probe", to="all"), change())
    made.driver.look()
    query = made.parts.rollouts.query
    assert query.get("r1").summary.state is RolloutState.SUPERSEDED
    assert forget(made.parts.database, KEPT, NOW) == 1
    assert [one.id for one in query.search()] == ["r2"]
    assert len(query.assignments("r2", limit=BATCH_ROWS)) == BATCH_ROWS // 2
