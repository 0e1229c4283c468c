"""A real agent under a service manager: a socket that is really told, and really not."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.daemon.status import AgentStatus
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.waiting import wait_for


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """Where the service manager is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(30)
        yield receiver


def await_line(told: socket.socket, line: str) -> None:
    """Wait until it is said anew."""
    drain(told)
    told.settimeout(30)
    while line not in told.recv(4096).decode().splitlines():
        pass


def test_it_is_fed_while_the_supervisor_deals_with_a_worker_that_hangs(
    tmp_path: Path, told: socket.socket, nats_broker: EmbeddedBroker
) -> None:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    agent = AgentProcess(tmp_path / "line-1", cloud.url, nats_broker.url)
    agent.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    try:
        agent.start()
        built = build_module(tmp_path / "v1")
        cloud.publish_module(built)
        agent.await_status(30)
        cloud.want("line-1", {"probe": wanted(built)})
        cloud.await_slot("probe", lambda slot: slot.running == built.digest)
        pid = worker_pid(agent.status())
        os.kill(pid, signal.SIGSTOP)
        await_line(told, "WATCHDOG=1")
        wait_for(lambda: worker_pid(agent.status()) not in (0, pid), 60, lambda: agent.log)
        await_line(told, "WATCHDOG=1")
        assert agent.process is not None
        assert agent.process.poll() is None
        assert "event=hangs what" not in agent.log
    finally:
        agent.stop()
        cloud.close()
    assert "STOPPING=1" in drain(told)


def worker_pid(status: AgentStatus) -> int:
    worker = status.slots["probe"].worker
    return worker.pid if worker is not None else 0


def drain(told: socket.socket) -> list[str]:
    told.setblocking(False)
    said: list[str] = []
    while True:
        try:
            said += told.recv(4096).decode().splitlines()
        except BlockingIOError:
            return said
