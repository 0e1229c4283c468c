"""Databases that are damaged: set aside, told of, and replaced; what was committed is not lost."""

import sqlite3
from pathlib import Path

import pytest

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import DesiredState, Phase, SlotConfig, SlotError
from edge_agent.errors import StorageError
from edge_agent.store.committed import COMMITTED_FILE, read_committed
from edge_agent.store.damage import remove_set_aside
from edge_agent.store.database import Database
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.slots import Installed, SlotRecord

GARBAGE = b"no database at all, but long enough to be looked at" * 200


def version(number: int) -> Installed:
    return Installed(
        module="m",
        version=number,
        digest="sha256:" + str(number) * 64,
        config=SlotConfig(uplink="all"),
    )


ACTIVE = SlotRecord(
    slot="m",
    phase=Phase.ACTIVE,
    target=version(2),
    active=version(2),
    previous=version(1),
    since=12.0,
    blobs={version(2).digest: ("a", "b"), version(1).digest: ("a",)},
)
ON_TRIAL = SlotRecord(
    slot="m",
    phase=Phase.TRIAL,
    target=version(3),
    active=version(2),
    previous=version(1),
    candidate=version(3),
    step="trial",
    interruptions={"trial": 2},
    trial=Trial(seconds=9),
    blobs={**ACTIVE.blobs, version(3).digest: ("c",)},
)


def desired(revision: int) -> DesiredState:
    return DesiredState(device="line-1", revision=revision)


def filled(folder: Path) -> None:
    """A journal with a committed slot and one on trial, cut off as by a kill: its log is there."""
    journal = Journal(folder)
    journal.begin_boot("boot-1", 1.0)
    journal.accept_desired(desired(7))
    journal.put_slot(ACTIVE)
    journal.put_slot(ON_TRIAL)
    journal.put_slot(SlotRecord(slot="new", phase=Phase.FETCHING, target=version(4)))
    for suffix in ("", "-wal"):
        path = folder / (JOURNAL_FILE + suffix)
        (folder / f"kept{suffix}").write_bytes(path.read_bytes())
    journal.close()
    for suffix in ("", "-wal"):
        (folder / f"kept{suffix}").replace(folder / (JOURNAL_FILE + suffix))


def destroy(folder: Path) -> None:
    """Of the file alone, its log would tell the rest."""
    (folder / JOURNAL_FILE).write_bytes(GARBAGE)
    (folder / f"{JOURNAL_FILE}-wal").unlink(missing_ok=True)


def assert_committed(journal: Journal) -> None:
    slots = journal.slots()
    assert set(slots) == {"m"}
    assert slots["m"].active == version(2)
    assert slots["m"].previous == version(1)
    assert slots["m"].candidate is None
    assert slots["m"].serving == version(2)
    assert slots["m"].blobs == ACTIVE.blobs
    assert journal.desired() == desired(7)
    assert not journal.accept_desired(desired(7))
    assert not journal.accept_desired(desired(6))
    assert "boot-1" in journal.boot_ids()


def set_aside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.damaged-*"))


@pytest.mark.parametrize("where", ["start", "everywhere", "nothing left", "gone"])
def test_a_journal_that_is_destroyed_comes_back_with_what_was_committed(
    where: str, tmp_path: Path
) -> None:
    filled(tmp_path)
    path = tmp_path / JOURNAL_FILE
    match where:
        case "start":
            path.write_bytes(GARBAGE[:100] + path.read_bytes()[100:])
            (tmp_path / f"{JOURNAL_FILE}-wal").write_bytes(GARBAGE)
        case "everywhere":
            for suffix in ("", "-wal", "-shm"):
                (tmp_path / (JOURNAL_FILE + suffix)).write_bytes(GARBAGE)
        case "nothing left":
            path.write_bytes(b"")
            (tmp_path / f"{JOURNAL_FILE}-wal").unlink()
        case _:
            path.unlink()
    journal = Journal(tmp_path, wall=lambda: 0.0)
    assert_committed(journal)
    found = journal.take_damage()
    assert [damage.file for damage in found] == [JOURNAL_FILE]
    is_kept = where in ("start", "everywhere")
    assert found[0].kept_as == ("journal.db.damaged-19700101T000000Z" if is_kept else "")
    assert journal.take_damage() == ()
    journal.close()
    # And it is a journal like any other from there on.
    again = Journal(tmp_path)
    assert_committed(again)
    assert again.take_damage() == ()
    assert again.accept_desired(desired(8))
    again.close()


