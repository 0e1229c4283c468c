"""Rollouts driven from reports to desired states, on a real database."""

import pytest
from msgspec.structs import replace
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from cloud_sync.config import RetentionSettings
from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.errors import Conflict
from cloud_sync.resources import Deployment, TagChange
from cloud_sync.rollout.drive import Driver
from cloud_sync.rollout.forgetting import DAY_S, forget
from cloud_sync.rollout_resources import (
    RolloutState,
    StageState,
)
from tests.support.cloud import change
from tests.support.letters import letter, status
from tests.support.puppets import NAMES, STAGED, Puppets

R = RolloutState


def test_a_version_goes_through_the_stages_to_every_device(fleet: Puppets) -> None:
    fleet.deploy_first()
    digest = fleet.cloud.publish(data=b"second").module.digest
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert {slots["probe"].running for slots in fleet.running.values()} == {digest}
    shown = fleet.show(rollout).summary
    assert [(stage.size, stage.state) for stage in shown.stages] == [
        (1, "passed"),
        (4, "passed"),
        (15, "passed"),
    ]
    assert [stage.counts for stage in shown.stages] == [
        {"committed": 1},
        {"committed": 4},
        {"committed": 15},
    ]
    slot = fleet.wanted("line-3")
    assert slot is not None
    assert slot.rollout == rollout
    assert shown.cohort == 20


def test_every_transition_is_told_with_actor_reason_and_order(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    found = fleet.cloud.parts.rollouts.query.events(rollout)
    of_rollout = [(e.before, e.after, e.actor) for e in found if e.stage is None]
    assert of_rollout == [
        ("", "draft", "ada"),
        ("draft", "ready", "ada"),
        ("ready", "running", "ada"),
        ("running", "completed", "cloud-sync"),
    ]
    own = [(e.before, e.after) for e in found if e.device == "line-5"]
    assert own == [("", "queued"), ("queued", "offered"), ("offered", "committed")]
    assert all(event.reason for event in found)
    offers = [event for event in found if event.after == "offered"]
    assert all(int(event.evidence["revision"]) > 0 for event in offers)
    times = [event.time for event in found]
    assert times == sorted(times)
    assert found == sorted(found, key=lambda event: event.id)


def test_never_more_devices_are_on_their_way_than_the_bound(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(replace(STAGED, stages=("100%",)))
    most = 0

    def look() -> None:
        nonlocal most
        fleet.cloud.driver.look()
        most = max(most, sum(state == "offered" for state in fleet.states(rollout).values()))

    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, look=look)
    assert most == 4


def test_a_deployment_is_a_rollout_of_one_stage(fleet: Puppets) -> None:
    fleet.cloud.publish()
    wish = Deployment(module="probe", to="all", reason="monday")
    result = fleet.cloud.parts.deployments.deploy(wish, change())
    assert result.revisions == dict.fromkeys(sorted(NAMES), 1)
    shown = fleet.show(result.rollout).summary
    assert (shown.state, shown.reason, len(shown.stages)) == (R.RUNNING, "monday", 1)
    fleet.drive()
    assert fleet.show(result.rollout).summary.state is R.COMPLETED
    again = fleet.cloud.parts.deployments.deploy(wish, change())
    assert (again.rollout, len(again.unchanged)) == ("", 20)


def test_a_version_that_devices_refuse_stops_at_the_first_stage(fleet: Puppets) -> None:
    first = fleet.deploy_first()
    fleet.refusing.add(fleet.cloud.publish(data=b"bad").module.digest)
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.PAUSED)
    fleet.drive()
    shown = fleet.show(rollout).summary
    assert shown.stages[0].state == "failed"
    assert shown.stages[0].verdict is not None
    assert "resume" in shown.needs
    assert sorted(fleet.states(rollout).values()) == ["queued"] * 19 + ["rejected"]
    # The device went back by itself, and what it should run follows it.
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}
    assert all((slot := fleet.wanted(name)) and slot.digest == first for name in NAMES)


