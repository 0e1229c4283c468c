"""Room for downloads: promised to all slots together, before a byte is fetched."""

from pathlib import Path

import pytest

from edge_agent.contract.names import digest_of
from edge_agent.errors import StorageError
from edge_agent.reconcile.room import Room
from edge_agent.store.blobs import BlobStore
from edge_agent.store.disk import DiskWatch
from edge_agent.store.space import SpaceRule, Usage

ONE, TWO, THREE = (digest_of(name) for name in (b"one", b"two", b"three"))


class Disk:
    """A disk of 1000 bytes, 50 of them kept free."""

    def __init__(self, folder: Path) -> None:
        self.free = 1000
        self.garbage = 0
        self.collected = 0
        self.blobs = BlobStore(folder)
        self.watch = DiskWatch(
            folder,
            SpaceRule(low_percent=5.0, low_bytes=10**9),
            read=lambda _: Usage(total_bytes=1000, free_bytes=self.free),
        )
        self.room = Room(self.blobs, self.watch, self.collect)

    def collect(self) -> None:
        self.collected += 1
        self.free += self.garbage
        self.garbage = 0

    def refusal(self, files: dict[str, int]) -> StorageError:
        with pytest.raises(StorageError) as caught, self.room.promised(files):
            pass
        return caught.value


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_what_would_leave_less_than_the_reserve_is_refused_by_name(disk: Disk) -> None:
    with disk.room.promised({ONE: 500, TWO: 450}):
        pass
    error = disk.refusal({ONE: 500, TWO: 451})
    assert error.code == "disk_full"
    assert "expected 1001 bytes (951 for this slot, 50 in reserve), found 1000" in error.text


def test_slots_do_not_get_the_same_space_twice(disk: Disk) -> None:
    with disk.room.promised({ONE: 600}):
        assert "600 for other slots" in disk.refusal({TWO: 400}).text
        with disk.room.promised({TWO: 350}):
            pass
    with disk.room.promised({TWO: 900}):
        pass


def test_a_file_that_two_slots_want_needs_its_room_once(disk: Disk) -> None:
    with disk.room.promised({ONE: 600, TWO: 100}), disk.room.promised({ONE: 600, THREE: 250}):
        pass


def test_what_has_arrived_needs_no_room(disk: Disk) -> None:
    data = b"x" * 300
    whole = {digest_of(data): 300, ONE: 700}
    assert disk.refusal(whole).code == "disk_full"
    disk.blobs.put(digest_of(data), data)
    with disk.room.promised(whole):
        pass
    disk.free = 10
    assert disk.refusal(whole).code == "disk_low"
    with disk.room.promised({digest_of(data): 300}):
        pass


def test_garbage_is_removed_before_anything_is_refused(disk: Disk) -> None:
    disk.free, disk.garbage = 40, 800
    with disk.room.promised({ONE: 700}):
        pass
    assert disk.collected == 1
    assert disk.refusal({ONE: 900}).code == "disk_full"


def test_a_download_under_way_is_told_when_the_disk_gets_low(disk: Disk) -> None:
    with disk.room.promised({ONE: 500}) as watching:
        is_superseded = watching(lambda: False)
        assert not is_superseded()
        disk.free = 49
        with pytest.raises(StorageError) as caught:
            is_superseded()
    assert caught.value.code == "disk_low"
