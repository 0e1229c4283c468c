"""What the device says about its slots, and about its own load: measured, or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import Hardware, Phase, SlotError, WantedSlot
from edge_agent.daemon.report import SHORTEST_LOAD_S, Reporter, reported_slot
from edge_agent.store.journal import Journal
from edge_agent.store.outbox_row import OutboxSize
from edge_agent.store.slots import Installed, SlotRecord
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


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.REJECTED, Phase.FAILED])
def test_a_version_that_failed_before_says_nothing_about_the_one_that_is_wanted_now(
    phase: Phase,
) -> None:
    record = SlotRecord(
        slot="pump",
        phase=phase,
        target=Installed(module="pump", version=2, digest="sha256:" + "2" * 64),
        error=SlotError(code="trial_failed", text="it failed"),
        attempts=3,
        next_retry=100.0,
    )
    same = WantedSlot(module="pump", version=2, digest="sha256:" + "2" * 64)
    newer = WantedSlot(module="pump", version=3, digest="sha256:" + "3" * 64)
    told = reported_slot(record, same, None)
    assert (told.phase, told.attempts, told.error) == (phase, 3, record.error)
    told = reported_slot(record, newer, None)
    assert (told.phase, told.attempts, told.error) == (Phase.FETCHING, 0, None)
    assert not told.is_waiting_its_turn
