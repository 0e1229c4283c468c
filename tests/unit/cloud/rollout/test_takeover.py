"""Two rollouts that want the slot of one device, on a real database."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict
from cloud_sync.resources import Deployment, Removal, TagChange
from cloud_sync.rollout_resources import RolloutState, RolloutWish
from tests.support.cloud import change
from tests.support.puppets import NAMES, STAGED, Puppets

HALVES = replace(STAGED, stages=("1", "50%", "100%"))
AT_A_STRETCH = replace(HALVES, stages=("100%",))
SLOW = replace(HALVES, soak_s=3600.0)
R = RolloutState


def those(fleet: Puppets, rollout: str, state: str) -> set[str]:
    return {name for name, found in fleet.states(rollout).items() if found == state}


def half_way(fleet: Puppets) -> tuple[str, str]:
    """A rollout that has changed ten of the devices; its id, and the digest before."""
    before = fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    older = fleet.begin(SLOW)
    fleet.drive(lambda: fleet.show(older).summary.stages[1].state == "soaking", seconds=600)
    assert len(those(fleet, older, "committed")) == 10
    return older, before


def begin_newer(fleet: Puppets, older: str) -> tuple[str, str]:
    """A newer one, that has changed one device which the older one had not; it holds still."""
    fleet.order(older, "pause")
    fleet.cloud.publish(data=b"third")
    fleet.clock.now += 1
    # Of which device chance begins with is a matter of the seed.
    untouched = those(fleet, older, "queued")
    for seed in range(100):
        wish = RolloutWish(module="probe", to="all", policy=SLOW, seed=seed)
        plan = fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))
        if set(plan.stages[0].devices) <= untouched:
            break
    newer = fleet.begin(SLOW, seed=seed)
    fleet.drive(lambda: fleet.show(newer).summary.stages[0].state == "soaking")
    fleet.order(newer, "pause")
    (taken,) = those(fleet, newer, "committed")
    return newer, taken


def test_a_start_takes_nothing_that_is_not_asked_for(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    newer, taken = begin_newer(fleet, older)
    assert those(fleet, older, "superseded") == {taken}
    assert len(those(fleet, older, "committed")) == 10
    assert fleet.show(older).summary.state is R.PAUSED
    assert len(those(fleet, newer, "queued")) == 19


def test_an_older_rollout_goes_on_when_the_newer_one_is_aborted(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    newer, taken = begin_newer(fleet, older)
    fleet.order(older, "resume")
    for _ in range(20):
        fleet.cloud.driver.look()
        fleet.answer()
        fleet.tick(600)
    assert len(those(fleet, older, "committed")) == 10, "the newer one goes first"
    assert fleet.order(newer, "abort") is R.CANCELLED
    fleet.drive(lambda: fleet.show(older).summary.state is R.COMPLETED, seconds=600)
    assert those(fleet, older, "committed") == set(NAMES) - {taken}
    second, third = (fleet.wanted(name) for name in (min(set(NAMES) - {taken}), taken))
    assert second is not None
    assert third is not None
    assert (second.version, third.version) == (2, 3)


def test_a_person_sees_which_rollout_a_device_waits_for(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    newer, _ = begin_newer(fleet, older)
    fleet.order(older, "resume")
    fleet.drive(lambda: fleet.show(older).summary.stages[2].state == "filling", seconds=600)
    waiting = min(those(fleet, older, "queued"))

    def reason() -> str:
        query = fleet.cloud.parts.rollouts.query
        (found,) = query.assignments(older, device=waiting, now=fleet.clock.now)
        return "" if found.waiting is None else found.waiting.text

    assert reason() == f"waits for {newer}, which goes first here"
    fleet.order(newer, "abort")
    assert newer not in reason()


def test_a_rollback_of_the_older_one_reaches_all_that_it_changed(fleet: Puppets) -> None:
    older, first = half_way(fleet)
    changed = those(fleet, older, "committed")
    newer, taken = begin_newer(fleet, older)
    fleet.order(newer, "abort")
    assert fleet.order(older, "rollback") is R.ROLLING_BACK
    fleet.drive(lambda: fleet.show(older).summary.state is R.ROLLED_BACK)
    assert those(fleet, older, "rolled_back") == changed
    running = {name: slots["probe"].running for name, slots in fleet.running.items()}
    assert {name for name, digest in running.items() if digest == first} == set(NAMES) - {taken}


def test_a_rollback_of_the_older_one_takes_nothing_from_the_newer_one(fleet: Puppets) -> None:
    older, first = half_way(fleet)
    newer, _ = begin_newer(fleet, older)
    fleet.order(older, "rollback")
    fleet.drive(lambda: fleet.show(older).summary.state is R.ROLLED_BACK)
    fleet.order(newer, "resume")
    fleet.drive(lambda: fleet.show(newer).summary.state is R.COMPLETED, seconds=600)
    fleet.order(newer, "rollback")
    fleet.drive(lambda: fleet.show(newer).summary.state is R.ROLLED_BACK)
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}


def test_what_is_on_its_way_back_was_proven_before_it_left(fleet: Puppets) -> None:
    fleet.deploy_first()
    second = fleet.cloud.publish(data=b"second").module.digest
    fleet.cloud.parts.deployments.deploy(
        Deployment(module="probe", to="all"), change(fleet.clock.now)
    )
    fleet.drive()
    fleet.cloud.publish(data=b"third")
    older = fleet.begin(AT_A_STRETCH)
    fleet.drive(lambda: fleet.show(older).summary.state is R.COMPLETED)
    fleet.order(older, "rollback")
    fleet.cloud.driver.look()
    returning = those(fleet, older, "reverting")
    assert returning
    fleet.cloud.publish(data=b"fourth")
    newer = fleet.begin(replace(AT_A_STRETCH, max_in_flight="100%"), to=" or ".join(returning))
    fleet.cloud.driver.look()
    assert those(fleet, newer, "offered") == returning
    fleet.drive(lambda: fleet.show(newer).summary.state is R.COMPLETED)
    fleet.order(newer, "rollback")
    fleet.drive(lambda: fleet.show(newer).summary.state is R.ROLLED_BACK)
    assert {fleet.running[name]["probe"].running for name in returning} == {second}


def test_a_newer_rollout_supersedes_an_older_one_when_it_offers(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    third = fleet.cloud.publish(data=b"third").module.digest
    fleet.clock.now += 1
    newer = fleet.begin(HALVES)
    fleet.drive(lambda: fleet.show(newer).summary.state is R.COMPLETED)
    fleet.drive()
    assert set(fleet.states(older).values()) == {"superseded"}
    assert fleet.show(older).summary.state is R.SUPERSEDED
    assert {slots["probe"].running for slots in fleet.running.values()} == {third}


def test_of_rollouts_that_start_at_the_same_time_the_later_number_goes_first(
    fleet: Puppets,
) -> None:
    fleet.cloud.publish(data=b"second")
    one = fleet.begin(AT_A_STRETCH)
    other = fleet.begin(AT_A_STRETCH)
    fleet.cloud.driver.look()
    assert len(those(fleet, other, "offered")) == 4
    assert not those(fleet, one, "offered") - those(fleet, other, "offered")
    fleet.drive(lambda: fleet.show(other).summary.state is R.COMPLETED)
    fleet.drive()
    assert set(fleet.states(one).values()) == {"superseded"}


def test_what_an_older_rollout_has_begun_it_may_ask_for_again(fleet: Puppets) -> None:
    fleet.deploy_first()
    second = fleet.cloud.publish(data=b"second").module.digest
    older = fleet.begin(AT_A_STRETCH)
    fleet.drive(lambda: len(those(fleet, older, "committed")) >= 4)
    fleet.order(older, "pause")
    lost = min(those(fleet, older, "committed"))
    fleet.cloud.publish(data=b"third")
    fleet.clock.now += 1
    newer = fleet.begin(replace(AT_A_STRETCH, max_in_flight="1"), to=f"{lost} or line-19")
    fleet.order(newer, "pause")
    assert fleet.states(newer)[lost] == "queued"
    before = fleet.wanted(lost)
    fleet.running[lost] = {}
    fleet.report(lost)
    fleet.order(older, "resume")
    fleet.drive(lambda: fleet.running[lost].get("probe") is not None, seconds=10)
    assert before is not None
    assert fleet.running[lost]["probe"].running == second


def test_a_deployment_takes_its_devices_in_its_own_transaction(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    fleet.cloud.publish(data=b"third")
    wish = Deployment(module="probe", to="all")
    fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))
    assert set(fleet.states(older).values()) == {"superseded"}


def test_what_is_started_later_goes_first_though_the_clock_was_set_back(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    fleet.clock.now -= 30 * 86_400
    third = fleet.cloud.publish(data=b"third").module.digest
    wish = Deployment(module="probe", to="all")
    fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))
    fleet.answer()
    assert {slots["probe"].running for slots in fleet.running.values()} == {third}
    assert set(fleet.states(older).values()) == {"superseded"}


def test_nobody_late_gets_an_older_version_than_a_newer_rollout_gave_it(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    fleet.cloud.parts.devices.tag("line-0", TagChange(set={"site": "oslo"}), change())
    older = fleet.begin(replace(AT_A_STRETCH, late_joiners="include"), to="site=oslo")
    fleet.drive(lambda: fleet.show(older).summary.state is R.COMPLETED)
    third = fleet.cloud.publish(data=b"third").module.digest
    fleet.clock.now += 1
    newer = fleet.begin(AT_A_STRETCH, to="line-1")
    fleet.drive(lambda: fleet.show(newer).summary.state is R.COMPLETED)
    for name in ("line-1", "line-2"):
        fleet.cloud.parts.devices.tag(name, TagChange(set={"site": "oslo"}), change())
    fleet.drive(lambda: "line-2" in those(fleet, older, "committed"), seconds=10)
    fleet.drive()
    assert "line-1" not in fleet.states(older)
    assert fleet.running["line-1"]["probe"].running == third


def test_a_removal_takes_what_two_rollouts_want(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    newer, _ = begin_newer(fleet, older)
    removal = Removal(slot="probe", to="all")
    fleet.cloud.parts.deployments.remove(removal, change(fleet.clock.now))
    fleet.drive()
    for rollout in (older, newer):
        assert set(fleet.states(rollout).values()) == {"superseded"}
    assert all(slots == {} for slots in fleet.running.values())


def test_a_plan_says_what_two_rollouts_mean_for_a_device(fleet: Puppets) -> None:
    older, _ = half_way(fleet)
    fleet.cloud.publish(data=b"third")
    wish = RolloutWish(module="probe", to="all", policy=HALVES)
    plan = fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))
    texts = {one.device: one.text for one in plan.conflicts}
    changed = min(those(fleet, older, "committed"))
    waiting = min(those(fleet, older, "queued"))
    assert "until this one offers" in texts[changed]
    assert "waits for this one" in texts[waiting]
    assert {one.code for one in plan.conflicts} == {"supersedes"}


def test_a_newer_rollout_waits_for_one_of_higher_priority(fleet: Puppets) -> None:
    fleet.cloud.publish(data=b"second")
    urgent = fleet.begin(replace(HALVES, priority=5), to="line-1")
    third = fleet.cloud.publish(data=b"third").module.digest
    fleet.silent.add("line-1")
    with pytest.raises(Conflict) as caught:
        fleet.cloud.parts.deployments.deploy(Deployment(module="probe", to="line-1"), change())
    assert caught.value.code == "slot_taken"
    everybody = fleet.begin(AT_A_STRETCH)
    fleet.drive(lambda: len(those(fleet, everybody, "committed")) == 19)
    assert fleet.states(everybody)["line-1"] == "queued"
    fleet.silent.clear()
    fleet.cloud.publisher.publish("line-1")
    fleet.drive(lambda: fleet.show(everybody).summary.state is R.COMPLETED)
    assert fleet.show(urgent).summary.state is R.COMPLETED
    assert fleet.running["line-1"]["probe"].running == third
    assert fleet.states(urgent)["line-1"] == "superseded"
