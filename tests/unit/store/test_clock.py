"""The machine's clock as the agent sees it: real clocks, and a file in the state directory."""

import time
from pathlib import Path

import pytest

from edge_agent.store.clock import CLOCK_FILE, SystemClock, kernel_sync, read_floor
from edge_agent.store.timekeeping import RELEASED

FUTURE = RELEASED + 40 * 365 * 86_400.0


def test_the_release_is_not_in_the_future() -> None:
    assert time.time() > RELEASED


def test_a_clock_that_is_right_is_taken_as_it_is(tmp_path: Path) -> None:
    clock = SystemClock(tmp_path, is_kernel_synced=lambda: True)
    before = time.time()
    moment = clock.moment()
    assert before <= moment.time <= time.time()
    assert moment.clock_synced
    assert clock.is_synced()
    assert 0 <= moment.uptime_s <= clock.moment().uptime_s
    assert clock.look() is None
    state = clock.state()
    assert (state.steps, state.is_behind) == (0, False)


def test_the_floor_holds_over_a_restart(tmp_path: Path) -> None:
    (tmp_path / CLOCK_FILE).write_text(f'{{"floor": {FUTURE}, "v": 1}}')
    clock = SystemClock(tmp_path, is_kernel_synced=lambda: True)
    assert clock.wall() >= FUTURE
    assert not clock.is_synced(), "what is shown is not what the machine's clock says"
    assert clock.state().is_behind
    clock.close()
    assert read_floor(tmp_path / CLOCK_FILE) == FUTURE


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"floor": 1e300}', b'{"floor": []}'])
def test_a_file_that_makes_no_sense_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CLOCK_FILE).write_bytes(content)
    assert read_floor(tmp_path / CLOCK_FILE) is None
    assert SystemClock(tmp_path, is_kernel_synced=lambda: False).wall() >= RELEASED


def test_a_clock_that_proved_nothing_writes_nothing(tmp_path: Path) -> None:
    clock = SystemClock(tmp_path, is_kernel_synced=lambda: True)
    clock.look()
    clock.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_does_not_end_the_clock(tmp_path: Path) -> None:
    clock = SystemClock(tmp_path / "gone", is_kernel_synced=lambda: True)
    clock.keep()
    assert clock.look() is None


def test_the_floor_is_kept_when_it_is_asked_for(tmp_path: Path) -> None:
    clock = SystemClock(tmp_path, is_kernel_synced=lambda: True)
    clock.keep()
    assert read_floor(tmp_path / CLOCK_FILE) == RELEASED


def test_the_kernel_says_whether_its_clock_is_right() -> None:
    assert kernel_sync()() in (True, False)