def test_a_log_that_is_destroyed_alone_does_not_take_the_journal_back_in_time(
    tmp_path: Path,
) -> None:
    filled(tmp_path)
    (tmp_path / f"{JOURNAL_FILE}-wal").write_bytes(GARBAGE)
    journal = Journal(tmp_path)
    assert_committed(journal)
    journal.close()


def test_a_row_that_makes_no_sense_is_damage_too(tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as connection:
        connection.execute("UPDATE slots SET body = ? WHERE slot = 'm'", (b'{"slot": ',))
    connection.close()
    journal = Journal(tmp_path)
    assert_committed(journal)
    assert "cannot be read" in journal.take_damage()[0].reason
    journal.close()


def test_what_is_on_trial_is_in_the_journal_and_never_in_the_copy(tmp_path: Path) -> None:
    filled(tmp_path)
    copy = read_committed(tmp_path)
    assert copy is not None
    assert version(3).digest not in (tmp_path / COMMITTED_FILE).read_text()
    journal = Journal(tmp_path)
    assert journal.slot("m") == ON_TRIAL
    assert set(journal.slots()) == {"m", "new"}
    journal.close()


def test_what_was_refused_for_good_is_not_tried_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    error = SlotError(code="model_failed", text="it failed", step="trial")
    refused = SlotRecord(
        slot="m",
        phase=Phase.ROLLED_BACK,
        target=version(3),
        active=version(2),
        error=error,
        attempts=1,
    )
    journal.put_slot(refused)
    journal.close()
    (tmp_path / JOURNAL_FILE).write_bytes(GARBAGE)
    assert Journal(tmp_path).slot("m") == refused


@pytest.mark.parametrize("change", ["cut", "flipped", "empty", "newer"])
def test_a_copy_that_cannot_be_believed_is_ignored_and_written_anew(
    change: str, tmp_path: Path
) -> None:
    filled(tmp_path)
    path = tmp_path / COMMITTED_FILE
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[:-20],
            "flipped": data.replace(b"line-1", b"line-2"),
            "empty": b"",
            "newer": data.replace(b'"v":1', b'"v":2'),
        }[change]
    )
    assert read_committed(tmp_path) is None
    journal = Journal(tmp_path)
    assert journal.slot("m") == ON_TRIAL
    assert path.read_bytes() == data
    journal.close()


