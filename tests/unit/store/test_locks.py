"""Locks end by themselves, outlive the agent, and are bounded, whatever the wall clock does."""

from pathlib import Path

import pytest

from edge_agent.errors import Conflict, InvalidInput
from edge_agent.store.locks import ALL_SLOTS, LOCKS_FILE, MOST_LOCKS, Locks
from tests.support.simulated_clock import SimulatedClock

DAY = 86_400.0


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def locks(tmp_path: Path, clock: SimulatedClock) -> Locks:
    return Locks(tmp_path, clock, DAY)


def test_a_lock_ends_by_itself_and_may_be_renewed_or_released(locks: Locks, clock: SimulatedClock):
    taken = locks.take("s", 60, "a cut is being made")
    assert locks.of("s") == taken
    assert taken.until == clock.wall() + 60
    assert locks.of("t") is None
    clock.advance(59)
    locks.take("s", 60)
    clock.advance(59)
    assert locks.of("s") is not None
    clock.advance(1)
    assert locks.of("s") is None
    assert not locks.release("s")
    locks.take("s", 60)
    assert locks.release("s")
    assert locks.of("s") is None


def test_a_lock_of_all_holds_each_slot_and_the_longer_one_counts(
    locks: Locks, clock: SimulatedClock
):
    locks.take(ALL_SLOTS, 100, "all")
    locks.take("s", 50, "own")
    assert [lock.reason for slot in ("s", "t") if (lock := locks.of(slot))] == ["all", "all"]
    locks.take("s", 200, "own")
    lock = locks.of("s")
    assert lock is not None
    assert lock.reason == "own"


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_setting_the_clock_makes_no_lock_longer_or_shorter(
    locks: Locks, clock: SimulatedClock, step_s: float
):
    locks.take("s", 60)
    clock.step(step_s)
    clock.advance(59)
    assert locks.of("s") is not None
    clock.advance(1)
    assert locks.of("s") is None


def test_a_lock_outlives_the_agent_and_never_gets_longer_by_it(
    tmp_path: Path, locks: Locks, clock: SimulatedClock
):
    locks.take("s", 60, "why")
    clock.advance(20)
    again = Locks(tmp_path, clock, DAY)
    assert again.of("s") == locks.of("s")
    clock.step(-10 * DAY)
    set_back = Locks(tmp_path, clock, DAY)
    clock.advance(59)
    assert set_back.of("s") is not None
    clock.advance(1)
    assert set_back.of("s") is None


def test_a_damaged_file_holds_no_lock_and_stops_nobody(tmp_path: Path, clock: SimulatedClock):
    (tmp_path / LOCKS_FILE).write_bytes(b"\xff{")
    locks = Locks(tmp_path, clock, DAY)
    assert locks.of("s") is None
    locks.take("s", 60)
    assert Locks(tmp_path, clock, DAY).of("s") is not None


def test_a_disk_that_takes_nothing_keeps_no_lock_from_being_held(
    tmp_path: Path, clock: SimulatedClock
):
    locks = Locks(tmp_path / "missing", clock, DAY)
    locks.take("s", 60)
    assert locks.of("s") is not None


@pytest.mark.parametrize("for_s", [0, -1, DAY + 1])
def test_a_lock_that_is_too_long_is_refused(locks: Locks, for_s: float):
    with pytest.raises(InvalidInput) as caught:
        locks.take("s", for_s)
    assert caught.value.code == "lock_too_long"
    with pytest.raises(InvalidInput, match="found 10,000,000 s"):
        locks.take("s", 1e7)


def test_there_are_only_so_many_locks_at_once(locks: Locks, clock: SimulatedClock):
    for number in range(MOST_LOCKS):
        locks.take(f"s{number}", 60)
    locks.take("s0", 60)
    with pytest.raises(Conflict):
        locks.take("one-more", 60)
    clock.advance(60)
    locks.take("one-more", 60)


def test_an_update_is_put_off_no_longer_than_is_allowed(locks: Locks, clock: SimulatedClock):
    began = clock.wall()
    assert locks.may_put_off(None, None)
    assert not locks.may_put_off(None, 0)
    assert locks.may_put_off(began, 600)
    lock = locks.take("s", 3600)
    assert locks.put_off_until(lock, began, 600) == began + 600
    assert locks.put_off_until(lock, began, None) == lock.until
    clock.advance(600)
    assert not locks.may_put_off(began, 600)
    assert locks.may_put_off(began, None)
    clock.advance(DAY)
    assert not locks.may_put_off(began, None), "however often it is renewed"


def test_a_clock_that_was_set_back_puts_no_update_off_for_longer(
    locks: Locks, clock: SimulatedClock
):
    began = clock.wall()
    clock.step(-DAY)
    assert not locks.may_put_off(began, 600)
