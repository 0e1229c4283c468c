"""Why devices wait, as people are told it, on a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloud_sync.resources import Deployment
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutState, RolloutWish
from tests.support.cloud import change, cloud
from tests.support.puppets import Clock, Puppets

NAMES = tuple(f"line-{number}" for number in range(8))
HOUR = 3_600.0
STAGED = Policy(
    stages=("4", "100%"),
    shadow_stages=0,
    soak_s=600,
    soak_messages=0,
    gates=None,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
)
ALL = replace(STAGED, stages=("100%",))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Puppets]:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        puppets = Puppets(made, clock, NAMES)
        puppets.deploy_first()
        made.publish(data=b"second")
        yield puppets


def codes(fleet: Puppets, rollout: str) -> dict[str, str]:
    """Device to what it waits for."""
    query = fleet.cloud.parts.rollouts.query
    found = query.assignments(rollout, limit=100, now=fleet.clock.now)
    return {one.device: one.waiting.code for one in found if one.waiting is not None}


def counted(fleet: Puppets, rollout: str) -> dict[str, int]:
    found = fleet.cloud.parts.rollouts.query.get(rollout, now=fleet.clock.now)
    return {each.code: each.devices for each in found.waits}


def lock(fleet: Puppets, name: str, until: float) -> None:
    """A program on the device puts updates off."""
    before = fleet.running[name]["probe"]
    fleet.running[name]["probe"] = replace(before, locked_until=until)
    fleet.report(name)


def test_each_device_says_what_it_waits_for_and_the_rollout_counts_them(fleet: Puppets) -> None:
    fleet.leave("line-0")
    lock(fleet, "line-1", fleet.clock.now + HOUR)
    rollout = fleet.begin(ALL)
    fleet.drive()
    assert codes(fleet, rollout) == {"line-0": "away", "line-1": "lock"}
    assert counted(fleet, rollout) == {"away": 1, "lock": 1}


def test_those_that_are_held_up_on_their_way_there_and_back_are_counted(fleet: Puppets) -> None:
    rollout = fleet.begin(ALL)
    fleet.cloud.driver.look()
    fleet.leave("line-0")
    fleet.leave("line-1")
    fleet.drive()
    assert fleet.states(rollout)["line-0"] == "offered"
    assert counted(fleet, rollout) == {"away": 2}
    fleet.order(rollout, "rollback")
    fleet.drive()
    assert fleet.states(rollout)["line-0"] == "reverting"
    assert counted(fleet, rollout) == {"away": 2}


def test_stages_that_have_not_begun_are_not_counted(fleet: Puppets) -> None:
    rollout = fleet.begin(STAGED)
    fleet.drive()
    assert list(codes(fleet, rollout).values()) == ["stage"] * 4
    assert counted(fleet, rollout) == {}


def test_a_device_that_another_rollout_goes_first_on_names_it(fleet: Puppets) -> None:
    newer = fleet.begin(replace(ALL, priority=5, windows=("daily 00:00-00:01 UTC",)))
    fleet.drive()
    older = fleet.begin(ALL)
    fleet.drive()
    query = fleet.cloud.parts.rollouts.query
    (count,) = query.get(older, now=fleet.clock.now).waits
    assert (count.code, count.devices) == ("first", len(NAMES))
    assert count.text == f"waits for {newer}, which goes first here"
    assert set(codes(fleet, newer).values()) == {"window"}
    both = query.of_slot("line-3", "probe", now=fleet.clock.now)
    assert [(each.rollout, each.state) for each in both] == [(older, "queued"), (newer, "queued")]
    assert [each.waiting.code for each in both if each.waiting] == ["first", "window"]


def test_a_slot_that_no_rollout_is_at_work_on_has_none(fleet: Puppets) -> None:
    rollout = fleet.begin(ALL)
    fleet.drive(lambda: fleet.show(rollout).summary.state is RolloutState.COMPLETED, seconds=300)
    query = fleet.cloud.parts.rollouts.query
    assert query.of_slot("line-3", "probe", now=fleet.clock.now) == ()
    assert query.of_slot("line-3", "other", now=fleet.clock.now) == ()


def test_a_slot_that_is_to_be_filled_for_the_first_time_is_explained(fleet: Puppets) -> None:
    fleet.leave("line-0")
    fleet.begin(ALL, slot="other")
    fleet.drive()
    parts, now = fleet.cloud.parts, fleet.clock.now
    (found,) = parts.rollouts.query.of_slot("line-0", "other", now=now)
    assert found.version == "probe/2"
    explained = parts.devices.explain("line-0", "other", now, is_expected=True)
    assert (explained.wanted, explained.presence) == ("", "offline")


def test_a_lock_is_shown_where_the_slot_is_explained(fleet: Puppets) -> None:
    until = fleet.clock.now + HOUR
    lock(fleet, "line-1", until)
    explain = fleet.cloud.parts.devices.explain
    found = explain("line-1", "probe", fleet.clock.now)
    # The device's own clock is not trusted, and is a moment off.
    assert found.locked_until == pytest.approx(until, abs=60)
    assert explain("line-1", "probe", until + 60).locked_until is None


def test_a_deployment_tells_a_device_that_puts_updates_off_at_once(fleet: Puppets) -> None:
    lock(fleet, "line-1", fleet.clock.now + HOUR)
    asked = Deployment(module="probe", to="line-1")
    made = fleet.cloud.parts.deployments.deploy(asked, change(fleet.clock.now))
    assert made.revisions["line-1"] > 0
    wanted = fleet.wanted("line-1")
    assert wanted is not None
    assert wanted.version == 2


def test_a_draft_is_cancelled_when_nobody_starts_it(fleet: Puppets) -> None:
    wish = RolloutWish(module="probe", to="all", policy=ALL)
    create = fleet.cloud.parts.rollouts.create
    rollout = create(wish, change(fleet.clock.now), start=False).summary
    assert rollout.deadline == fleet.clock.now + ALL.unattended_s
    fleet.clock.now += ALL.unattended_s
    fleet.cloud.driver.look()
    found = fleet.show(rollout.id).summary
    assert (found.state, found.deadline) == (RolloutState.CANCELLED, None)
    assert found.state_reason == "nobody started it in time: it waited for 30 days"
