"""When a disk is low, and the space that is held back on it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.state import Phase
from edge_agent.errors import StorageError
from edge_agent.store.ballast import BALLAST_FILE, Ballast, ballast_bytes
from edge_agent.store.damage import remove_set_aside
from edge_agent.store.disk import DiskWatch, read_usage
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.slots import Installed, SlotRecord
from edge_agent.store.space import DiskState, SpaceRule, Usage, judge

GB = 10**9
RULE = SpaceRule()


def is_low(free: int, total: int, *, was_low: bool = False, files: int | None = None) -> bool:
    usage = Usage(total_bytes=total, free_bytes=free, free_files=files)
    return judge(usage, RULE, was_low=was_low).is_low


def test_a_disk_is_low_below_five_percent() -> None:
    assert is_low(49 * 10**6, GB)
    assert not is_low(50 * 10**6, GB)


def test_a_large_disk_is_not_low_while_there_is_a_gigabyte() -> None:
    assert not is_low(2 * GB, 1000 * GB)
    assert is_low(GB, 1000 * GB)


def test_low_is_left_only_well_above_the_limit() -> None:
    assert is_low(59 * 10**6, GB, was_low=True)
    assert not is_low(60 * 10**6, GB, was_low=True)


def test_a_disk_that_takes_no_more_files_is_low() -> None:
    assert is_low(GB // 2, GB, files=5)
    assert not is_low(GB // 2, GB, files=5000)


@given(st.integers(0, 10**13), st.floats(0, 1), st.floats(0, 1))
def test_less_free_space_never_ends_low(total: int, share: float, smaller: float) -> None:
    free = int(total * share)
    for was_low in (False, True):
        if is_low(free, total, was_low=was_low):
            assert is_low(int(free * smaller), total, was_low=was_low)
            assert is_low(free, total, was_low=True)


def test_a_disk_that_does_not_tell_keeps_its_last_state(tmp_path: Path) -> None:
    figures: list[Usage | None] = [Usage(total_bytes=GB, free_bytes=1), None]
    watch = DiskWatch(tmp_path, read=lambda _folder: figures.pop(0))
    assert watch.state.is_low
    assert watch.look().is_low
    with pytest.raises(StorageError) as caught:
        DiskWatch(tmp_path, read=lambda _: Usage(total_bytes=GB, free_bytes=1)).check()
    assert caught.value.code == "disk_low"


def test_the_figures_are_those_of_the_disk(tmp_path: Path) -> None:
    usage = read_usage(tmp_path)
    assert usage is not None
    assert 0 < usage.free_bytes <= usage.total_bytes
    assert read_usage(tmp_path / "missing") is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_ballast_is_a_small_share_of_its_disk() -> None:
    assert ballast_bytes(4 * 2**20, 8 * 2**20) == 167_772
    assert ballast_bytes(4 * 2**20, 32 * GB) == 4 * 2**20


def test_a_ballast_holds_real_space_and_gives_it_back(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 65_536)
    plenty = DiskState(total_bytes=GB, free_bytes=GB // 2, limit_bytes=GB // 20)
    assert not ballast.release()
    ballast.make(plenty)
    path = tmp_path / BALLAST_FILE
    assert path.stat().st_size == 65_536
    assert path.stat().st_blocks * 512 >= 65_536
    assert Ballast(tmp_path, 65_536).release()
    assert not path.exists()
    # The one that thinks it is there makes none; the one that gave it up does.
    assert not ballast.release()
    ballast.make(plenty)
    assert path.exists()


def test_a_ballast_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    path = tmp_path / BALLAST_FILE
    path.write_bytes(bytes(100))
    Ballast(tmp_path, 65_536).make(
        DiskState(total_bytes=GB, free_bytes=GB // 2, limit_bytes=GB // 20)
    )
    assert path.stat().st_size == 65_536


@pytest.mark.parametrize("free", [0, GB // 20, GB // 20 + 65_536, GB // 20 + 10_000_000])
def test_a_ballast_is_never_what_makes_a_disk_low(free: int, tmp_path: Path) -> None:
    disk = DiskState(total_bytes=GB, free_bytes=free, limit_bytes=GB // 20, is_low=free < GB // 20)
    Ballast(tmp_path, 65_536).make(disk)
    assert not (tmp_path / BALLAST_FILE).exists()


@pytest.mark.needs("mount")
def test_on_a_full_disk_the_journal_takes_the_ballast(small_disk: Path) -> None:
    watch = DiskWatch(small_disk)
    ballast = Ballast(small_disk, 4 * 2**20)
    ballast.make(watch.look())
    journal = Journal(small_disk, make_room=ballast.release)
    journal.put_slot(SlotRecord(slot="m"))
    filler = os.open(small_disk / "filler", os.O_CREAT | os.O_WRONLY)
    fill(filler)
    for number in range(60):
        journal.put_slot(SlotRecord(slot="m", attempts=number))
    assert not (small_disk / BALLAST_FILE).exists()
    ballast.make(watch.look())
    assert watch.state.is_low
    assert not (small_disk / BALLAST_FILE).exists()
    os.ftruncate(filler, 0)
    os.close(filler)
    ballast.make(watch.look())
    assert (small_disk / BALLAST_FILE).exists()
    journal.close()
    again = Journal(small_disk)
    assert again.slot("m").attempts == 59
    again.close()


@pytest.mark.needs("mount")
@pytest.mark.parametrize("has_room_to_make", [True, False])
def test_a_destroyed_journal_on_a_full_disk_is_answered_from_its_copy(
    has_room_to_make: bool, small_disk: Path
) -> None:
    version = Installed(module="m", version=1, digest="sha256:" + "1" * 64)
    journal = Journal(small_disk)
    journal.put_slot(SlotRecord(slot="m", phase=Phase.ACTIVE, target=version, active=version))
    journal.close()
    path = small_disk / JOURNAL_FILE
    path.write_bytes(b"garbage" * 6000)
    filler = os.open(small_disk / "filler", os.O_CREAT | os.O_WRONLY)
    fill(filler)

    def make_room() -> bool:
        return has_room_to_make and remove_set_aside(small_disk) > 0

    journal = Journal(small_disk, make_room=make_room)
    assert journal.slot("m").active == version
    assert len(journal.take_damage()) == 1
    os.ftruncate(filler, 0)
    os.close(filler)
    journal.settle()
    journal.put_slot(SlotRecord(slot="n"))
    journal.close()
    again = Journal(small_disk)
    assert set(again.slots()) == {"m", "n"}
    assert again.slot("m").active == version
    again.close()


def fill(handle: int) -> None:
    """Take every byte that the disk has left."""
    for size in (65_536, 4096, 1):
        while True:
            try:
                os.write(handle, bytes(size))
            except OSError:
                break
