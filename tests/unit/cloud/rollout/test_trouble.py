"""What keeps a rollout from something is told to people, and forgotten when it is over."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import update

from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutEvent, RolloutState, RolloutWish
from tests.support.cloud import change, cloud
from tests.support.letters import letter, status
from tests.support.puppets import Clock, Puppets

POLICY = Policy(
    stages=("100%",),
    shadow_stages=0,
    soak_s=3600,
    soak_messages=0,
    gates=None,
    late_joiners="include",
)
WISH = RolloutWish(module="probe", to="all", seed=7, policy=POLICY)
R = RolloutState


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Puppets]:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        yield Puppets(made, clock, ("line-1", "line-2"))


def begin(fleet: Puppets) -> str:
    fleet.cloud.publish()
    made = fleet.cloud.parts.rollouts.create(WISH, change(fleet.clock.now), start=True)
    return made.summary.id


def live(fleet: Puppets, rounds: int = 20) -> None:
    for _ in range(rounds):
        fleet.cloud.driver.look()
        fleet.answer()
        fleet.tick(10)


def told(fleet: Puppets, rollout: str) -> list[RolloutEvent]:
    """What the history says of troubles."""
    found = fleet.cloud.parts.rollouts.query.events(rollout, device="")
    return [event for event in found if event.stage is None and event.before == event.after]


def set_windows(fleet: Puppets, *windows: str) -> None:
    wish = replace(WISH, version=1, policy=replace(POLICY, windows=windows))
    with fleet.cloud.parts.database.write() as connection:
        connection.execute(
            update(rollouts).values(wish=msgspec.json.encode(wish), edition=rollouts.c.edition + 1)
        )


def test_that_late_devices_cannot_be_taken_in_is_told_once_and_until_it_is_over(
    fleet: Puppets,
) -> None:
    rollout = begin(fleet)
    fleet.cloud.parts.modules.retire("probe", 1, change(fleet.clock.now))
    fleet.cloud.ingest.write([letter(status("late"))])
    live(fleet)
    shown = fleet.show(rollout).summary
    assert shown.state is R.RUNNING
    assert "retired" in shown.trouble
    (event,) = told(fleet, rollout)
    assert (event.after, event.reason) == ("running", shown.trouble)
    fleet.cloud.parts.devices.delete("late", change(fleet.clock.now))
    live(fleet)
    assert fleet.show(rollout).summary.trouble == ""
    assert len(told(fleet, rollout)) == 2


def test_why_a_rollout_cannot_be_driven_is_told_and_it_goes_on_by_itself(fleet: Puppets) -> None:
    rollout = begin(fleet)
    live(fleet, 2)
    set_windows(fleet, "daily 01:00-02:00 Mars/Olympus")  # its time zone is not known any more
    live(fleet)
    shown = fleet.show(rollout).summary
    assert shown.state is R.RUNNING
    assert "Mars/Olympus" in shown.trouble
    (event,) = told(fleet, rollout)
    assert event.evidence["code"]
    set_windows(fleet)
    live(fleet)
    assert fleet.show(rollout).summary.trouble == ""
