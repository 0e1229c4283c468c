"""A real agent on real hardware: what it found, what it measured, what it had to fall back to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.manifest import Runtime
from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.providers import CPU
from edge_agent.daemon.hardware import FILE as PROVIDERS_FILE
from edge_agent.daemon.measurements import FILE as MEASUREMENTS_FILE
from tests.support.agents import AgentProcess
from tests.support.brokers import Broker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.waiting import wait_for


@pytest.fixture
def cloud(nats_broker: Broker) -> Iterator[FakeCloud]:
    service = FakeCloud()
    service.connect(nats_broker.host, nats_broker.port)
    yield service
    service.close()


@pytest.fixture
def agent(tmp_path: Path, nats_broker: Broker, cloud: FakeCloud) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path / "line-1", cloud.url, nats_broker.url)
    process.start()
    yield process
    process.stop()


def worker_of(agent: AgentProcess) -> SlotHealth | None:
    slot = agent.status().slots.get("probe")
    return slot.worker if slot is not None else None


def runs_on_the_cpu(agent: AgentProcess) -> bool:
    worker = worker_of(agent)
    return worker is not None and worker.runs_on == (CPU,) and worker.threads > 0


def test_a_model_that_wants_what_is_not_there_runs_on_the_cpu_and_everybody_is_told(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    built = build_module(tmp_path / "v1", runtime=Runtime(providers=("cann", "cuda")))
    cloud.publish_module(built)
    agent.await_status()
    cloud.want("line-1", {"probe": wanted(built)})
    event = cloud.await_event("provider_fallback")
    assert event.text.startswith("cann is not used: ")
    assert event.detail == {"version": "1", "runs_on": "cpu"}

    wait_for(lambda: runs_on_the_cpu(agent), 30)
    worker = worker_of(agent)
    assert worker is not None
    assert [note.split(" is not used")[0] for note in worker.notes] == ["cann", "cuda"]
    assert agent.status().hardware.providers == (CPU,)

    # The trial measured, and what it measured is there for the next worker.
    assert (agent.state_dir / MEASUREMENTS_FILE).is_file()
    assert (agent.state_dir / PROVIDERS_FILE).is_file()
    agent.kill()
    agent.start()
    agent.await_status(30)
    wait_for(lambda: runs_on_the_cpu(agent), 30)


def test_a_module_that_wants_nothing_gets_the_cpu_without_a_word(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    built = build_module(tmp_path / "v1")
    cloud.publish_module(built)
    agent.await_status()
    cloud.want("line-1", {"probe": wanted(built)})
    wait_for(lambda: runs_on_the_cpu(agent), 30)
    worker = worker_of(agent)
    assert worker is not None
    assert worker.notes == ()
    assert not cloud.events("provider_fallback")
