"""Single stories of the simulated fleet: what an install promises, told from begin to end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.state import Phase, SlotConfig
from edge_agent.reconcile.trial import MOST_INTERRUPTIONS
from edge_agent.store.slots import FINAL_FAILURES, SlotRecord
from tests.simulation.device import NAME
from tests.simulation.modules import Character
from tests.simulation.workers import Worker
from tests.simulation.world import DEADLY, World

ALL = SlotConfig(uplink="all")
PLAIN = SlotConfig()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.pass_time(3)
    yield made
    made.close()


def deploy(world: World, character: Character, config: SlotConfig = PLAIN) -> None:
    world.publish("probe", character)
    world.deploy(world.service.published[-1], config)


def until(world: World, phase: Phase) -> None:
    """Let time pass until the slot is in a phase."""
    for _ in range(100):
        if world.device is not None and record_of(world).phase is phase:
            return
        world.round(0.1)
    raise AssertionError(f"never {phase}: {record_of(world)}")


def record_of(world: World) -> SlotRecord:
    assert world.device is not None
    return world.device.journal.slot("probe")


def worker_of(world: World) -> Worker:
    assert world.device is not None
    return world.device.workers.live["probe"]


@pytest.mark.parametrize(
    "bad", [Character.WRONG, Character.CRASHING, Character.ERRING, *sorted(DEADLY)]
)
def test_a_rollback_restores_the_version_and_its_configuration(
    world: World, bad: Character
) -> None:
    deploy(world, Character.GOOD, ALL)
    world.calm()
    deploy(world, bad, PLAIN)
    world.calm()
    found = record_of(world)
    assert found.phase is Phase.ROLLED_BACK
    assert found.active is not None
    assert (found.active.version, found.active.config) == (1, ALL)
    assert worker_of(world).version == found.active
    assert world.service.reported(NAME) is not None


def test_a_commit_is_local_and_is_reported_until_it_is_heard(world: World) -> None:
    deploy(world, Character.GOOD)
    world.calm()
    deploy(world, Character.GOOD)
    until(world, Phase.TRIAL)
    world.disorder.is_line_dead = True
    world.pass_time(20)
    committed = record_of(world)
    assert (committed.phase, committed.candidate) == (Phase.ACTIVE, None)
    world.broker.restart(keeps=False)
    world.kill()
    world.pass_time(20)
    assert record_of(world).active == committed.active
    world.calm()
    assert record_of(world).active == committed.active
    reported = world.service.reported(NAME)
    assert reported is not None
    assert reported.slots["probe"].running_version == 2


def test_what_went_into_a_dead_line_or_a_forgetful_broker_is_sent_again(world: World) -> None:
    world.disorder.is_line_dead = True
    world.result("probe")
    world.pass_time(60)
    world.disorder.is_line_dead = False
    world.pass_time(10)
    world.service.stop()
    world.result("probe")
    world.pass_time(5)
    world.broker.restart(keeps=False)
    world.calm()  # which compares what was kept with what is in the database
    assert len(world.service.results()) == 2


@pytest.mark.parametrize("deadly", sorted(DEADLY))
def test_a_version_that_takes_the_machine_down_does_so_three_times_and_again_on_request(
    world: World, deadly: Character
) -> None:
    deploy(world, Character.GOOD)
    world.calm()
    deploy(world, deadly)
    world.calm()
    assert world.fate.deaths == 3
    found = record_of(world)
    assert found.error is not None
    assert (found.phase, found.error.code) == (Phase.ROLLED_BACK, "agent_restarted")
    world.pass_time(600)
    world.kill()
    world.pass_time(600)
    assert world.fate.deaths == 3
    assert world.device is not None
    world.device.retry("probe")
    world.calm()
    assert world.fate.deaths == 6
    deploy(world, Character.GOOD)
    world.calm()
    assert record_of(world).phase is Phase.ACTIVE


@pytest.mark.parametrize("deadly", sorted(DEADLY))
def test_a_first_version_that_takes_the_machine_down_is_refused(
    world: World, deadly: Character
) -> None:
    deploy(world, deadly)
    world.calm()
    found = record_of(world)
    assert found.error is not None
    assert (found.phase, found.error.code) == (Phase.REJECTED, "agent_restarted")
    assert world.fate.deaths == 3


def test_orderly_restarts_condemn_no_version_and_kills_do(world: World) -> None:
    deploy(world, Character.GOOD)
    world.calm()
    deploy(world, Character.GOOD)
    until(world, Phase.TRIAL)
    for _ in range(5):
        world.restart()
        world.round(0.1)
    assert record_of(world).phase is Phase.TRIAL
    assert record_of(world).interruptions == {}
    for _ in range(3):
        world.kill()
        world.round(0.1)
    assert record_of(world).phase is Phase.ROLLED_BACK


def test_a_service_that_was_set_back_hears_what_an_idle_device_runs(world: World) -> None:
    """Its broker stayed up, so the device has no reason of its own to speak."""
    deploy(world, Character.GOOD)
    world.service.back_up()
    world.calm()
    world.service.set_back()
    world.pass_time(10)
    reported = world.service.reported(NAME)
    assert reported is not None
    assert reported.slots["probe"].running_version == 1


def test_a_candidate_that_kills_the_machine_is_not_kept_because_something_else_is_wanted(
    world: World,
) -> None:
    deploy(world, Character.DEADLY_LIVE)
    until(world, Phase.TRIAL)
    deploy(world, Character.WRONG)
    world.calm()
    assert record_of(world).phase in FINAL_FAILURES
    # Some while it was wanted, and some while it was only what there is to run.
    assert world.fate.deaths <= 2 * MOST_INTERRUPTIONS - 1
