"""Rollouts whose evidence is old or late, and whose version is gone: audited cases, end to end."""

import logging

import pytest
from msgspec.structs import replace

from cloud_sync.fleet.measures_store import count_labels
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutState, RolloutWish, StageState
from edge_agent.contract.messages import Health, SlotHealth
from tests.support.cloud import NOW, change
from tests.support.letters import letter, status
from tests.support.puppets import Puppets

NAMES = tuple(f"line-{number}" for number in range(6))
STAGED = Policy(
    stages=("1", "100%"),
    shadow_stages=0,
    soak_s=0,
    soak_messages=0,
    gates=None,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
)
LABELS = Gates(
    error_rate=None,
    slow=None,
    old=None,
    disagreement=None,
    memory=None,
    psi=None,
    wrong=Limit(good=0.01, bad=0.05),
)
R = RolloutState


def begin(fleet: Puppets, policy: Policy) -> str:
    wish = RolloutWish(module="probe", to="all", seed=7, policy=policy)
    made = fleet.cloud.parts.rollouts.create(wish, change(fleet.clock.now), start=True)
    return made.summary.id


def measure(fleet: Puppets, name: str, digest: str, uptime_s: float, count: int) -> None:
    """Let a device tell what it did with a version, nine of ten times wrongly."""
    found = SlotHealth(
        module="probe",
        version=2,
        digest=digest,
        state="running",
        pid=1,
        messages_in=count,
        failed={"model_failed": count * 9 // 10},
    )
    report = Health(
        device=name,
        boot_id="boot",
        time=NOW + uptime_s,
        uptime_s=uptime_s,
        interval_s=30,
        slots={"probe": found},
    )
    fleet.cloud.ingest.write([letter(report)])


def label(fleet: Puppets, device: str, digest: str) -> None:
    with fleet.cloud.parts.database.write() as connection:
        count_labels(
            connection,
            device=device,
            slot="probe",
            digest=digest,
            right=0,
            wrong=5_000,
            now=fleet.clock.now,
        )


def first_of(fleet: Puppets, rollout: str) -> str:
    return fleet.cloud.parts.rollouts.query.assignments(rollout, stage=0)[0].device


def test_what_an_earlier_try_counted_stops_nothing_and_is_not_shown(fleet: Puppets) -> None:
    fleet.deploy_first()
    digest = fleet.cloud.publish(data=b"second").module.digest
    for name in NAMES:
        measure(fleet, name, digest, 30, 2_000)
    policy = replace(STAGED, stages=("5", "100%"), max_in_flight="1", gates=Gates(), soak_s=60)
    rollout = begin(fleet, policy)
    for _ in range(4):
        fleet.cloud.driver.look()
        fleet.clock.now += 5
    shown = fleet.show(rollout).summary
    assert (shown.state, shown.stages[0].messages) == (R.RUNNING, 0)


def test_what_an_earlier_try_counted_is_no_soak_without_gates_either(fleet: Puppets) -> None:
    fleet.deploy_first()
    digest = fleet.cloud.publish(data=b"second").module.digest
    for name in NAMES:
        measure(fleet, name, digest, 30, 500)
    rollout = begin(fleet, replace(STAGED, soak_messages=200))
    for _ in range(10):
        fleet.cloud.driver.look()
        fleet.answer()
        fleet.tick(5)
    stage = fleet.show(rollout).summary.stages[0]
    assert (stage.state, stage.messages) == (StageState.JUDGING, 0)


@pytest.mark.parametrize("is_over", [False, True])
def test_labels_of_a_stage_that_passed_take_the_version_back(fleet: Puppets, is_over: bool) -> None:
    first = fleet.deploy_first()
    digest = fleet.cloud.publish(data=b"second").module.digest
    policy = replace(STAGED, gates=LABELS, on_error="rollback", soak_s=0 if is_over else 60)
    rollout = begin(fleet, policy)

    def is_there() -> bool:
        shown = fleet.show(rollout).summary
        if is_over:
            return shown.state is R.COMPLETED
        return shown.stages[1].state is StageState.SOAKING

    fleet.drive(is_there)
    label(fleet, first_of(fleet, rollout), digest)
    fleet.clock.now += 10
    fleet.drive(lambda: fleet.show(rollout).summary.state is R.ROLLED_BACK, seconds=10)
    assert {slots["probe"].running for slots in fleet.running.values()} == {first}


@pytest.mark.parametrize("is_over", [False, True])
def test_a_version_that_was_retired_keeps_late_devices_out_and_nobody_else(
    fleet: Puppets, is_over: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.deploy_first()
    fleet.cloud.publish(data=b"second")
    rollout = begin(fleet, replace(STAGED, late_joiners="include", soak_s=60))
    if is_over:
        fleet.drive(lambda: fleet.show(rollout).summary.state is R.COMPLETED, seconds=10)
    fleet.cloud.parts.modules.retire("probe", 2, change(fleet.clock.now))
    fleet.cloud.ingest.write([letter(status("late-1"))])
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            fleet.cloud.driver.look()
            fleet.answer()
            fleet.tick(10)
    shown = fleet.show(rollout).summary
    assert (shown.state, shown.cohort) == (R.COMPLETED, len(NAMES))
    told = [r for r in caplog.records if "late_joiners_left_out" in r.getMessage()]
    assert len(told) == 1
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
