"""The watchdog and the service manager's socket."""

import os
import socket
from pathlib import Path

import pytest

from edge_agent.daemon.notify import ServiceManager
from edge_agent.daemon.watchdog import LONGEST_ROUND_S, Watchdog, hanging
from edge_agent.errors import Unavailable


@pytest.fixture
def manager(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        path = str(tmp_path / "notify")
        receiver.bind(path)
        receiver.settimeout(2)
        yield receiver, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"}


def test_the_service_manager_is_told(manager):
    receiver, environment = manager
    assert ServiceManager(environment).tell("READY=1", "STATUS=up")
    assert receiver.recv(100) == b"READY=1\nSTATUS=up"
    assert ServiceManager(environment).watchdog_s == 60
    other = {**environment, "WATCHDOG_PID": str(os.getpid() + 1)}
    assert ServiceManager(other).watchdog_s == 0


def test_without_a_service_manager_nothing_is_told_and_a_dead_one_is_an_error(tmp_path: Path):
    assert not ServiceManager({}).tell("READY=1")
    with pytest.raises(Unavailable):
        ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}).tell("READY=1")


def test_it_is_fed_only_while_every_loop_goes_round(manager):
    receiver, environment = manager
    progress = {"a": 0.0, "b": 0.0}
    watchdog = Watchdog(
        ServiceManager(environment),
        {name: (lambda name=name: progress[name]) for name in progress},
    )
    assert watchdog.round(1.0, "fine")
    assert [receiver.recv(100), receiver.recv(100)] == [b"STATUS=fine", b"WATCHDOG=1"]
    assert watchdog.round(2.0, "fine")  # too early to feed again
    progress["a"] = 100.0
    assert not watchdog.round(100.0, "fine")
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(100)
    progress["b"] = 101.0
    assert watchdog.round(101.0, "fine")
    assert receiver.recv(100) == b"WATCHDOG=1"


def test_loops_that_hang_are_named():
    assert hanging(100.0, {"a": 100.0, "b": 99.0 - LONGEST_ROUND_S}) == ("b",)
