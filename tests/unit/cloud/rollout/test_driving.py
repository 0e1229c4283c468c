"""Rollouts driven from reports to desired states, on a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from cloud_sync.config import RetentionSettings
from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.errors import Conflict, InvalidInput, NotFound
from cloud_sync.fleet.desired import read_desired
from cloud_sync.resources import Deployment, Removal, TagChange
from cloud_sync.rollout.drive import Driver
from cloud_sync.rollout.forgetting import DAY_S, forget
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutOrder,
    RolloutState,
    RolloutWish,
    StageState,
)
from edge_agent.contract.state import Phase, SlotConfig, WantedSlot
from tests.support.cloud import change, cloud
from tests.support.letters import letter, status
from tests.support.puppets import Clock, Puppets

NAMES = tuple(f"line-{number}" for number in range(20))
STAGED = Policy(
    stages=("1", "25%", "100%"),
    shadow_stages=0,
    soak_s=0,
    soak_messages=0,
    gates=None,
    max_in_flight="20%",
    max_in_flight_per_site="100%",
)
R = RolloutState
A = AssignmentState


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Puppets]:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        yield Puppets(made, clock, NAMES)


def begin(fleet: Puppets, *, policy: Policy = STAGED, **wish: object) -> str:
    """Start a rollout of the newest version; its id."""
    asked = RolloutWish(**{"module": "probe", "to": "all", "seed": 7} | wish, policy=policy)  # type: ignore[arg-type]
    made = fleet.cloud.parts.rollouts.create(asked, change(fleet.clock.now), start=True)
    return made.summary.id


def order(fleet: Puppets, rollout: str, action: str, actor: str = "bob") -> RolloutState:
    wanted = RolloutOrder(action=action)  # type: ignore[arg-type]
    who = change(fleet.clock.now, actor=actor)
    return fleet.cloud.parts.rollouts.order(rollout, wanted, who).summary.state


def states(fleet: Puppets, rollout: str) -> dict[str, str]:
    found = fleet.cloud.parts.rollouts.query.assignments(rollout, limit=1000)
    return {one.device: one.state.value for one in found}


def wanted(fleet: Puppets, device: str, slot: str = "probe") -> WantedSlot | None:
    with fleet.cloud.parts.database.read() as connection:
        return read_desired(connection, device).slots.get(slot)


def test_a_version_goes_through_the_stages_to_every_device(fleet: Puppets) -> None:
    fleet.deploy_first()
    digest = fleet.cloud.publish(data=b"second").module.digest
    rollout = begin(fleet)
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
    slot = wanted(fleet, "line-3")
    assert slot is not None
    assert slot.rollout == rollout
    assert shown.cohort == 20


def test_every_transition_is_told_with_actor_reason_and_order(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet)
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
    rollout = begin(fleet, policy=replace(STAGED, stages=("100%",)))
    most = 0

    def look() -> None:
        nonlocal most
        fleet.cloud.driver.look()
        most = max(most, sum(state == "offered" for state in states(fleet, rollout).values()))

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
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.PAUSED)
    fleet.drive()
    shown = fleet.show(rollout).summary
    assert shown.stages[0].state == "failed"
    assert shown.stages[0].verdict is not None
    assert "resume" in shown.needs
    assert sorted(states(fleet, rollout).values()) == ["queued"] * 19 + ["rejected"]
    # The device went back by itself, and what it should run follows it.
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}
    assert all((slot := wanted(fleet, name)) and slot.digest == first for name in NAMES)


def test_a_rollback_takes_every_changed_device_back_with_its_config(fleet: Puppets) -> None:
    config = SlotConfig(uplink="all")
    first = fleet.deploy_first(config=config)
    fleet.cloud.publish(data=b"second")
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "passed")
    assert order(fleet, rollout, "rollback") is R.ROLLING_BACK
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}
    assert all((slot := wanted(fleet, name)) and slot.config == config for name in NAMES)
    revisions = {
        event.device: int(event.evidence["revision"])
        for event in fleet.cloud.parts.rollouts.query.events(rollout)
        if event.after == "reverting"
    }
    assert 5 <= len(revisions) <= 9
    assert all(revision >= 3 for revision in revisions.values())


def test_a_pause_stops_offers_at_once_and_a_resume_goes_on(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "filling")
    assert order(fleet, rollout, "pause") is R.PAUSED
    before = sum(state == "queued" for state in states(fleet, rollout).values())
    fleet.drive()
    assert sum(state == "queued" for state in states(fleet, rollout).values()) == before
    with pytest.raises(Conflict):
        order(fleet, rollout, "pause")
    assert order(fleet, rollout, "resume") is R.RUNNING
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)


def test_an_approval_is_somebody_elses(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet, policy=replace(STAGED, approval=True))
    assert fleet.show(rollout).summary.state is R.PENDING_APPROVAL
    fleet.drive()
    assert set(states(fleet, rollout).values()) == {"queued"}
    with pytest.raises(Conflict):
        order(fleet, rollout, "approve", actor="ada")
    assert order(fleet, rollout, "approve", actor="bob") is R.RUNNING
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)


def test_a_draft_has_no_devices_until_it_starts(fleet: Puppets) -> None:
    fleet.cloud.publish()
    wish = RolloutWish(module="probe", to="all", policy=STAGED)
    made = fleet.cloud.parts.rollouts.create(wish, change(), start=False).summary
    assert (made.state, made.cohort, made.stages) == (R.DRAFT, 0, ())
    assert "start" in made.needs
    assert order(fleet, made.id, "start") is R.RUNNING
    assert fleet.show(made.id).summary.cohort == 20


def test_a_removal_takes_the_slot_from_rollouts_too(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "filling")
    removal = Removal(slot="probe", to="all")
    fleet.cloud.parts.deployments.remove(removal, change(fleet.clock.now))
    fleet.drive()
    assert fleet.show(rollout).summary.state is R.SUPERSEDED
    assert all(slots == {} for slots in fleet.running.values())


def test_a_version_runs_as_a_shadow_before_it_answers(fleet: Puppets) -> None:
    first = fleet.deploy_first()
    second = fleet.cloud.publish(data=b"second").module.digest
    policy = replace(STAGED, shadow_stages=1, soak_s=10)
    rollout = begin(fleet, policy=policy)
    fleet.drive(lambda: "shadow" in states(fleet, rollout).values())
    (device,) = [name for name, state in states(fleet, rollout).items() if state == "shadow"]
    assert fleet.running[device]["probe"].running == first
    assert fleet.running[device]["probe-shadow"].running == second
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert set(fleet.running[device]) == {"probe"}
    assert {slots["probe"].running for slots in fleet.running.values()} == {second}


def test_a_superseded_shadow_is_taken_away(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    policy = replace(STAGED, shadow_stages=1, soak_s=3600)
    rollout = begin(fleet, policy=policy)
    fleet.drive(lambda: "shadow" in states(fleet, rollout).values())
    fleet.cloud.publish(data=b"third")
    fleet.cloud.parts.deployments.deploy(
        Deployment(module="probe", to="all"), change(fleet.clock.now)
    )
    fleet.drive()
    assert all(set(slots) == {"probe"} for slots in fleet.running.values())


def test_a_device_that_is_superseded_on_its_way_never_goes_back_to_what_it_did_not_prove(
    fleet: Puppets,
) -> None:
    first = fleet.deploy_first()
    fleet.refusing.add(fleet.cloud.publish(data=b"bad").module.digest)
    fleet.cloud.parts.deployments.deploy(
        Deployment(module="probe", to="all"), change(fleet.clock.now)
    )
    fleet.answer()
    fleet.cloud.publish(data=b"third")
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "passed")
    order(fleet, rollout, "rollback")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}


def test_a_version_on_trial_is_not_what_devices_go_back_to(fleet: Puppets) -> None:
    first = fleet.deploy_first()
    fleet.cloud.publish(data=b"tried")
    fleet.cloud.parts.deployments.deploy(
        Deployment(module="probe", to="all"), change(fleet.clock.now)
    )
    fleet.answer()
    for name, slots in fleet.running.items():
        fleet.running[name] = {"probe": replace(slots["probe"], phase=Phase.TRIAL)}
        fleet.report(name)
    fleet.cloud.publish(data=b"third")
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "passed")
    order(fleet, rollout, "rollback")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    back = [name for name, state in states(fleet, rollout).items() if state == "rolled_back"]
    assert back
    assert {fleet.running[name]["probe"].running for name in back} == {first}


def test_a_device_that_is_away_gets_it_when_it_is_back(fleet: Puppets) -> None:
    fleet.cloud.publish()
    fleet.leave("line-7")
    rollout = begin(fleet, policy=replace(STAGED, offline_after_s=60.0))
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED_DEGRADED, seconds=20)
    assert states(fleet, rollout)["line-7"] == "queued"
    fleet.come_back("line-7")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    assert "probe" in fleet.running["line-7"]


def test_a_device_that_is_deleted_holds_nothing_up(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet)
    fleet.leave("line-7")
    fleet.cloud.parts.devices.delete("line-7", change())
    fleet.drive(lambda: fleet.show(rollout).summary.state.startswith("completed"), seconds=20)
    assert states(fleet, rollout)["line-7"] == "expired"


def test_a_device_that_comes_to_match_joins(fleet: Puppets) -> None:
    fleet.cloud.publish()
    for name in NAMES[:5]:
        fleet.cloud.parts.devices.tag(name, TagChange(set={"site": "oslo"}), change())
    policy = replace(STAGED, late_joiners="include")
    rollout = begin(fleet, policy=policy, to="site=oslo")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    fleet.cloud.parts.devices.tag("line-19", TagChange(set={"site": "oslo"}), change())
    fleet.drive(lambda: "probe" in fleet.running["line-19"], seconds=10)
    assert set(fleet.running["line-18"]) == set()


def test_a_device_that_runs_something_else_later_is_brought_back(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet)
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
    rollout = begin(fleet)
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
    rollout = begin(fleet)

    def look() -> None:
        database, publisher = fleet.cloud.parts.database, fleet.cloud.publisher
        # A lease of one that died is respected until it ends.
        fleet.clock.now += 60
        Driver(database, publisher, clock=fleet.clock).look()

    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, look=look)
    assert set(states(fleet, rollout).values()) == {"committed"}


def test_two_drivers_take_turns(fleet: Puppets) -> None:
    fleet.cloud.publish()
    rollout = begin(fleet)
    other = Driver(fleet.cloud.parts.database, fleet.cloud.publisher, clock=fleet.clock)

    def look() -> None:
        fleet.cloud.driver.look()
        other.look()

    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, look=look)
    own = fleet.cloud.parts.rollouts.query.events(rollout, device="line-2")
    assert [event.after for event in own] == ["queued", "offered", "committed"]


def test_the_database_lets_no_two_rollouts_work_on_one_slot(fleet: Puppets) -> None:
    fleet.cloud.publish()
    begin(fleet, policy=replace(STAGED, stages=("100%",), max_in_flight="100%"))
    fleet.cloud.driver.look()
    with fleet.cloud.parts.database.write() as connection:
        row = connection.execute(select(rollout_assignments).limit(1)).one()._asdict()
        head = connection.execute(select(rollouts)).one()._asdict()
        connection.execute(insert(rollouts).values(**head | {"id": 99}))
        second = insert(rollout_assignments).values(**row | {"rollout": 99})
        with pytest.raises(IntegrityError):
            connection.execute(second)


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
    rollout = begin(fleet)
    found = fleet.cloud.parts.rollouts.query.assignments(rollout, stage=0)
    assert [one.device for one in found] == list(plan.stages[0].devices)


def test_what_would_do_nothing_is_refused(fleet: Puppets) -> None:
    fleet.deploy_first()
    with pytest.raises(Conflict) as caught:
        begin(fleet)
    assert caught.value.code == "nothing_to_do"
    with pytest.raises(NotFound):
        begin(fleet, to="site=nowhere")
    assert len(fleet.cloud.parts.rollouts.query.search()) == 1


def test_nobody_goes_back_to_what_was_deleted(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = begin(fleet)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    fleet.cloud.parts.modules.delete("probe", 1, change())
    with pytest.raises(Conflict, match="probe/1") as caught:
        order(fleet, rollout, "rollback")
    assert caught.value.code == "previous_deleted"


def test_old_rollouts_are_forgotten_and_the_newest_never(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = begin(fleet)
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
    third = begin(fleet, module="probe", slot="second")
    forget(database, RetentionSettings(), later)
    assert [found.id for found in query.search()] == [third]
    fleet.cloud.driver.look()
    forget(database, RetentionSettings(rollout_events_rows=2), fleet.clock.now)
    assert len(query.events(third)) == 2


def test_rollouts_are_found_by_state_and_module(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = begin(fleet)
    query = fleet.cloud.parts.rollouts.query
    assert [found.id for found in query.search()] == [rollout, "r1"]
    assert [found.id for found in query.search(states=[R.RUNNING])] == [rollout]
    assert [found.id for found in query.search(module="pro*", limit=1)] == [rollout]
    assert query.search(module="other") == []
    overview = query.events(rollout, device="")
    assert all(event.device == "" for event in overview)
    later = query.events(rollout, after_id=overview[0].id, limit=1)
    assert later[0].id > overview[0].id


def test_stages_that_take_in_nobody_are_refused(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    for stages in (("0",), ("0%", "0.0%")):
        policy = replace(STAGED, stages=stages)
        wish = RolloutWish(module="probe", to="all", policy=policy)
        with pytest.raises(InvalidInput, match="expected one device at least"):
            fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))
        with pytest.raises(InvalidInput, match="expected one device at least"):
            begin(fleet, policy=policy)


def test_a_version_that_was_retired_takes_in_nobody_and_its_rollout_goes_on(
    fleet: Puppets,
) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = begin(fleet, policy=replace(STAGED, late_joiners="include"))
    fleet.cloud.parts.modules.retire("probe", 2, change(fleet.clock.now))
    fleet.cloud.ingest.write([letter(status("late"))])
    fleet.drive(lambda: fleet.show(rollout).summary.stages[0].state is StageState.PASSED)
    assert "late" not in states(fleet, rollout)
