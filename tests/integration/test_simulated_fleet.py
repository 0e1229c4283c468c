"""A simulated fleet against the real service, over both brokers."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_sync.broker.session import parse_url
from cloud_sync.client import ShoalClient
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutState, RolloutWish
from cloud_sync.simulator.behaviour import Behaviour, Flaw
from cloud_sync.simulator.fleet import SimulatedFleet
from cloud_sync.simulator.inventory import names
from cloud_sync.simulator.tally import FleetNumbers
from edge_agent.contract.scores import Profile, ScoreBins
from edge_agent.contract.state import AgentInfo
from tests.support.brokers import Broker
from tests.support.models import build_module
from tests.support.service import CloudService

QUICK = Behaviour(fetch_s=0.2, prove_s=0.1, trial_s=0.2, health_interval_s=1, messages_per_s=50)
WAIT_S = 90.0
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cloud(any_broker: Broker, tmp_path: Path) -> Iterator[CloudService]:
    running = CloudService(tmp_path / "cloud", broker=any_broker.url).start()
    yield running
    running.stop()


def fleet(cloud: CloudService, count: int, behaviour: Behaviour = QUICK) -> SimulatedFleet:
    address = parse_url(cloud.broker_url)
    return SimulatedFleet(address, names("sim", count), behaviour, AgentInfo(version="simulated"))


async def until(
    running: SimulatedFleet, client: ShoalClient, is_done: Callable[[], bool]
) -> FleetNumbers:
    """Wait for a condition that the service has to be asked about."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(is_done):
            running.check()
            await asyncio.sleep(0.1)
    return running.numbers()


@pytest.mark.needs("mosquitto")
def test_a_fleet_takes_a_version_and_the_service_sees_what_it_does(
    cloud: CloudService, tmp_path: Path
) -> None:
    async def story() -> None:
        with ShoalClient(cloud.url) as client:
            client.modules.publish(build_module(tmp_path / "m", name="m"))
            async with fleet(cloud, 30) as running:
                found = client.devices.search
                await until(
                    running, client, lambda: sum(d.presence == "online" for d in found()) == 30
                )
                await asyncio.to_thread(client.deployments.deploy, "m", "all")
                numbers = await until(
                    running,
                    client,
                    lambda: all("m" in d.slots and d.slots["m"].phase == "active" for d in found()),
                )
                assert numbers.versions == {"m m/1": 30}
                await until(
                    running, client, lambda: all(_messages(client, d.device) > 0 for d in found())
                )
                names_of_events = {e.name for e in client.telemetry.events()}
                assert "slot_active" in names_of_events
                assert not numbers.complaints
                await until(
                    running, client, lambda: all(not len(d.outbox) for d in running.devices)
                )
            # Everybody has said goodbye.
            await until(running, client, lambda: all(d.presence == "offline" for d in found()))

    asyncio.run(story())


def _messages(client: ShoalClient, device: str) -> int:
    health = client.devices.show(device).health
    return health.slots["m"].messages_in if health and "m" in health.slots else 0


@pytest.mark.needs("mosquitto")
def test_devices_that_are_away_are_told_by_their_last_wills_and_come_back(
    cloud: CloudService, tmp_path: Path
) -> None:
    behaviour = Behaviour(away=0.5, away_s=2.0, health_interval_s=1)

    async def story() -> None:
        with ShoalClient(cloud.url) as client:
            async with fleet(cloud, 10, behaviour) as running:
                names_seen: set[str] = set()

                def is_told() -> bool:
                    for event in client.telemetry.events():
                        names_seen.add(event.name)
                    return {"online", "offline"} <= names_seen

                numbers = await until(running, client, is_told)
                assert numbers.losses > 0

    asyncio.run(story())


