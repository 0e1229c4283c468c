"""Devices that run a rollout's version already, and that another one has in its line."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict
from cloud_sync.resources import Deployment, DeploymentResult, TagChange
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutState, RolloutWish
from tests.support.cloud import change
from tests.support.meanwhile import meanwhile
from tests.support.puppets import NAMES, STAGED, Puppets

ONE_BY_ONE = replace(STAGED, stages=("100%",), max_in_flight="1")
R = RolloutState


def those(fleet: Puppets, rollout: str, state: str) -> set[str]:
    return {name for name, found in fleet.states(rollout).items() if found == state}


def deploy(fleet: Puppets, version: int, to: str = "all") -> DeploymentResult:
    fleet.clock.now += 1
    wish = Deployment(module="probe", version=version, to=to)
    return fleet.cloud.parts.deployments.deploy(wish, change(fleet.clock.now))


def a_few(fleet: Puppets, policy: Policy = ONE_BY_ONE, **wish: object) -> tuple[str, str]:
    """A rollout that has changed three devices and goes on; its id, and the digest before."""
    first = fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    older = fleet.begin(policy, **wish)
    fleet.drive(lambda: len(those(fleet, older, "committed")) == 3)
    return older, first


def running(fleet: Puppets) -> dict[str, str]:
    return {name: slots["probe"].running for name, slots in fleet.running.items()}


def test_a_deployment_holds_on_devices_that_still_run_its_version(fleet: Puppets) -> None:
    older, first = a_few(fleet)
    result = deploy(fleet, 1)
    assert len(result.unchanged) >= 16
    assert set(fleet.states(older).values()) == {"superseded"}
    fleet.drive()
    assert set(running(fleet).values()) == {first}
    assert fleet.show(older).summary.state is R.SUPERSEDED


def test_the_history_says_who_took_a_device_that_had_the_version(fleet: Puppets) -> None:
    older, _ = a_few(fleet)
    kept = min(those(fleet, older, "queued"))
    newer = deploy(fleet, 1).rollout
    events = fleet.cloud.parts.rollouts.query.events(older, device=kept)
    assert events[-1].reason == f"{newer} took this device's slot"


def test_a_deployment_of_what_all_devices_run_takes_them_from_an_older_rollout(
    fleet: Puppets,
) -> None:
    older, first = a_few(fleet)
    kept = sorted(those(fleet, older, "queued"))[:5]
    result = deploy(fleet, 1, to=" or ".join(kept))
    assert (set(result.unchanged), result.rollout) == (set(kept), "")
    fleet.drive(lambda: fleet.show(older).summary.state is R.COMPLETED)
    assert {running(fleet)[name] for name in kept} == {first}
    assert len(those(fleet, older, "committed")) == len(NAMES) - len(kept)
    assert those(fleet, older, "superseded") == set(kept)
    (last,) = fleet.cloud.parts.rollouts.query.events(older, device=kept[0])[-1:]
    assert last.reason == "a deployment of probe/1 by ada took this device's slot"


def test_a_staged_rollout_takes_devices_that_have_its_version_when_it_starts(
    fleet: Puppets,
) -> None:
    older, first = a_few(fleet)
    kept = those(fleet, older, "queued")
    fleet.order(older, "pause")
    newer = fleet.begin(ONE_BY_ONE, version=1)
    fleet.order(newer, "pause")
    assert those(fleet, older, "superseded") >= kept
    fleet.order(older, "resume")
    fleet.drive()
    assert {running(fleet)[name] for name in kept} == {first}


def test_a_rollout_that_waits_for_approval_takes_nothing_before_it(fleet: Puppets) -> None:
    older, _ = a_few(fleet)
    kept = those(fleet, older, "queued")
    newer = fleet.begin(replace(ONE_BY_ONE, approval=True), version=1)
    assert those(fleet, older, "queued") == kept
    fleet.order(newer, "approve")
    assert those(fleet, older, "superseded") >= kept


def test_what_an_older_rollout_has_changed_before_the_approval_is_not_taken(
    fleet: Puppets,
) -> None:
    older, _ = a_few(fleet)
    newer = fleet.begin(replace(ONE_BY_ONE, approval=True), version=1)
    fleet.drive(lambda: len(those(fleet, older, "committed")) == 6)
    changed = those(fleet, older, "committed")
    fleet.order(newer, "approve")
    assert those(fleet, older, "committed") == changed


def test_a_plan_says_who_is_superseded_where_nothing_has_to_be_sent(fleet: Puppets) -> None:
    older, _ = a_few(fleet)
    wish = RolloutWish(module="probe", version=1, to="all", policy=ONE_BY_ONE)
    plan = fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))
    assert {one.device for one in plan.conflicts} == set(NAMES)
    texts = {one.device: one.text for one in plan.conflicts if one.device in plan.already}
    assert set(texts) >= those(fleet, older, "queued")
    (text,) = set(texts.values())
    assert text.startswith(f"it has this already; {older} would change slot 'probe'")


def test_a_deployment_is_refused_where_a_rollout_that_goes_first_would_change_the_device(
    fleet: Puppets,
) -> None:
    older, _ = a_few(fleet, replace(ONE_BY_ONE, priority=5))
    kept = min(those(fleet, older, "queued"))
    with pytest.raises(Conflict) as caught:
        deploy(fleet, 1, to=kept)
    assert caught.value.code == "slot_taken"
    assert caught.value.text.startswith(f"{kept}: {older} goes first")
    assert fleet.states(older)[kept] == "queued"


def test_a_start_takes_nothing_from_a_rollout_that_goes_first(fleet: Puppets) -> None:
    older, _ = a_few(fleet, replace(ONE_BY_ONE, priority=5))
    before = fleet.states(older)
    wish = RolloutWish(module="probe", version=1, to="all", policy=ONE_BY_ONE)
    plan = fleet.cloud.parts.rollouts.plan(wish, change(fleet.clock.now))
    assert {one.code for one in plan.conflicts} == {"slot_taken"}
    fleet.begin(ONE_BY_ONE, version=1)
    assert fleet.states(older) == before


def test_the_same_deployment_again_takes_nothing_from_the_first(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    fleet.silent.add("line-1")
    one = deploy(fleet, 2).rollout
    fleet.answer()
    again = deploy(fleet, 2)
    assert (again.rollout, len(again.unchanged)) == ("", len(NAMES))
    assert "superseded" not in fleet.states(one).values()


def test_what_is_on_its_way_back_to_the_version_gets_there(fleet: Puppets) -> None:
    older, first = a_few(fleet)
    changed = those(fleet, older, "committed")
    fleet.order(older, "rollback")
    fleet.cloud.driver.look()
    assert those(fleet, older, "reverting")
    deploy(fleet, 1, to=" or ".join(those(fleet, older, "reverting")))
    fleet.drive(lambda: fleet.show(older).summary.state is R.ROLLED_BACK)
    assert those(fleet, older, "rolled_back") >= changed
    assert set(running(fleet).values()) == {first}


def test_a_shadow_step_goes_with_the_rollout_that_loses_the_device(fleet: Puppets) -> None:
    first = fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    older = fleet.begin(replace(STAGED, shadow_stages=1, soak_s=3600))
    fleet.drive(lambda: "shadow" in fleet.states(older).values())
    (beside,) = those(fleet, older, "shadow")
    deploy(fleet, 1, to=beside)
    fleet.answer()
    assert set(fleet.running[beside]) == {"probe"}
    fleet.drive(lambda: fleet.states(older)[beside] == "superseded")
    assert running(fleet)[beside] == first


def test_nobody_late_gets_an_older_version_than_a_newer_rollout_has_found_there(
    fleet: Puppets,
) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    fleet.cloud.parts.devices.tag("line-0", TagChange(set={"site": "oslo"}), change())
    older = fleet.begin(replace(ONE_BY_ONE, late_joiners="include"), to="site=oslo")
    fleet.drive(lambda: fleet.show(older).summary.state is R.COMPLETED)
    deploy(fleet, 1, to="line-0 or line-1")
    for name in ("line-1", "line-2"):
        fleet.cloud.parts.devices.tag(name, TagChange(set={"site": "oslo"}), change())
    fleet.drive(lambda: "line-2" in those(fleet, older, "committed"), seconds=10)
    fleet.drive()
    assert "line-1" not in fleet.states(older)


def test_a_late_device_that_has_the_version_is_taken_from_an_older_rollout(
    fleet: Puppets,
) -> None:
    older, first = a_few(fleet)
    fleet.order(older, "pause")
    kept = min(those(fleet, older, "queued"))
    changed = min(those(fleet, older, "committed"))
    fleet.cloud.parts.devices.tag(changed, TagChange(set={"site": "oslo"}), change())
    fleet.clock.now += 1
    newer = fleet.begin(replace(ONE_BY_ONE, late_joiners="include"), version=1, to="site=oslo")
    fleet.cloud.parts.devices.tag(kept, TagChange(set={"site": "oslo"}), change())
    fleet.drive(lambda: fleet.states(newer).get(kept) == "already_present", seconds=10)
    assert fleet.states(older)[kept] == "superseded"
    fleet.order(older, "resume")
    fleet.drive()
    assert running(fleet)[kept] == first


def test_a_device_that_was_asked_for_something_else_and_has_not_begun_is_asked_back(
    fleet: Puppets,
) -> None:
    first = fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    older = fleet.begin(replace(ONE_BY_ONE, max_in_flight="3"))
    fleet.cloud.driver.look()
    assert len(those(fleet, older, "offered")) == 3
    result = deploy(fleet, 1)
    assert len(result.revisions) == 3
    assert all((slot := fleet.wanted(name)) and slot.version == 1 for name in NAMES)
    fleet.drive()
    assert set(running(fleet).values()) == {first}


def test_a_device_that_an_older_rollout_asks_meanwhile_is_in_the_newer_one(
    fleet: Puppets,
) -> None:
    older, _ = a_few(fleet)
    meanwhile(fleet.cloud.parts.database, fleet.cloud.driver.look)
    newer = fleet.begin(ONE_BY_ONE, version=1)
    asked = those(fleet, older, "offered")
    assert asked
    assert asked <= those(fleet, newer, "queued")


@pytest.mark.parametrize("is_deployed", [True, False])
def test_a_device_that_another_rollout_is_about_to_take_back_has_not_got_the_version(
    is_deployed: bool, fleet: Puppets
) -> None:
    older, first = a_few(fleet)
    second = fleet.wanted(min(those(fleet, older, "committed")))
    assert second is not None
    leaving = those(fleet, older, "committed")
    fleet.order(older, "rollback")
    if is_deployed:
        result = deploy(fleet, 2, to=" or ".join(sorted(leaving)))
        assert set(result.revisions) == leaving
        newer = result.rollout
    else:
        fleet.clock.now += 1
        newer = fleet.begin(ONE_BY_ONE, to=" or ".join(sorted(leaving)))
    fleet.drive()
    assert set(fleet.states(newer).values()) == {"committed"}
    assert {running(fleet)[name] for name in leaving} == {second.digest}
    assert {running(fleet)[name] for name in set(NAMES) - leaving} == {first}
    assert fleet.show(newer).summary.state is R.COMPLETED
    assert fleet.show(older).summary.state in (R.ROLLED_BACK, R.SUPERSEDED)
