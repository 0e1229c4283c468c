"""All workers of a device, as real processes."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.daemon.supervisor import Supervisor
from edge_agent.reconcile.workers import WorkerRefused
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.slots import Installed
from tests.support.models import build_module
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for


@pytest.fixture
def supervisor(tmp_path: Path, launcher: Launcher) -> Iterator[Supervisor]:
    """Three slots whose broker is away, all loaded."""
    found = Supervisor(
        launcher=launcher, clock=RealClock(), on_change=lambda *_: None, on_uplink=lambda *_: None
    )
    built = build_module(tmp_path / "v1")
    spec = built.spec("live", broker=BrokerAddress(url="mqtt://127.0.0.1:1"))
    for slot in ("a", "b", "c"):
        found.run(slot, Installed(module="probe", version=1, digest=built.digest), spec)
    wait_for(lambda: all(health.state == "running" for health in found.health().values()), 30)
    yield found
    found.close(1.0)


def freeze(supervisor: Supervisor) -> None:
    for pid in supervisor.pids():
        os.kill(pid, signal.SIGSTOP)


def test_workers_that_hang_are_ended_together(supervisor: Supervisor) -> None:
    freeze(supervisor)
    started = time.monotonic()
    supervisor.stop_all()
    assert time.monotonic() - started < 8.0, "one after the other they take 15 s"
    assert supervisor.seen() == {}


def test_the_agent_leaves_hanging_workers_behind_in_time(supervisor: Supervisor) -> None:
    pids = supervisor.pids()
    freeze(supervisor)
    started = time.monotonic()
    supervisor.close(3.0)
    assert time.monotonic() - started < 4.5
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_restart_of_a_hanging_worker_does_not_wait_for_it(supervisor: Supervisor) -> None:
    before = supervisor.health()["a"].pid
    freeze(supervisor)
    started = time.monotonic()
    supervisor.restart("a")
    assert time.monotonic() - started < 3.0, "waiting for it takes 10 s"

    def runs_again() -> bool:
        supervisor.tick(time.monotonic())
        health = supervisor.health()["a"]
        return health.state == "running" and health.pid != before

    wait_for(runs_again, 20)
    assert supervisor.health()["a"].restarts == 1


def test_golden_cases_have_a_deadline(tmp_path: Path, launcher: Launcher) -> None:
    supervisor = Supervisor(
        launcher=launcher,
        clock=RealClock(),
        on_change=lambda *_: None,
        on_uplink=lambda *_: None,
        prove_s=0.01,
    )
    with pytest.raises(WorkerRefused) as caught:
        supervisor.prove(build_module(tmp_path).spec("trial"), lambda: False)
    assert (caught.value.code, caught.value.is_retryable) == ("trial_timeout", True)
