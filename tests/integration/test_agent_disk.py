"""A real agent on a disk that is too full for a new module."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module

DISK_BYTES = 8 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_an_install_and_nothing_else(
    small_disk: Path, nats_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    agent = AgentProcess(small_disk / "line-1", cloud.url, nats_broker.url)
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
        filler = small_disk / "filler"
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
