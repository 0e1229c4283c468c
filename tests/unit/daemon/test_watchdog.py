"""The watchdog and the service manager's socket: fed, and not fed, by what really goes on."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.daemon.local import LocalServer, ask_status
from edge_agent.daemon.machine import is_running
from edge_agent.daemon.notify import ServiceManager
from edge_agent.daemon.status import AgentStatus
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.daemon.watchdog import ENDED, LONGEST_ROUND_S, Sign, Watchdog, hanging
from edge_agent.errors import Unavailable
from edge_agent.reconcile.fitness import LOAD_S, SILENT_S
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.slots import Installed
from tests.support.models import build_module
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for

OVERDUE_S = LONGEST_ROUND_S + 1


class Manager:
    """A service manager: a real socket, and what came to it."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)
        self._socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": self._path, "WATCHDOG_USEC": "60000000"}

    def told(self) -> list[str]:
        """What was said since it was last asked."""
        said: list[str] = []
        while True:
            try:
                said += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return said

    def was_fed(self) -> bool:
        return "WATCHDOG=1" in self.told()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    one = Manager(tmp_path)
    yield one
    one.close()


def test_the_service_manager_is_told(manager: Manager):
    assert ServiceManager(manager.environment).tell("READY=1", "STATUS=up")
    assert manager.told() == ["READY=1", "STATUS=up"]
    assert ServiceManager(manager.environment).watchdog_s == 60
    other = {**manager.environment, "WATCHDOG_PID": str(os.getpid() + 1)}
    assert ServiceManager(other).watchdog_s == 0


def test_without_a_service_manager_nothing_is_told_and_a_dead_one_is_an_error(tmp_path: Path):
    assert not ServiceManager({}).tell("READY=1")
    with pytest.raises(Unavailable):
        ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}).tell("READY=1")


def test_it_is_fed_only_while_everything_makes_progress(manager: Manager):
    progress = {"a": 0.0, "b": 0.0}
    watchdog = Watchdog(
        ServiceManager(manager.environment),
        lambda: [Sign(name, last) for name, last in progress.items()],
    )
    assert watchdog.round(1.0, "fine")
    assert manager.told() == ["STATUS=fine", "WATCHDOG=1"]
    assert watchdog.round(2.0, "fine")  # too early to feed again
    assert manager.told() == []
    progress["a"] = 100.0
    assert not watchdog.round(100.0, "fine")
    assert manager.told() == []
    progress["b"] = 101.0
    assert watchdog.round(101.0, "fine")
    assert manager.was_fed()


def test_what_hangs_is_named_each_with_its_own_patience():
    signs = [
        Sign("b", 99.0 - LONGEST_ROUND_S),
        Sign("fine", 100.0),
        Sign("patient", 0.0, patience_s=200.0),
        Sign("due later", 500.0),
        Sign("ended", ENDED, patience_s=1e9),
    ]
    assert hanging(100.0, signs) == ("b", "ended")


def test_a_loop_that_really_hangs_is_not_fed_and_one_that_comes_back_is(
    manager: Manager, tmp_path: Path
):
    """The local server's thread is held in the middle of an answer."""
    held, may_go = threading.Event(), threading.Event()

    def status() -> AgentStatus:
        held.set()
        may_go.wait(60)
        raise Unavailable("nothing to tell")

    server = LocalServer(tmp_path, status)
    server.start()

    def is_fed(now: float) -> bool:
        look = Watchdog(
            ServiceManager(manager.environment), lambda: [Sign("local", server.progress or ENDED)]
        )
        is_fine = look.round(now, "")
        assert manager.was_fed() is is_fine
        return is_fine

    try:
        assert is_fed(RealClock().monotonic())
        asking = threading.Thread(target=ask_quietly, args=(tmp_path,))
        asking.start()
        assert held.wait(30)
        stuck = server.progress
        assert stuck is not None
        assert not is_fed(stuck + OVERDUE_S)
        may_go.set()
        wait_for(lambda: server.progress != stuck, 30)
        assert is_fed(stuck + LONGEST_ROUND_S)
        asking.join(30)
    finally:
        may_go.set()
        server.stop()


