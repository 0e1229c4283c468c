"""A real agent that is started on a disk which takes no writes any more: what is installed runs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.state import Phase
from edge_agent.daemon.refuge import current_folder, leave_refuges
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

pytestmark = pytest.mark.needs("mount")


class WornDisk:
    """A disk of its own for the state directory, which can be made read-only and mended again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._mount("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder))

    def wear_out(self) -> None:
        """Refused as long as a worker of a killed agent writes to it."""
        command = ["mount", "-o", "remount,ro", str(self.folder)]
        wait_for(lambda: subprocess.run(command, check=False).returncode == 0, 30)

    def mend(self) -> None:
        self._mount("mount", "-o", "remount,rw", str(self.folder))

    def remove(self) -> None:
        self._mount("umount", str(self.folder))

    @staticmethod
    def _mount(*command: str) -> None:
        subprocess.run(command, check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[WornDisk]:
    disk = WornDisk(tmp_path / "line-1" / "state")
    yield disk
    leave_refuges(disk.folder)
    disk.remove()


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_device_whose_disk_is_read_only_runs_what_is_installed_until_it_is_mended(
    ending: str, disk: WornDisk, nats_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    rows = RowsClient(nats_broker.host, nats_broker.port)
    rows.listen("data/line-1/results/#")
    agent = AgentProcess(disk.folder.parent, cloud.url, nats_broker.url)
    versions = [build_module(tmp_path / f"v{n}", bias=float(n)) for n in (1, 2)]
    for built in versions:
        cloud.publish_module(built)

    def answer() -> int:
        rows.answers.clear()

        def answered() -> int | None:
            rows.send("data/line-1/sensors/a/rows", {"id": 1, "a": 1, "b": 1, "c": 1})
            return int(rows.answers[-1]["version"]) if rows.answers else None

        return wait_for(answered, 30, lambda: agent.log)

    try:
        agent.start()
        agent.await_status()
        cloud.want("line-1", {"probe": wanted(versions[0], 1)})
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE)
        assert agent.stop() == 0 if ending == "stop" else agent.kill()
        disk.wear_out()
        before = sorted(path.name for path in disk.folder.rglob("*"))

        agent.start()
        agent.await_status(30)
        assert answer() == 1
        event = cloud.await_event("state_read_only", 60)
        assert event.detail["state_dir"] == str(disk.folder)
        assert agent.status().slots["probe"].state.phase is Phase.ACTIVE
        # Orders are followed, too, as far as memory goes; a restart finds what was done.
        cloud.want("line-1", {"probe": wanted(versions[1], 2)})
        cloud.await_slot("probe", lambda slot: slot.running_version == 2, 60)
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE, 60)
        agent.kill()
        agent.start()
        agent.await_status(30)  # until then the worker of the agent that was killed may answer
        assert answer() == 2
        assert agent.stop() == 0
        assert sorted(path.name for path in disk.folder.rglob("*")) == before

        # On the mended disk it is where it was, and the cloud brings it to what is wanted.
        disk.mend()
        agent.start()
        cloud.await_slot("probe", lambda slot: slot.running_version == 2, 60)
        wait_for(lambda: answer() == 2, 30)
        assert current_folder(disk.folder) == disk.folder
    finally:
        agent.stop()
        rows.close()
        cloud.close()
