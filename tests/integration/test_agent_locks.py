"""A program on the device says "not now", and a real agent puts an update off."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.state import UPDATE_LOCKED, ReportedSlot
from tests.support.agents import AgentProcess, edge_agent
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import BuiltModule, build_module


@pytest.fixture
def cloud(nats_broker: EmbeddedBroker) -> Iterator[FakeCloud]:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    yield cloud
    cloud.close()


@pytest.fixture
def agent(tmp_path: Path, nats_broker: EmbeddedBroker, cloud: FakeCloud) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path / "line-1", cloud.url, nats_broker.url)
    process.start()
    process.await_status()
    yield process
    process.stop()


def deploy(cloud: FakeCloud, folder: Path, version: int) -> BuiltModule:
    built = build_module(folder / f"v{version}", bias=float(version))
    cloud.publish_module(built)
    cloud.want("line-1", {"probe": wanted(built, version=version)})
    return built


def is_put_off(slot: ReportedSlot) -> bool:
    return slot.is_put_off and slot.locked_until is not None


def test_an_update_waits_for_a_lock_over_a_restart_and_goes_on_after_it(
    agent: AgentProcess, cloud: FakeCloud, tmp_path: Path
) -> None:
    first = deploy(cloud, tmp_path, 1)
    cloud.await_slot("probe", lambda slot: slot.running == first.digest)
    locked = edge_agent("lock", "probe", "--for", "3000", "--reason", "a cut", cwd=agent.folder)
    assert locked.returncode == 0, locked.stderr
    assert "probe: locked until" in locked.stdout
    cloud.await_slot("probe", lambda slot: slot.locked_until is not None)

    second = deploy(cloud, tmp_path, 2)
    slot = cloud.await_slot("probe", is_put_off)
    assert slot.running == first.digest
    assert slot.wanted == second.digest
    assert slot.error is not None
    assert slot.error.code == UPDATE_LOCKED
    assert slot.next_retry is not None
    assert "a cut" in edge_agent("status", cwd=agent.folder).stdout
    explained = json.loads(edge_agent("explain", "probe", "--json", cwd=agent.folder).stdout)
    assert "edge-agent unlock" in explained["advice"]

    agent.stop()
    agent.start()
    status = agent.await_status()
    assert status.slots["probe"].state.locked_until is not None
    unlocked = edge_agent("unlock", "probe", "--json", cwd=agent.folder)
    assert json.loads(unlocked.stdout)["was_held"]
    cloud.await_slot("probe", lambda slot: slot.running == second.digest)


def test_a_lock_that_cannot_be_had_is_refused_with_the_reason(agent: AgentProcess) -> None:
    unknown = edge_agent("lock", "missing", "--json", cwd=agent.folder)
    assert unknown.returncode == 1
    assert json.loads(unknown.stderr)["error"]["code"] == "not_found"
    too_long = edge_agent("lock", "--for", "1e7", "--json", cwd=agent.folder)
    assert json.loads(too_long.stderr)["error"]["code"] == "lock_too_long"
    assert edge_agent("lock", cwd=agent.folder).stdout.startswith("all slots: locked until")
    named = edge_agent("lock", "", "--for", "5", "--json", cwd=agent.folder)
    assert json.loads(named.stderr)["error"]["code"] == "slot_empty"
    assert edge_agent("unlock", cwd=agent.folder).stdout == (
        "all slots: not locked; ended: the lock of all slots\n"
    )
