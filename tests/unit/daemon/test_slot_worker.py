"""A slot's worker: a real process, and what is said about it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.broker.embedded import free_port
from edge_agent.contract.manifest import Trial
from edge_agent.contract.providers import CPU
from edge_agent.daemon.worker import SlotWorker
from edge_agent.reconcile.retreat import MOST_ENDS
from edge_agent.reconcile.trial import Outcome, judge
from edge_agent.reconcile.workers import WorkerSeen
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import (
    BrokerAddress,
    RunsOn,
    WorkerEvent,
    WorkerFellBack,
    WorkerReady,
)
from edge_agent.store.slots import Installed
from tests.support.accelerator import CUDA, FatalAccelerator
from tests.support.brokers import EmbeddedBroker
from tests.support.models import build_module
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for


@pytest.fixture
def broker(tmp_path: Path) -> EmbeddedBroker:
    """One that is not started yet."""
    return EmbeddedBroker(tmp_path / "broker", port=free_port())


@pytest.fixture
def worker(tmp_path: Path, broker: EmbeddedBroker, launcher: Launcher) -> Iterator[SlotWorker]:
    built = build_module(tmp_path / "v1")
    spec = built.spec("live", broker=BrokerAddress(url=f"mqtt://127.0.0.1:{broker.port}"))
    slot = SlotWorker(
        Installed(module="probe", version=1, digest=built.digest),
        spec,
        launcher=launcher,
        clock=RealClock(),
        on_change=lambda _worker, _state: None,
        on_uplink=lambda _slot, _result: None,
    )
    yield slot
    slot.ask_to_stop()
    slot.await_stopped(5.0)


def after(worker: SlotWorker, seconds: float) -> WorkerSeen:
    return worker.seen(time.monotonic() + seconds)


def test_a_trial_is_timed_from_the_first_connection(
    worker: SlotWorker, broker: EmbeddedBroker
) -> None:
    rule = Trial(seconds=10)
    worker.connect()
    worker.spawn()
    assert judge(after(worker, 1000).trial, rule) is Outcome.RUNNING, "it is not loaded yet"
    assert worker.await_ready(lambda: False)
    assert judge(after(worker, 50).trial, rule) is Outcome.RUNNING, "its broker is away"
    assert judge(after(worker, 150).trial, rule) is Outcome.PASSED, "its broker stays away"
    broker.start()
    try:
        assert worker.await_connected(20)
        assert judge(after(worker, 0).trial, rule) is Outcome.RUNNING
        assert judge(after(worker, 11).trial, rule) is Outcome.PASSED
    finally:
        broker.stop()


def test_a_worker_whose_broker_is_away_says_so(worker: SlotWorker, broker: EmbeddedBroker) -> None:
    worker.connect()
    worker.spawn()
    assert not worker.health().connected
    wait_for(lambda: worker.health().error, 20)
    assert worker.health().state == "running"
    assert str(broker.port) in worker.health().error
    broker.start()
    try:
        assert worker.await_connected(20)
        assert (worker.health().connected, worker.health().error) == (True, "")
    finally:
        broker.stop()


def test_a_worker_that_ends_again_and_again_on_an_accelerator_goes_on_without_it(
    tmp_path: Path,
) -> None:
    built = build_module(tmp_path / "v1")
    heard: list[WorkerEvent] = []
    worker = SlotWorker(
        Installed(module="probe", version=1, digest=built.digest),
        built.spec("live", runs_on=RunsOn(providers=(CUDA, CPU))),
        launcher=FatalAccelerator(),
        clock=RealClock(),
        on_change=lambda _worker, _state: None,
        on_uplink=lambda _slot, _result: None,
        on_heard=lambda _spec, event: heard.append(event),
    )
    worker.spawn()
    try:
        for crashes in range(1, MOST_ENDS + 1):
            wait_for(lambda count=crashes: worker.crashes == count, 30)
            worker.tick(time.monotonic() + 3600)  # whenever the next start is due
        assert worker.await_ready(lambda: False)
    finally:
        worker.ask_to_stop()
        worker.await_stopped(10.0)
    ready = [event.providers for event in heard if isinstance(event, WorkerReady)]
    assert ready == [(CUDA, CPU)] * MOST_ENDS + [(CPU,)]
    told = [event.text for event in heard if isinstance(event, WorkerFellBack)]
    assert len(told) == 1
    assert told[0].startswith(f"cuda is not used: {MOST_ENDS} processes in a row ended")
