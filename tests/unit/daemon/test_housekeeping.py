"""The state directory while the agent runs: who is told what, and when."""

from pathlib import Path

import pytest

from edge_agent.contract.messages import Event
from edge_agent.daemon.housekeeping import Housekeeping, room_maker, sweep
from edge_agent.errors import StorageError
from edge_agent.store.ballast import BALLAST_FILE, Ballast
from edge_agent.store.damage import Damage
from edge_agent.store.disk import DiskWatch
from edge_agent.store.space import Usage

MB = 2**20


class Kept:
    """A journal or an outbox that is damaged now and then."""

    def __init__(self) -> None:
        self.damages: list[Damage] = []
        self.settled = 0

    def settle(self) -> None:
        self.settled += 1

    def take_damage(self) -> list[Damage]:
        found, self.damages = self.damages, []
        return found


class House:
    """A disk of 100 MB, and all that is told about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.free = 50 * MB
        self.events: list[Event] = []
        self.collected = 0
        self.is_broken = False
        self.rooms = 0
        self.journal, self.outbox = Kept(), Kept()
        disk = DiskWatch(folder, read=lambda _: Usage(total_bytes=100 * MB, free_bytes=self.free))
        self.ballast = Ballast(folder, MB)
        self.keeping = Housekeeping(
            folder,
            disk=disk,
            ballast=self.ballast,
            journal=self.journal,
            outbox=self.outbox,
            on_event=self.events.append,
            collect=self.collect,
            on_room=self.room_again,
        )

    def collect(self) -> None:
        self.collected += 1
        if self.is_broken:
            raise StorageError("the disk is broken")

    def room_again(self) -> None:
        self.rooms += 1

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.keeping.tick()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_disk_that_gets_low_is_told_once_and_so_is_its_recovery(house: House) -> None:
    house.keeping.start()
    assert house.events == []
    house.free = 4 * MB
    house.ticks(5)
    house.free = int(5.5 * MB)
    house.ticks(5)
    assert [event.name for event in house.events] == ["disk_low"]
    assert house.events[0].level == "warning"
    assert "4.0 of 100.0 MB free" in house.events[0].text
    assert house.rooms == 0
    house.free = 50 * MB
    house.ticks(5)
    assert [event.name for event in house.events] == ["disk_low", "disk_recovered"]
    assert house.rooms == 1


def test_when_the_disk_gets_low_garbage_and_damaged_databases_go_first(house: House) -> None:
    house.keeping.start()
    assert house.collected == 1
    old = house.folder / "journal.db.damaged-19700101T000000Z"
    old.write_bytes(b"x" * 10)
    house.ticks(2)
    assert old.exists()
    house.free, house.is_broken = MB, True
    house.ticks(1)
    assert not old.exists()
    assert house.collected == 2


def test_what_was_damaged_is_told_with_what_it_means(house: House) -> None:
    house.journal.damages.append(Damage(file="journal.db", kept_as="j.damaged", reason="rotten"))
    house.outbox.damages.append(Damage(file="outbox.db", kept_as="", reason="rotten"))
    house.keeping.start()
    first, second = house.events
    assert first.name == second.name == "database_damaged"
    assert first.level == "error"
    assert "copy of what is committed" in first.text
    assert "unknown number" in second.text
    assert "gone" in second.text
    assert first.detail == {"file": "journal.db", "kept_as": "j.damaged", "reason": "rotten"}


def test_what_is_owed_to_the_disk_is_tried_every_few_seconds(house: House) -> None:
    house.keeping.start()
    house.ticks(10)
    assert house.journal.settled == 3


def test_the_ballast_is_made_when_there_is_room_and_again_after_it_was_needed(
    house: House,
) -> None:
    house.free = MB
    house.keeping.start()
    house.ticks(5)
    assert not (house.folder / BALLAST_FILE).exists()
    house.free = 50 * MB
    house.ticks(5)
    assert (house.folder / BALLAST_FILE).stat().st_size == MB
    make_room = room_maker(house.folder, house.ballast)
    assert make_room()
    assert not make_room()
    (house.folder / "outbox.db.damaged-19700101T000000Z").write_bytes(b"x")
    assert make_room()
    assert not make_room()
    house.ticks(5)
    assert (house.folder / BALLAST_FILE).exists()


def test_what_a_cut_off_run_left_is_swept_away(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for path in (
        tmp_path / ".providers.json.0badcafe.tmp",
        run / "probe.sock.12",
        tmp_path / "agent.lock",
    ):
        path.write_bytes(b"")
    sweep(tmp_path, run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.lock", "run"]
    assert not list(run.iterdir())
    sweep(tmp_path, tmp_path / "missing")
