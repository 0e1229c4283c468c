"""What a person is told who looks at a rollout, and asks for what is not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.errors import NotFound
from cloud_sync.rollout_resources import RolloutWish
from tests.support.cloud import change, cloud
from tests.support.puppets import Clock, Puppets
from tests.support.rollouts import QUICK


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Puppets]:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        yield Puppets(made, clock, ["line-1", "line-2"])


def test_the_history_of_a_device_that_is_not_in_the_rollout_is_an_error(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollouts = fleet.cloud.parts.rollouts
    wish = RolloutWish(module="probe", to="line-1", policy=QUICK)
    made = rollouts.create(wish, change(fleet.clock.now), start=True).summary.id
    assert rollouts.query.events(made, device="line-1")
    for stranger in ("line-2", "lime-1"):
        with pytest.raises(NotFound, match=f"'{stranger}' is not in rollout {made}") as caught:
            rollouts.query.events(made, device=stranger)
        assert caught.value.code == "device_not_in_rollout"
        assert f"shoal rollout status {made} --devices" in caught.value.hint