def test_a_copy_that_is_older_than_the_journal_is_brought_up_to_date(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / COMMITTED_FILE
    old = path.read_bytes()
    journal = Journal(tmp_path)
    journal.accept_desired(desired(9))
    journal.close()
    path.write_bytes(old)
    Journal(tmp_path).close()
    copy = read_committed(tmp_path)
    assert copy is not None
    assert copy.desired == desired(9)


def test_without_a_copy_a_destroyed_journal_begins_empty(tmp_path: Path) -> None:
    filled(tmp_path)
    destroy(tmp_path)
    (tmp_path / COMMITTED_FILE).unlink()
    journal = Journal(tmp_path)
    assert journal.slots() == {}
    assert journal.desired() is None
    assert len(journal.take_damage()) == 1
    journal.close()


def rot(path: Path) -> None:
    """Destroy all pages but the first, in a file that is open."""
    with path.open("r+b") as file:
        file.seek(4096)
        while file.tell() < path.stat().st_size:
            file.write(GARBAGE[:4096])


def test_damage_that_shows_while_the_agent_runs_costs_nothing_that_it_knows(
    tmp_path: Path,
) -> None:
    filled(tmp_path)
    journal = Journal(tmp_path)
    journal.begin_boot("boot-2", 2.0)
    before = journal.slots()
    # The file's pages are read again when somebody else has written, and the log is empty.
    other = sqlite3.connect(tmp_path / JOURNAL_FILE, isolation_level=None)
    other.execute("INSERT INTO counters VALUES ('other', 1)")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    rot(tmp_path / JOURNAL_FILE)
    journal.put_slot(SlotRecord(slot="n"))
    assert journal.slots() == {**before, "n": SlotRecord(slot="n")}
    assert [damage.file for damage in journal.take_damage()] == [JOURNAL_FILE]
    journal.close()
    again = Journal(tmp_path)
    assert again.slots() == {**before, "n": SlotRecord(slot="n")}
    assert again.desired() == desired(7)
    assert again.boot_ids() == {"boot-1", "boot-2"}
    again.close()


def test_only_the_last_damaged_database_is_kept_and_it_goes_when_space_is_short(
    tmp_path: Path,
) -> None:
    filled(tmp_path)
    days = iter([0.0, 86_400.0, 2 * 86_400.0])
    for _ in range(3):
        destroy(tmp_path)
        Journal(tmp_path, wall=days.__next__).close()
    assert set_aside(tmp_path) == ["journal.db.damaged-19700103T000000Z"]
    assert remove_set_aside(tmp_path) == len(GARBAGE)
    assert set_aside(tmp_path) == []


def test_a_check_that_takes_too_long_is_left_off(tmp_path: Path) -> None:
    migrations = ["CREATE TABLE a (n INTEGER PRIMARY KEY, data BLOB NOT NULL)"]
    database = Database(tmp_path / "x.db", migrations)
    with database.transaction() as connection:
        rows = [(number, bytes(100)) for number in range(20_000)]
        connection.executemany("INSERT INTO a VALUES (?, ?)", rows)
    database.close()
    hurried = Database(tmp_path / "x.db", migrations, check_s=-1.0)
    with hurried.reading() as connection:
        assert connection.execute("SELECT count(*) FROM a").fetchone() == (20_000,)
    assert hurried.take_damage() == ()
    hurried.close()


def test_room_is_made_for_what_does_not_fit(tmp_path: Path) -> None:
    made: list[str] = []

    def make_room() -> bool:
        made.append("room")
        return True

    migrations = ["CREATE TABLE a (n INTEGER)"]
    database = Database(tmp_path / "x.db", migrations, make_room=make_room)
    tries: list[int] = []

    def work(connection: sqlite3.Connection) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise StorageError("no room", code="disk_full")
        return connection.execute("INSERT INTO a VALUES (1)").rowcount

    assert database.write(work) == 1
    assert made == ["room"]
    database.close()


def test_a_copy_that_the_disk_refuses_is_owed_and_its_versions_stay_needed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path)
    journal.put_slot(ACTIVE)
    path = tmp_path / COMMITTED_FILE
    path.unlink()
    path.mkdir()  # nothing can be put in its place
    newer = SlotRecord(slot="m", phase=Phase.ACTIVE, target=version(5), active=version(5))
    journal.put_slot(newer)
    assert journal.slot("m") == newer
    assert journal.copied["m"].active == version(2)
    for _ in range(3):
        journal.settle()
    assert caplog.text.count("event=copy_not_kept") == 1
    path.rmdir()
    journal.settle()
    assert journal.copied["m"].active == version(5)
    copy = read_committed(tmp_path)
    assert copy is not None
    assert copy.slots["m"].active == version(5)
    journal.close()


def test_a_journal_that_cannot_be_opened_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    filled(tmp_path)
    destroy(tmp_path)
    path = tmp_path / JOURNAL_FILE
    path.unlink()
    path.mkdir()  # no damage: somebody has put something else there
    with pytest.raises(StorageError):
        Journal(tmp_path)
    path.rmdir()
    journal = Journal(tmp_path)
    assert_committed(journal)
    journal.close()


def test_a_folder_in_the_place_of_a_database_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).mkdir()
    with pytest.raises(StorageError, match=JOURNAL_FILE) as refused:
        Journal(tmp_path).slots()
    assert "a file which the agent's user may write" in refused.value.hint