def test_a_pause_stops_offers_at_once_and_a_resume_goes_on(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "filling")
    assert fleet.order(rollout, "pause") is R.PAUSED
    before = sum(state == "queued" for state in fleet.states(rollout).values())
    fleet.drive()
    assert sum(state == "queued" for state in fleet.states(rollout).values()) == before
    with pytest.raises(Conflict):
        fleet.order(rollout, "pause")
    assert fleet.order(rollout, "resume") is R.RUNNING
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)


def test_a_version_runs_as_a_shadow_before_it_answers(fleet: Puppets) -> None:
    first = fleet.deploy_first()
    second = fleet.cloud.publish(data=b"second").module.digest
    policy = replace(STAGED, shadow_stages=1, soak_s=10)
    rollout = fleet.begin(policy)
    fleet.drive(lambda: "shadow" in fleet.states(rollout).values())
    (device,) = [name for name, state in fleet.states(rollout).items() if state == "shadow"]
    assert fleet.running[device]["probe"].running == first
    assert fleet.running[device]["probe-shadow"].running == second
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert set(fleet.running[device]) == {"probe"}
    assert {slots["probe"].running for slots in fleet.running.values()} == {second}


def test_a_device_that_is_away_gets_it_when_it_is_back(fleet: Puppets) -> None:
    fleet.cloud.publish()
    fleet.leave("line-7")
    rollout = fleet.begin(replace(STAGED, offline_after_s=60.0))
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED_DEGRADED, seconds=20)
    assert fleet.states(rollout)["line-7"] == "queued"
    fleet.come_back("line-7")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert "probe" in fleet.running["line-7"]


