"""What the device says about its own load: measured over an interval, or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import Hardware
from edge_agent.daemon.report import SHORTEST_LOAD_S, Reporter
from edge_agent.store.journal import Journal
from edge_agent.store.outbox_row import OutboxSize
from edge_agent.store.space import DiskState
from tests.support.simulated_clock import SimulatedClock


class NoWorkers:
    """A device without slots."""

    def health(self) -> dict[str, SlotHealth]:
        return {}

    def pids(self) -> list[int]:
        return []

    def tick(self, now: float) -> float | None:
        return None

    def stop_all(self) -> None:
        return


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def reporter(tmp_path: Path, clock: SimulatedClock) -> Iterator[Reporter]:
    journal = Journal(tmp_path)
    yield Reporter(
        "line-1",
        "boot",
        started=0.0,
        disk=DiskState,
        pid=os.getpid(),
        clock=clock,
        journal=journal,
        supervisor=NoWorkers(),
        hardware=Hardware,
    )
    journal.close()


def load(reporter: Reporter) -> float | None:
    return reporter.health(30, OutboxSize(rows=0, bytes=0, dropped=0)).cpu_percent


def test_the_first_report_has_no_load_whatever_the_process_used_before(
    reporter: Reporter, clock: SimulatedClock
) -> None:
    clock.advance(0.1)
    assert load(reporter) is None
    clock.advance(SHORTEST_LOAD_S / 2)
    assert load(reporter) is None
    clock.advance(1e9)
    assert load(reporter) == 0.0


def test_a_report_soon_after_another_repeats_its_load(
    reporter: Reporter, clock: SimulatedClock
) -> None:
    load(reporter)
    clock.advance(1e9)
    assert load(reporter) == 0.0
    clock.advance(SHORTEST_LOAD_S / 1e9)
    assert load(reporter) == 0.0