def ask_quietly(folder: Path) -> None:
    try:
        ask_status(folder)
    except Unavailable:
        return


@pytest.fixture
def supervisor(tmp_path: Path, launcher: Launcher) -> Iterator[Supervisor]:
    """One slot whose broker is away, loaded."""
    found = Supervisor(
        launcher=launcher, clock=RealClock(), on_change=lambda *_: None, on_uplink=lambda *_: None
    )
    built = build_module(tmp_path / "v1")
    spec = built.spec("live", broker=BrokerAddress(url="mqtt://127.0.0.1:1"))
    found.run("a", Installed(module="probe", version=1, digest=built.digest), spec)
    wait_for(lambda: found.health()["a"].state == "running", 30)
    yield found
    found.close(2.0)


def watching(manager: Manager, supervisor: Supervisor) -> Callable[[float], bool]:
    """Whether the service manager is fed, some seconds from now."""

    def is_fed(ahead_s: float) -> bool:
        watchdog = Watchdog(
            ServiceManager(manager.environment),
            lambda: [Sign(slot, since) for slot, since in supervisor.owed().items()],
        )
        is_fine = watchdog.round(RealClock().monotonic() + ahead_s, "")
        assert manager.was_fed() is is_fine
        return is_fine

    return is_fed


def test_a_worker_that_hangs_is_the_supervisors_to_end_and_does_not_stop_the_feeding(
    manager: Manager, supervisor: Supervisor
):
    is_fed = watching(manager, supervisor)
    pid = supervisor.health()["a"].pid
    os.kill(pid, signal.SIGSTOP)
    assert is_fed(3600), "nobody has had a chance to notice"
    now = RealClock().monotonic()
    ahead_s = 0.0
    while ahead_s < SILENT_S + 5:  # as its ticks would, in less time
        supervisor.tick(now + ahead_s)
        ahead_s += 1.0
    wait_for(lambda: supervisor.health()["a"].state == "crashed", 30)
    assert not is_running(pid)
    assert is_fed(0.0), "its next start has its time"


def test_a_model_that_crashes_again_and_again_never_stops_the_feeding(
    manager: Manager, supervisor: Supervisor
):
    is_fed = watching(manager, supervisor)
    for _ in range(4):
        pid = supervisor.health()["a"].pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: supervisor.health()["a"].state == "crashed", 30)
        assert is_fed(0.0)
        due = supervisor.owed()["a"]
        supervisor.tick(due)
        assert is_fed(0.0)
        wait_for(lambda: supervisor.health()["a"].state == "running", 30)


def test_a_supervisor_that_no_longer_acts_stops_the_feeding(
    manager: Manager, supervisor: Supervisor
):
    is_fed = watching(manager, supervisor)
    os.kill(supervisor.health()["a"].pid, signal.SIGKILL)
    wait_for(lambda: supervisor.health()["a"].state == "crashed", 30)
    # Nobody calls `tick`, so nobody starts it again.
    assert is_fed(0.0)
    assert not is_fed(60 + OVERDUE_S)


def test_a_worker_that_never_gets_ready_and_is_not_ended_stops_the_feeding(
    manager: Manager, supervisor: Supervisor, launcher: Launcher
):
    is_fed = watching(manager, supervisor)
    zygote = launcher.zygote_pid
    os.kill(zygote, signal.SIGSTOP)  # what starts processes does not answer
    try:
        os.kill(supervisor.health()["a"].pid, signal.SIGKILL)
        wait_for(lambda: supervisor.health()["a"].state == "crashed", 30)
        supervisor.tick(supervisor.owed()["a"])
        assert supervisor.health()["a"].state == "starting"
        assert is_fed(LOAD_S - 30)
        assert not is_fed(LOAD_S + OVERDUE_S)
    finally:
        os.kill(zygote, signal.SIGCONT)


def test_a_process_that_waits_for_its_parent_has_ended():
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait_for(lambda: not is_running(child), 30)
    assert Path(f"/proc/{child}").exists()
    os.waitpid(child, 0)
    assert is_running(os.getpid())