def test_a_device_that_is_deleted_holds_nothing_up(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(STAGED)
    fleet.leave("line-7")
    fleet.cloud.parts.devices.delete("line-7", change())
    fleet.drive(lambda: fleet.show(rollout).summary.state.startswith("completed"), seconds=20)
    assert fleet.states(rollout)["line-7"] == "expired"


def test_a_device_that_comes_to_match_joins(fleet: Puppets) -> None:
    fleet.cloud.publish()
    for name in NAMES[:5]:
        fleet.cloud.parts.devices.tag(name, TagChange(set={"site": "oslo"}), change())
    policy = replace(STAGED, late_joiners="include")
    rollout = fleet.begin(policy, to="site=oslo")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    fleet.cloud.parts.devices.tag("line-19", TagChange(set={"site": "oslo"}), change())
    fleet.drive(lambda: "probe" in fleet.running["line-19"], seconds=10)
    assert set(fleet.running["line-18"]) == set()


def test_a_device_that_runs_something_else_later_is_brought_back(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    digest = fleet.running["line-4"]["probe"].running
    fleet.running["line-4"] = {}
    fleet.report("line-4")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.RUNNING)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert fleet.running["line-4"]["probe"].running == digest
    own = fleet.cloud.parts.rollouts.query.events(rollout, device="line-4")
    after = [event.after for event in own]
    assert after[:4] == ["queued", "offered", "committed", "queued"]
    assert after[-1] == "committed"


def test_reports_that_say_what_is_known_make_no_rounds_of_what_is_over(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    fleet.drive()
    for name in NAMES:
        fleet.report(name)
    fleet.cloud.driver.look()
    with fleet.cloud.parts.database.read() as connection:
        query = select(rollout_assignments.c.device).where(rollout_assignments.c.has_news)
        assert list(connection.scalars(query)) == []
    assert len(fleet.cloud.driver._courses) == 0


def test_a_driver_that_begins_anew_at_every_round_comes_to_the_same_end(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(STAGED)

    def look() -> None:
        database, publisher = fleet.cloud.parts.database, fleet.cloud.publisher
        # A lease of one that died is respected until it ends.
        fleet.clock.now += 60
        Driver(database, publisher, clock=fleet.clock).look()

    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, look=look)
    assert set(fleet.states(rollout).values()) == {"committed"}


def test_two_drivers_take_turns(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = fleet.begin(STAGED)
    other = Driver(fleet.cloud.parts.database, fleet.cloud.publisher, clock=fleet.clock)

    def look() -> None:
        fleet.cloud.driver.look()
        other.look()

    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, look=look)
    own = fleet.cloud.parts.rollouts.query.events(rollout, device="line-2")
    assert [event.after for event in own] == ["queued", "offered", "committed"]


def test_the_database_lets_no_two_rollouts_work_on_one_slot(fleet: Puppets) -> None:
    fleet.cloud.publish()
    fleet.begin(replace(STAGED, stages=("100%",), max_in_flight="100%"))
    fleet.cloud.driver.look()
    with fleet.cloud.parts.database.write() as connection:
        row = connection.execute(select(rollout_assignments).limit(1)).one()._asdict()
        head = connection.execute(select(rollouts)).one()._asdict()
        connection.execute(insert(rollouts).values(**head | {"id": 99}))
        second = insert(rollout_assignments).values(**row | {"rollout": 99})
        with pytest.raises(IntegrityError):
            connection.execute(second)


def test_old_rollouts_are_forgotten_and_the_newest_never(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(STAGED)
    database = fleet.cloud.parts.database
    kept = RetentionSettings(rollout_rows=30)
    query = fleet.cloud.parts.rollouts.query
    assert forget(database, kept, fleet.clock.now) == 1
    assert [found.id for found in query.search()] == [rollout]
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    later = fleet.clock.now + 400 * DAY_S
    assert forget(database, RetentionSettings(), later) == 0
    assert [found.id for found in query.search()] == [rollout]
    assert query.events(rollout) == []
    third = fleet.begin(STAGED, module="probe", slot="second")
    forget(database, RetentionSettings(), later)
    assert [found.id for found in query.search()] == [third]
    fleet.cloud.driver.look()
    forget(database, RetentionSettings(rollout_events_rows=2), fleet.clock.now)
    assert len(query.events(third)) == 2


def test_rollouts_are_found_by_state_and_module(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(STAGED)
    query = fleet.cloud.parts.rollouts.query
    assert [found.id for found in query.search()] == [rollout, "r1"]
    assert [found.id for found in query.search(states=[R.RUNNING])] == [rollout]
    assert [found.id for found in query.search(module="pro*", limit=1)] == [rollout]
    assert query.search(module="other") == []
    overview = query.events(rollout, device="")
    assert all(event.device == "" for event in overview)
    later = query.events(rollout, after_id=overview[0].id, limit=1)
    assert later[0].id > overview[0].id


def test_a_version_that_was_retired_takes_in_nobody_and_its_rollout_goes_on(
    fleet: Puppets,
) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(replace(STAGED, late_joiners="include"))
    fleet.cloud.parts.modules.retire("probe", 2, change(fleet.clock.now))
    fleet.cloud.ingest.write([letter(status("late"))])
    fleet.drive(lambda: fleet.show(rollout).summary.stages[0].state is StageState.PASSED)
    assert "late" not in fleet.states(rollout)


TOLERANT = replace(
    STAGED, stages=("100%",), min_success=0.4, max_failure=0.6, soak_s=60, max_in_flight="100%"
)


def test_devices_that_have_failed_are_not_taken_for_away_after_an_order(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    fleet.stubborn = set(NAMES[:8])
    rollout = fleet.begin(TOLERANT)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[0].state == "soaking")
    assert fleet.order(rollout, "pause") is R.PAUSED
    assert fleet.order(rollout, "resume") is R.RUNNING
    fleet.drive(lambda: fleet.show(rollout).summary.state in (R.COMPLETED_DEGRADED, R.PAUSED))
    shown = fleet.show(rollout).summary
    assert shown.state is R.COMPLETED_DEGRADED, shown.state_reason
    verdict = shown.stages[0].verdict
    assert verdict is not None
    assert {f.gate: f.text for f in verdict.findings}["offline"] == "0 of 20 devices are away"
