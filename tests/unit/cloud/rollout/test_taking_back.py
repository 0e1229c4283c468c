"""What rollouts have changed is taken back, on a real database."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict
from cloud_sync.resources import Deployment, Removal
from cloud_sync.rollout_resources import (
    RolloutState,
)
from edge_agent.contract.state import Phase, SlotConfig
from tests.support.cloud import change
from tests.support.puppets import NAMES, STAGED, Puppets

R = RolloutState


def test_a_rollback_takes_every_changed_device_back_with_its_config(fleet: Puppets) -> None:
    config = SlotConfig(uplink="all")
    first = fleet.deploy_first(config=config)
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "passed")
    assert fleet.order(rollout, "rollback") is R.ROLLING_BACK
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}
    assert all((slot := fleet.wanted(name)) and slot.config == config for name in NAMES)
    revisions = {
        event.device: int(event.evidence["revision"])
        for event in fleet.cloud.parts.rollouts.query.events(rollout)
        if event.after == "reverting"
    }
    assert 5 <= len(revisions) <= 9
    assert all(revision >= 3 for revision in revisions.values())


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
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "passed")
    fleet.order(rollout, "rollback")
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
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "passed")
    fleet.order(rollout, "rollback")
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    back = [name for name, state in fleet.states(rollout).items() if state == "rolled_back"]
    assert back
    assert {fleet.running[name]["probe"].running for name in back} == {first}


def test_nobody_goes_back_to_what_was_deleted(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED)
    fleet.cloud.parts.modules.delete("probe", 1, change())
    with pytest.raises(Conflict, match="probe/1") as caught:
        fleet.order(rollout, "rollback")
    assert caught.value.code == "previous_deleted"


def test_a_removal_takes_the_slot_from_rollouts_too(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = fleet.begin(STAGED)
    fleet.drive(lambda: fleet.show(rollout).summary.stages[1].state == "filling")
    removal = Removal(slot="probe", to="all")
    fleet.cloud.parts.deployments.remove(removal, change(fleet.clock.now))
    fleet.drive()
    assert fleet.show(rollout).summary.state is R.SUPERSEDED
    assert all(slots == {} for slots in fleet.running.values())


def test_a_superseded_shadow_is_taken_away(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    policy = replace(STAGED, shadow_stages=1, soak_s=3600)
    rollout = fleet.begin(policy)
    fleet.drive(lambda: "shadow" in fleet.states(rollout).values())
    fleet.cloud.publish(data=b"third")
    fleet.cloud.parts.deployments.deploy(
        Deployment(module="probe", to="all"), change(fleet.clock.now)
    )
    fleet.drive()
    assert all(set(slots) == {"probe"} for slots in fleet.running.values())


def test_a_rollback_is_done_when_those_that_did_not_answer_come_back(fleet: Puppets) -> None:
    first = fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    policy = replace(
        STAGED, stages=("100%",), retries=0, download_s=60, soak_s=3600, max_in_flight="100%",
        min_success=0.4, max_failure=0.6,
    )  # fmt: skip
    late = set(NAMES[:3])
    fleet.silent = set(late)
    rollout = fleet.begin(policy)
    fleet.drive(lambda: list(fleet.states(rollout).values()).count("timed_out") == len(late))
    fleet.answer()
    assert fleet.order(rollout, "rollback") is R.ROLLING_BACK
    fleet.drive(lambda: list(fleet.states(rollout).values()).count("rolled_back") > 0)
    for name in sorted(late):
        fleet.come_back(name)
    fleet.drive(lambda: fleet.show(rollout).summary.state is not R.ROLLING_BACK)
    assert fleet.show(rollout).summary.state is R.ROLLED_BACK
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}


def test_a_rollback_that_was_incomplete_is_done_when_the_last_device_is_back(
    fleet: Puppets,
) -> None:
    first = fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    policy = replace(
        STAGED, stages=("100%",), retries=0, download_s=60, rollback_s=120, soak_s=3600,
        max_in_flight="100%", min_success=0.4, max_failure=0.6,
    )  # fmt: skip
    fleet.silent = {NAMES[0]}
    rollout = fleet.begin(policy)
    fleet.drive(lambda: "timed_out" in fleet.states(rollout).values())
    assert fleet.order(rollout, "rollback") is R.ROLLING_BACK
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLBACK_INCOMPLETE)
    fleet.come_back(NAMES[0])
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}


def test_a_rollback_of_devices_that_had_not_got_there_says_what_became_of_them(
    fleet: Puppets,
) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    policy = replace(
        STAGED, stages=("100%",), retries=0, download_s=60, soak_s=3600, max_in_flight="100%"
    )
    late = set(NAMES[:3])
    fleet.silent = set(late)
    rollout = fleet.begin(policy, to=" or ".join(sorted(late)))
    fleet.drive(lambda: list(fleet.states(rollout).values()) == ["timed_out"] * 3)
    for name in sorted(late):
        fleet.come_back(name)
    assert fleet.order(rollout, "rollback") is R.ROLLING_BACK
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    reason = fleet.show(rollout).summary.state_reason
    assert reason == "3 devices that had not got there do not run it"


def test_a_rollback_counts_who_went_back_and_who_had_not_got_there(fleet: Puppets) -> None:
    fleet.deploy_first()
    fleet.refusing.add(fleet.cloud.publish(data=b"second").module.digest)
    rollout = fleet.begin(replace(STAGED, stages=("100%",), soak_s=3600, max_failure=1.0))
    fleet.drive(lambda: "rejected" in fleet.states(rollout).values())
    fleet.refusing.clear()
    fleet.drive(lambda: "committed" in fleet.states(rollout).values())
    assert fleet.order(rollout, "rollback") is R.ROLLING_BACK
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK)
    states = list(fleet.states(rollout).values())
    gone, not_there = states.count("rolled_back"), states.count("rejected")
    reason = fleet.show(rollout).summary.state_reason
    assert gone > 1
    assert not_there > 1
    assert reason == (
        f"{gone} devices went back; {not_there} devices that had not got there do not run it"
    )
