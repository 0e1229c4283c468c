"""What a real agent reports: repeated until acknowledged, and never needed for what it decided."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.broker.embedded import EmbeddedBroker
from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.waiting import wait_for

TIMEOUT_S = 30


@pytest.fixture
def cloud(nats_broker: EmbeddedBroker) -> Iterator[FakeCloud]:
    service = FakeCloud()
    service.connect(nats_broker.host, nats_broker.port)
    yield service
    service.close()


@pytest.fixture
def agent(tmp_path: Path, nats_broker: EmbeddedBroker, cloud: FakeCloud) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path / "line-1", cloud.url, nats_broker.url)
    process.start()
    yield process
    process.stop()


def install(cloud: FakeCloud, folder: Path) -> str:
    """Have a module wanted; its digest."""
    built = build_module(folder / "v1")
    cloud.publish_module(built)
    cloud.want("line-1", {"probe": wanted(built)})
    return built.digest


def await_active(agent: AgentProcess, digest: str) -> None:
    def is_active() -> bool:
        slot = agent.await_status().slots.get("probe")
        return slot is not None and (slot.state.phase, slot.state.running) == (Phase.ACTIVE, digest)

    wait_for(is_active, TIMEOUT_S, lambda: agent.log)


def test_reports_that_nobody_hears_undo_nothing_and_are_repeated(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    cloud.is_acknowledging = False
    agent.await_status()
    digest = install(cloud, tmp_path)
    await_active(agent, digest)
    # What became of the order has been told, and only this cloud forgets it.
    cloud.await_event("slot_active")
    agent.kill()
    cloud.rows.clear()
    cloud.reports.clear()
    agent.start()
    await_active(agent, digest)
    cloud.is_acknowledging = True
    agent.stop()
    agent.start()
    cloud.await_slot("probe", lambda slot: slot.running == digest)
    # The first run's event has waited for somebody to hear it.
    assert cloud.await_event("slot_active").detail["version"] == "1"
    wait_for(lambda: agent.await_status().outbox_rows == 0, TIMEOUT_S, lambda: agent.log)


def test_a_device_that_is_set_back_to_an_image_sends_nothing_that_the_cloud_has(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    cloud.is_acknowledging = False
    agent.await_status()
    await_active(agent, install(cloud, tmp_path))
    wait_for(lambda: cloud.events("slot_active"), TIMEOUT_S)
    agent.stop()
    shutil.copytree(agent.state_dir, tmp_path / "image")
    cloud.is_acknowledging = True
    for _ in range(2):
        agent.start()
        wait_for(lambda: agent.await_status().outbox_rows == 0, TIMEOUT_S, lambda: agent.log)
        wait_for(lambda: agent.status().cloud.is_connected, TIMEOUT_S, lambda: agent.log)
        agent.stop()
        shutil.rmtree(agent.state_dir)
        shutil.copytree(tmp_path / "image", agent.state_dir)
    assert len(cloud.events("slot_active")) == 1
    sent = [line for line in agent.log.splitlines() if "event=rows_sent" in line]
    (row,) = [name for name, found in cloud.rows.items() if b"slot_active" in bytes(found.data)]
    times = [line for line in sent if f"boot_id={row[0]} " in line]
    numbers = [seq for line in times for seq in line.rpartition("seqs=")[2].split()[0].split(",")]
    assert numbers.count(str(row[1])) == 1