def test_the_command_simulates_and_says_what_it_saw(service: CloudService, tmp_path: Path) -> None:
    with ShoalClient(service.url) as client:
        client.modules.publish(build_module(tmp_path / "m", name="m"))
    command = [sys.executable, "-m", "cloud_sync.cli.main", "-s", service.url, "fleet", "simulate"]
    options = ["-n", "5", "--fetch", "0.1", "--trial", "0.1", "--sites", "2", "--json"]
    flaw = ["--flaw", "m/1 rejects=1"]
    process = subprocess.Popen(
        [*command, *options, *flaw], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        with ShoalClient(service.url) as client:
            asyncio.run(_await(lambda: len(_tagged(client)) == 5))
            client.deployments.deploy("m", "fleet=simulated")
            asyncio.run(
                _await(
                    lambda: all(
                        "m" in d.slots and d.slots["m"].phase == "rejected"
                        for d in client.devices.search()
                    )
                )
            )
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    numbers = json.loads(out)
    assert numbers["phases"] == {"m rejected": 5}
    assert numbers["sent"]["up/status"] == 10
    assert {tags["site"] for tags in _tagged_values(service)} <= {"site-1", "site-2"}


def test_a_version_with_a_score_profile_is_judged_by_it_without_a_shadow(
    service: CloudService, tmp_path: Path
) -> None:
    bins = ScoreBins(edges=(0.5, 1.0), counts=(9000, 4000, 1000, 0))
    profile = Profile(output="score", columns=(bins,))
    command = [sys.executable, "-m", "cloud_sync.cli.main", "-s", service.url, "fleet", "simulate"]
    options = ["-n", "4", "--fetch", "0.1", "--trial", "0.1", "--messages", "300"]
    options += ["--health-interval", "1", "--flaw", "m/3 psi=3"]
    policy = Policy(stages=("1", "100%"), shadow_stages=0, soak_s=0, soak_messages=500)
    resting = {RolloutState.COMPLETED, RolloutState.PAUSED}
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    try:
        with ShoalClient(service.url) as client:
            for version in (1, 2, 3):
                built = build_module(
                    tmp_path / str(version), name="m", bias=float(version), profile=profile
                )
                client.modules.publish(built)
            asyncio.run(_await(lambda: len(client.devices.search()) == 4))
            client.deployments.deploy("m", "all", version=1)
            ended = {}
            for version in (2, 3):
                wish = RolloutWish(module="m", to="all", version=version, policy=policy, seed=1)
                number = client.rollouts.create(wish).summary.id

                def is_resting(number: str = number) -> bool:
                    return client.rollouts.show(number).summary.state in resting

                asyncio.run(_await(is_resting))
                ended[version] = client.rollouts.show(number).summary
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_S)
    finally:
        process.kill()
        process.wait()
    assert ended[2].state is RolloutState.COMPLETED, ended[2]
    assert ended[3].state is RolloutState.PAUSED, ended[3]
    outcomes = {}
    for version in (2, 3):
        verdict = ended[version].stages[0].verdict
        assert verdict is not None
        outcomes[version] = {found.gate: found.outcome for found in verdict.findings}["psi"]
    assert outcomes == {2: "passed", 3: "failed"}


def _tagged(client: ShoalClient) -> list[str]:
    return [d.device for d in client.devices.search(tags={"fleet": "simulated"})]


def _tagged_values(service: CloudService) -> list[dict[str, str]]:
    with ShoalClient(service.url) as client:
        return [d.tags for d in client.devices.search()]


async def _await(is_done: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(is_done):
            await asyncio.sleep(0.1)


def test_a_rollout_of_a_simulated_fleet_is_caught_by_its_gate_and_can_be_replayed(
    service: CloudService, tmp_path: Path
) -> None:
    flaws = (Flaw(of="m/2", wrong=0.4),)
    behaviour = Behaviour(
        fetch_s=0.1, prove_s=0.1, trial_s=0.1, health_interval_s=1, messages_per_s=300, flaws=flaws
    )
    policy = Policy(
        stages=("2", "100%"), shadow_stages=1, soak_s=0, soak_messages=300, on_error="rollback"
    )
    over = {RolloutState.ROLLED_BACK, RolloutState.COMPLETED, RolloutState.PAUSED}

    async def story() -> str:
        with ShoalClient(service.url, actor="anna") as client:
            for bias in (1.0, 2.0):
                client.modules.publish(build_module(tmp_path / str(bias), name="m", bias=bias))
            async with fleet(service, 8, behaviour) as running:
                found = client.devices.search
                await until(running, client, lambda: len(found()) == 8)
                await asyncio.to_thread(client.deployments.deploy, "m", "all", version=1)
                await until(
                    running,
                    client,
                    lambda: all("m" in d.slots and d.slots["m"].phase == "active" for d in found()),
                )
                wish = RolloutWish(module="m", to="all", version=2, policy=policy, seed=1)
                number = (await asyncio.to_thread(client.rollouts.create, wish)).summary.id
                await until(
                    running, client, lambda: client.rollouts.show(number).summary.state in over
                )
                summary = client.rollouts.show(number).summary
                assert summary.state is RolloutState.ROLLED_BACK, summary
                verdict = summary.stages[0].verdict
                assert verdict is not None
                assert "disagreement" in {f.gate for f in verdict.findings if f.outcome == "failed"}
                assert running.numbers().versions["m m/1"] == 8
            return number

    number = asyncio.run(story())
    without = tmp_path / "without.toml"
    without.write_text('stages = ["100%"]\nshadow_stages = 0\nwithout_gates = ["all"]\n')
    command = [sys.executable, "-m", "cloud_sync.cli.main", "-s", service.url, "rollout", "replay"]
    done = subprocess.run(
        [*command, number, "--policy", str(without), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["as recorded"]["state"] == "rolled_back"
    assert found["as recorded"]["answered"] == 0
    assert found["without.toml"]["offered"] == 8, found


@pytest.mark.needs("mosquitto")
def test_a_fleet_that_was_in_waits_for_a_broker_that_is_started_again(any_broker: Broker) -> None:
    async def story() -> None:
        devices = names("sim", 3)
        agent = AgentInfo(version="simulated")
        async with SimulatedFleet(parse_url(any_broker.url), devices, QUICK, agent) as running:

            async def until_seen(is_seen: Callable[[FleetNumbers], bool]) -> None:
                async with asyncio.timeout(WAIT_S):
                    while not is_seen(running.numbers()):
                        running.check()
                        await asyncio.sleep(0.05)

            await until_seen(lambda seen: seen.connected == len(devices))
            await asyncio.to_thread(any_broker.stop)
            await until_seen(lambda seen: seen.refusals > 2 * len(devices))
            await asyncio.to_thread(any_broker.start)
            await until_seen(lambda seen: seen.connected == len(devices))

    asyncio.run(story())
