"""Real agents in trouble: no network, a broken worker, a kill at a bad moment, a double."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.broker.embedded import free_port
from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.brokers import Broker, EmbeddedBroker, MosquittoBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import BuiltModule, build_module
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for


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


def install(cloud: FakeCloud, folder: Path, agent: AgentProcess, version: int = 1) -> BuiltModule:
    built = build_module(folder / f"v{version}", bias=float(version))
    cloud.publish_module(built)
    agent.await_status()
    cloud.want("line-1", {"probe": wanted(built, version)})
    cloud.await_slot("probe", lambda slot: slot.running == built.digest)
    return built


def answered(rows: RowsClient, topic: str = "sensors/a/rows") -> dict[str, object]:
    rows.send(topic, {"id": 1, "a": 1, "b": 1, "c": 1})
    return rows.next_answer()


@pytest.mark.needs("mosquitto")
def test_a_device_that_boots_without_its_cloud_runs_what_it_ran(
    tmp_path: Path, mosquitto_broker: MosquittoBroker
) -> None:
    control_broker = EmbeddedBroker(tmp_path / "control")
    control_broker.start()
    cloud = FakeCloud()
    cloud.connect(control_broker.host, control_broker.port)
    agent = AgentProcess(
        tmp_path / "line-1", cloud.url, control_broker.url, data_broker=mosquitto_broker.url
    )
    rows = RowsClient(mosquitto_broker.host, mosquitto_broker.port)
    try:
        agent.start()
        install(cloud, tmp_path, agent)
        assert agent.stop() == 0
        cloud.close()
        control_broker.stop()
        agent.start()
        status = agent.await_status()
        assert not status.cloud.is_connected
        # Its own broker: topics have no prefix.
        rows.listen("results/#")
        assert answered(rows)["version"] == 1
    finally:
        agent.stop()
        rows.close()
        control_broker.stop()


def test_the_service_manager_is_told_when_what_is_installed_is_loaded(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    install(cloud, tmp_path, agent)
    assert agent.stop() == 0
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        agent.environment["NOTIFY_SOCKET"] = str(path)
        # Without its broker, too.
        agent.broker_url = "mqtt://127.0.0.1:1"
        agent.start()
        while manager.recv(4096) != b"READY=1":
            pass
        worker = agent.status().slots["probe"].worker
    assert worker is not None
    assert (worker.state, worker.connected) == ("running", False)


def test_cloud_and_broker_may_come_after_the_agent(tmp_path: Path) -> None:
    port = free_port()
    cloud = FakeCloud()
    agent = AgentProcess(tmp_path / "line-1", cloud.url, f"mqtt://127.0.0.1:{port}")
    broker = EmbeddedBroker(tmp_path / "late", port=port)
    try:
        agent.start()
        assert "cannot be reached" in wait_for(lambda: agent.await_status().cloud.error)
        broker.start()
        cloud.connect(broker.host, broker.port)
        install(cloud, tmp_path, agent)
    finally:
        agent.stop()
        cloud.close()
        broker.stop()


def test_files_that_the_cloud_does_not_have_yet_are_fetched_when_it_has_them(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    built = build_module(tmp_path / "v1")
    agent.await_status()
    cloud.want("line-1", {"probe": wanted(built)})
    slot = cloud.await_slot("probe", lambda slot: slot.phase is Phase.FAILED)
    assert slot.error is not None
    assert slot.error.code == "blob_missing"
    assert slot.next_retry is not None
    cloud.publish_module(built)
    cloud.await_slot("probe", lambda slot: slot.running == built.digest)


def test_a_worker_that_is_killed_on_trial_without_a_predecessor_is_tried_again(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    built = install(cloud, tmp_path, agent)
    worker = agent.status().slots["probe"].worker
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert "SIGKILL" in cloud.await_event("worker_crashed").text
    # The next try may come so soon that no report shows the failure; the event is always told.
    assert "worker_crashed" in cloud.await_event("slot_failed").text
    wait_for(
        lambda: any(
            slot.running == built.digest and slot.attempts == 1
            for report in list(cloud.reports)
            if (slot := report.slots.get("probe")) is not None
        ),
        30,
    )


def test_a_worker_that_is_killed_on_trial_gives_way_to_the_version_before(
    cloud: FakeCloud, agent: AgentProcess, nats_broker: Broker, tmp_path: Path
) -> None:
    rows = RowsClient(nats_broker.host, nats_broker.port)
    try:
        first = install(cloud, tmp_path, agent)
        for _ in range(120):
            rows.send("data/line-1/sensors/a/rows", {"a": 1, "b": 1, "c": 1})
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE)
        install(cloud, tmp_path, agent, version=2)
        worker = agent.status().slots["probe"].worker
        assert worker is not None
        assert worker.version == 2
        os.kill(worker.pid, signal.SIGKILL)
        slot = cloud.await_slot("probe", lambda slot: slot.phase is Phase.ROLLED_BACK)
        assert slot.error is not None
        assert slot.error.code == "worker_crashed"
        cloud.await_slot("probe", lambda slot: slot.running == first.digest)
        # A worker of a committed version is simply started again.
        worker = agent.status().slots["probe"].worker
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        wait_for(lambda: len(cloud.events("worker_crashed")) == 2)
        cloud.await_slot("probe", lambda slot: slot.running == first.digest)
        rows.listen("data/line-1/results/#")
        assert answered(rows, "data/line-1/sensors/a/rows")["version"] == 1
    finally:
        rows.close()


def test_an_agent_that_is_killed_during_a_download_finishes_it_after_the_restart(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    first = install(cloud, tmp_path, agent)
    second = build_module(tmp_path / "v2", bias=2.0)
    cloud.publish_module(second)
    cloud.hold = {second.manifest.model.blob.digest}
    cloud.want("line-1", {"probe": wanted(second, 2)})
    assert cloud.held.wait(10)
    agent.kill()
    cloud.release.set()
    agent.start()
    # The old version runs from the disk, before anything is fetched.
    status = agent.await_status()
    assert status.slots["probe"].worker is not None
    assert status.slots["probe"].worker.digest in (first.digest, second.digest)
    cloud.await_slot("probe", lambda slot: slot.running == second.digest)


def test_a_download_that_hangs_holds_up_nobody_else_and_is_given_up_when_not_wanted(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    first = install(cloud, tmp_path, agent)
    second = build_module(tmp_path / "v2", bias=2.0)
    other = build_module(tmp_path / "other", name="other", bias=3.0)
    cloud.publish_module(second)
    cloud.publish_module(other)
    cloud.hold = {second.manifest.model.blob.digest}
    cloud.want("line-1", {"probe": wanted(second, 2)})
    assert cloud.held.wait(10)
    cloud.want("line-1", {"probe": wanted(first), "other": wanted(other)})
    cloud.await_slot("other", lambda slot: slot.running == other.digest)
    assert not cloud.release.is_set()
    cloud.release.set()
    cloud.await_slot("probe", lambda slot: slot.wanted == first.digest and slot.error is None)
    assert "event=superseded slot=probe" in wait_for(
        lambda: agent.log if "event=superseded" in agent.log else None
    )


def test_an_agent_that_stops_says_goodbye_and_ends_its_workers(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    install(cloud, tmp_path, agent)
    worker = agent.status().slots["probe"].worker
    assert worker is not None
    assert agent.stop() == 0
    last = wait_for(lambda: [s for s in cloud.statuses if s.state == "offline"])[-1]
    assert last.reason == "SIGTERM"
    assert not Path(f"/proc/{worker.pid}").exists()


def test_workers_end_with_an_agent_that_is_killed(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    install(cloud, tmp_path, agent)
    worker = agent.status().slots["probe"].worker
    assert worker is not None
    agent.kill()
    wait_for(lambda: not Path(f"/proc/{worker.pid}").exists())
    last = wait_for(lambda: [s for s in cloud.statuses if s.state == "offline"])[-1]
    assert last.reason == "connection lost"


def test_two_agents_never_share_a_state_directory(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    agent.await_status()
    assert agent.process is not None
    double = AgentProcess(agent.folder, agent.cloud_url, agent.broker_url)
    double.start()
    assert double.process is not None
    assert double.process.wait(20) == 1
    assert f"used by another agent, process {agent.process.pid}" in agent.log


def test_of_two_agents_with_one_name_the_later_one_steps_back(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    first = install(cloud, tmp_path, agent)
    double = AgentProcess(tmp_path / "double", agent.cloud_url, agent.broker_url)
    try:
        double.start()
        conflict = wait_for(lambda: double.await_status().cloud.conflict, 30, lambda: double.log)
        assert "another agent runs as device 'line-1'" in conflict
        assert "stays off the cloud" in conflict
        assert "event=identity_conflict" in double.log
        # Its workers would throw those of the first one out: they are stopped.
        wait_for(lambda: all(s.worker is None for s in double.status().slots.values()))
        wait_for(lambda: agent.status().cloud.is_connected, 20)
        assert agent.status().cloud.conflict == ""
        slot = agent.status().slots["probe"]
        assert slot.worker is not None
        assert slot.state.running == first.digest
        assert cloud.await_event("identity_conflict").detail["boot_id"]
    finally:
        double.stop()
    # The double's goodbye must not make the first one look offline.
    boot_id = agent.status().boot_id
    assert cloud.statuses[-1].boot_id == boot_id
    assert cloud.statuses[-1].state == "online"


def test_a_file_that_rotted_on_the_disk_is_never_loaded_but_fetched_again(
    cloud: FakeCloud, agent: AgentProcess, nats_broker: Broker, tmp_path: Path
) -> None:
    rows = RowsClient(nats_broker.host, nats_broker.port)
    try:
        built = install(cloud, tmp_path, agent)
        for _ in range(120):
            rows.send("data/line-1/sensors/a/rows", {"a": 1, "b": 1, "c": 1})
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE)
        agent.stop()
        model = built.manifest.model.blob
        path = agent.state_dir / "blobs" / model.digest.removeprefix("sha256:")
        path.write_bytes(b"x" * model.size)
        asked = cloud.requests.count(model.digest)
        agent.start()
        wait_for(lambda: cloud.requests.count(model.digest) > asked, 20, lambda: agent.log)
        cloud.await_slot("probe", lambda slot: slot.running == built.digest)
        rows.listen("data/line-1/results/#")
        assert answered(rows, "data/line-1/sensors/a/rows")["version"] == 1
    finally:
        rows.close()
