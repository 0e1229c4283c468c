"""What `edge-agent check` says about the state directory."""

from pathlib import Path

from edge_agent.config import DiskSection
from edge_agent.daemon.check.finding import Finding
from edge_agent.daemon.check.storage import check_disk, check_storage
from edge_agent.store.database import Database
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.space import MIB, Usage


def look(folder: Path, section: DiskSection | None = None) -> dict[str, Finding]:
    return {one.name: one for one in check_storage(folder, section or DiskSection(low_mb=0))}


def test_a_folder_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    found = look(tmp_path / "new" / "state")
    assert found["state directory"].state == "ok"
    assert found["state directory"].text.endswith("is not there; it is made at the first start")
    assert found["disk"].state == "ok"
    assert "journal.db is not there yet" in found["databases"].text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = look(tmp_path / "file" / "state")["state directory"]
    assert (found.state, found.hint[:7]) == ("fail", "make it")
    assert str(tmp_path / "file") in found.text


def test_a_new_folder_is_fine_and_left_empty(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    found = look(tmp_path / "state")
    assert {one.state for one in found.values()} == {"ok"}
    assert "% " not in found["disk"].text
    assert "%)" in found["disk"].text
    assert "journal.db is not there yet" in found["databases"].text
    assert list((tmp_path / "state").iterdir()) == []


def test_a_folder_that_cannot_be_one_fails(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    found = look(place)
    assert found["state directory"].state == "fail"
    assert found["state directory"].hint


def test_a_disk_is_told_with_its_share_and_its_limit(tmp_path: Path) -> None:
    usage = Usage(total_bytes=1000 * MIB, free_bytes=400 * MIB, free_files=9000)
    found = check_disk(tmp_path, DiskSection(), usage)
    assert found.state == "ok"
    assert found.text.startswith("400 of 1000 MB free (40 %), room for 9000 files; low below 50 MB")
    assert "no ballast held back" in found.text


def test_a_disk_below_its_limit_is_low(tmp_path: Path) -> None:
    found = check_disk(tmp_path, DiskSection(), Usage(total_bytes=1000 * MIB, free_bytes=49 * MIB))
    assert (found.state, found.text[:5]) == ("warn", "low: ")
    assert "free some space" in found.hint


def test_a_disk_that_tells_nothing_fails(tmp_path: Path) -> None:
    assert check_disk(tmp_path, DiskSection(), None).state == "fail"


def test_databases_are_looked_at_and_not_changed(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    before = (tmp_path / JOURNAL_FILE).read_bytes()
    assert "journal.db is sound" in look(tmp_path)["databases"].text
    assert (tmp_path / JOURNAL_FILE).read_bytes() == before


def test_a_page_that_rotted_is_found(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_FILE
    database = Database(path, ("CREATE TABLE t (x TEXT); CREATE INDEX i ON t (x);",))
    database.write(
        lambda connection: connection.executemany(
            "INSERT INTO t VALUES (?)", [(f"{n:0200}",) for n in range(2000)]
        )
    )
    database.close()
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    found = look(tmp_path)["databases"]
    assert found.state == "fail"
    assert "damaged" in found.text or "malformed" in found.text
    assert "restart the agent" in found.hint


def test_a_file_that_is_no_database_is_found(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).write_bytes(b"nonsense" * 1000)
    assert look(tmp_path)["databases"].state == "fail"


def test_every_damaged_database_is_named(tmp_path: Path) -> None:
    for name in (JOURNAL_FILE, OUTBOX_FILE):
        (tmp_path / name).write_bytes(b"nonsense" * 1000)
    found = look(tmp_path)["databases"]
    assert JOURNAL_FILE in found.text
    assert OUTBOX_FILE in found.text
    assert found.hint.count("restart the agent") == 1


def test_what_was_set_aside_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.db.damaged-20260101T000000Z").write_bytes(b"")
    found = look(tmp_path)["databases"]
    assert found.state == "warn"
    assert "journal.db.damaged-20260101T000000Z" in found.text
