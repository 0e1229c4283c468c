"""A real agent on a disk that is too full for a new module, or for anything at all."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.contract.state import Phase
from edge_agent.store.ballast import BALLAST_FILE
from edge_agent.store.journal import JOURNAL_FILE
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

pytestmark = pytest.mark.needs("mount")

DISK_BYTES = 8 * 2**20


@pytest.fixture
def state_disk(tmp_path: Path) -> Iterator[Path]:
    """The state directory of the agent in `line-1`: a small disk of its own."""
    folder = tmp_path / "line-1" / "state"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Take every byte that the disk has left."""
    with file.open("wb", buffering=0) as filler:
        for size in (65_536, 4096, 1):
            with suppress(OSError):
                while filler.write(bytes(size)):
                    pass


def test_a_full_disk_stops_an_install_and_nothing_else(
    state_disk: Path, nats_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    agent = AgentProcess(state_disk.parent, cloud.url, nats_broker.url)
    try:
        agent.start()
        agent.await_status()
        first = build_module(tmp_path / "v1", bias=1.0)
        cloud.publish_module(first)
        cloud.want("line-1", {"probe": wanted(first)})
        cloud.await_slot("probe", lambda slot: slot.running == first.digest)
        case = {"payload": {"a": 1, "b": 1, "c": 1}, "outputs": {"score": [8.0]}}
        second = build_module(tmp_path / "v2", bias=2.0, golden=[case] * 40_000)
        cloud.publish_module(second)
        filler = state_disk / "filler"
        filler.write_bytes(bytes(6 * 2**20))
        cloud.want("line-1", {"probe": wanted(second, 2)})
        slot = cloud.await_slot("probe", lambda slot: slot.phase is Phase.FAILED)
        assert slot.error is not None
        assert slot.error.code == "disk_full"
        assert slot.running == first.digest
        assert not list((agent.state_dir / "tmp").iterdir())
        filler.unlink()
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.TRIAL, 60)
    finally:
        agent.stop()
        cloud.close()


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_device_that_reboots_on_a_full_disk_runs_its_modules(
    ending: str, state_disk: Path, nats_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    rows = RowsClient(nats_broker.host, nats_broker.port)
    agent = AgentProcess(
        state_disk.parent,
        cloud.url,
        nats_broker.url,
        environment={"EDGE_AGENT_DISK_BALLAST_MB": "0"},
    )
    try:
        agent.start()
        agent.await_status()
        built = build_module(tmp_path / "v1", bias=1.0)
        cloud.publish_module(built)
        cloud.want("line-1", {"probe": wanted(built)})
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE)
        # Stopped, the databases are single files; cut off, their logs are still beside them.
        assert agent.stop() == 0 if ending == "stop" else agent.kill()
        filler = state_disk / "filler"
        fill(filler)
        assert shutil.disk_usage(state_disk).free == 0
        known = len(cloud.healths)
        agent.start()
        assert agent.await_status().slots["probe"].state.phase is Phase.ACTIVE
        rows.listen("data/line-1/results/#")
        rows.send("data/line-1/sensors/a/rows", {"id": 1, "a": 1, "b": 1, "c": 1})
        assert rows.next_answer()["version"] == 1
        # The cloud hears of the disk, though no report can be kept.
        wait_for(lambda: len(cloud.healths) > known, 30)
        assert cloud.healths[-1].disk_free_mb == 0
        assert cloud.healths[-1].disk_low
        # What is asked for meanwhile is done when there is space again, without a restart.
        cloud.want("line-1", {})
        wait_for(lambda: "event=desired_not_kept" in agent.log, 30)
        filler.unlink()
        wait_for(lambda: cloud.reports[-1].revision_applied == 2, 30)
        assert agent.status().slots == {}
        # Others can read the journal again, beside the agent that opened it without room.
        wait_for(lambda: boots(state_disk) == 2, 30)
    finally:
        agent.stop()
        rows.close()
        cloud.close()


def boots(state_dir: Path) -> int:
    """How many runs the journal knows, read as `edge-agent infer` reads it."""
    journal = sqlite3.connect(f"file:{state_dir / JOURNAL_FILE}?mode=ro", uri=True, timeout=0.1)
    try:
        return int(journal.execute("SELECT count(*) FROM boots").fetchone()[0])
    except sqlite3.OperationalError:  # it is the agent's alone
        return 0
    finally:
        journal.close()


def test_a_disk_that_fills_up_stops_downloads_and_nothing_else_and_recovers(
    state_disk: Path, nats_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    rows = RowsClient(nats_broker.host, nats_broker.port)
    agent = AgentProcess(state_disk.parent, cloud.url, nats_broker.url)
    try:
        agent.start()
        agent.await_status()
        first, second = (build_module(tmp_path / f"v{n}", bias=float(n)) for n in (1, 2))
        for built in (first, second):
            cloud.publish_module(built)
        cloud.want("line-1", {"probe": wanted(first)})
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE)
        wait_for((state_disk / BALLAST_FILE).exists, 30)
        filler = state_disk / "filler"
        # Little is left, but not nothing: there is room for the event.
        filler.write_bytes(bytes(shutil.disk_usage(state_disk).free - 300_000))
        assert cloud.await_event("disk_low").detail["total_mb"] == "8.0"
        wait_for(lambda: cloud.healths and cloud.healths[-1].disk_low, 30)
        assert agent.status().disk_low
        cloud.requests.clear()
        cloud.want("line-1", {"probe": wanted(second, 2)})
        slot = cloud.await_slot("probe", lambda slot: slot.phase is Phase.FAILED)
        assert slot.error is not None
        assert slot.error.code == "disk_low"
        assert slot.running == first.digest
        assert cloud.requests == []
        rows.listen("data/line-1/results/#")
        rows.send("data/line-1/sensors/a/rows", {"id": 1, "a": 1, "b": 1, "c": 1})
        assert rows.next_answer()["version"] == 1
        filler.unlink()
        cloud.await_slot("probe", lambda slot: slot.running == second.digest, 60)
        cloud.await_event("disk_recovered")
        wait_for(lambda: not cloud.healths[-1].disk_low, 30)
        assert len(cloud.events("disk_low")) == 1
    finally:
        agent.stop()
        rows.close()
        cloud.close()


def test_on_a_full_disk_the_order_to_remove_what_fills_it_is_followed(
    state_disk: Path, nats_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    agent = AgentProcess(state_disk.parent, cloud.url, nats_broker.url)
    try:
        agent.start()
        agent.await_status()
        built = build_module(tmp_path / "v1", bias=1.0)
        cloud.publish_module(built)
        cloud.want("line-1", {"probe": wanted(built)})
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE)
        ballast = state_disk / BALLAST_FILE
        wait_for(ballast.exists, 30)
        filler = state_disk / "filler"
        fill(filler)
        cloud.want("line-1", {})
        wait_for(lambda: cloud.reports[-1].revision_applied == 2, 30)
        assert agent.status().slots == {}
        wait_for(lambda: not list((state_disk / "blobs").iterdir()), 30)
        filler.unlink()
        wait_for(ballast.exists, 30)
    finally:
        agent.stop()
        cloud.close()
