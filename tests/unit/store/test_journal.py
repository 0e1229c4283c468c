"""The journal and its lock: what they remember, and whom they refuse."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.contract.state import DesiredState, Phase, SlotConfig
from edge_agent.errors import Conflict, StorageError, Unsupported
from edge_agent.store.committed import COMMITTED_FILE
from edge_agent.store.database import Database
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.lock import StateLock
from edge_agent.store.slots import Installed, SlotRecord

VERSION = Installed(
    module="m", version=2, digest="sha256:" + "0" * 64, config=SlotConfig(uplink="all")
)


def desired(revision: int, **settings: object) -> DesiredState:
    return DesiredState(device="line-1", revision=revision)


def test_slots_survive_a_restart(tmp_path: Path):
    journal = Journal(tmp_path)
    record = SlotRecord(
        slot="m", phase=Phase.TRIAL, target=VERSION, candidate=VERSION, blobs={"a": ("b", "c")}
    )
    journal.put_slot(record)
    journal.put_slot(SlotRecord(slot="n"))
    journal.close()
    again = Journal(tmp_path)
    assert again.slot("m") == record
    assert set(again.slots()) == {"m", "n"}
    again.remove_slot("n")
    assert again.slot("n") == SlotRecord(slot="n")
    assert set(again.slots()) == {"m"}


def test_a_lower_or_equal_revision_is_never_kept(tmp_path: Path):
    journal = Journal(tmp_path)
    assert journal.desired() is None
    assert journal.accept_desired(desired(5))
    assert not journal.accept_desired(desired(5))
    assert not journal.accept_desired(desired(4))
    assert journal.accept_desired(desired(6))
    journal.close()
    kept = Journal(tmp_path).desired()
    assert kept is not None
    assert kept.revision == 6


def test_boots_are_counted_and_remembered(tmp_path: Path):
    journal = Journal(tmp_path)
    assert [journal.begin_boot(f"b{n}", 0.0) for n in range(70)] == list(range(1, 71))
    assert "b69" in journal.boot_ids()
    assert len(journal.boot_ids()) == 64


def test_a_journal_of_a_newer_version_is_set_aside_and_what_is_committed_stays(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.accept_desired(desired(7))
    journal.close()
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    again = Journal(tmp_path)
    assert again.desired() == desired(7)
    (damage,) = again.take_damage()
    assert "version 99" in damage.reason
    assert (tmp_path / damage.kept_as).exists()
    again.close()


def test_without_a_copy_a_journal_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path):
    Journal(tmp_path).close()
    (tmp_path / COMMITTED_FILE).unlink(missing_ok=True)
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(Unsupported) as caught:
        Journal(tmp_path)
    assert caught.value.code == "schema_newer"
    assert "99" in caught.value.text


def test_migrations_are_applied_by_number_and_once(tmp_path: Path):
    first = Database(tmp_path / "x.db", ["CREATE TABLE a (n INTEGER)"])
    with first.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (1)")
    first.close()
    second = Database(
        tmp_path / "x.db", ["CREATE TABLE a (n INTEGER)", "ALTER TABLE a ADD COLUMN m INTEGER"]
    )
    with second.reading() as connection:
        assert connection.execute("SELECT n, m FROM a").fetchall() == [(1, None)]
    second.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path):
    with pytest.raises(StorageError):
        Database(tmp_path / "x.db", ["CREATE TABLE a (n INTEGER); CREATE TABLE a (n INTEGER)"])
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


KILLED = """
import os, sys
from pathlib import Path
from edge_agent.store.journal import Journal
from edge_agent.store.slots import SlotRecord
journal = Journal(Path(sys.argv[1]))
for number in range(50):
    journal.put_slot(SlotRecord(slot="m", attempts=number))
os.kill(os.getpid(), 9)
"""


def test_what_was_written_is_there_after_a_kill(tmp_path: Path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=30)
    assert Journal(tmp_path).slot("m").attempts == 49


def test_the_journal_is_written_through_to_the_disk(tmp_path: Path):
    database = Database(tmp_path / "x.db", [])
    with database.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


LOCKED = """
import sys
from contextlib import closing
from pathlib import Path
from edge_agent.store.lock import StateLock
with StateLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_agent_is_told_who_has_the_state_directory(tmp_path: Path):
    first = subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert first.stdout is not None
    assert first.stdout.readline() == b"locked\n"
    lock = StateLock(tmp_path)
    with pytest.raises(Conflict) as caught:
        lock.__enter__()
    assert caught.value.code == "state_dir_in_use"
    assert f"process {first.pid}" in caught.value.text
    # A lock ends with its process, however that ends.
    first.kill()
    first.communicate(timeout=10)
    with lock:
        assert (tmp_path / "agent.lock").read_text() == f"{os.getpid()}\n"
