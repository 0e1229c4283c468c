"""Why a slot of a device is where it is: with a running agent, and from its disk."""

import shutil
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import DesiredState, Phase, ReportedSlot, SlotError, WantedSlot
from edge_agent.daemon.explain import explain_left, explain_running, explanation_lines
from edge_agent.daemon.local import AGENT_NOT_RUNNING, AGENT_SILENT, SOCKET_FILE, ask_status
from edge_agent.daemon.status import AgentStatus, LinkStatus, SlotStatus
from edge_agent.errors import NotFound, StorageError, Unavailable
from edge_agent.store.committed import COMMITTED_FILE
from edge_agent.store.damage import DATABASE_DAMAGED
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.remains import read_journal
from edge_agent.store.slots import Installed, SlotRecord

NOW = 1_800_000_000.0
DIGEST = "sha256:" + "a" * 64
WINE = Installed(module="wine", version=3, digest=DIGEST)
RECORD = SlotRecord(
    slot="wine",
    phase=Phase.FAILED,
    target=WINE,
    error=SlotError(code="disk_low", text="too little", step="fetch"),
    attempts=2,
    next_retry=NOW + 60,
    since=NOW - 10,
)

DOWN = Unavailable("no agent runs on here", hint="start it", code=AGENT_NOT_RUNNING)
SILENT = Unavailable("the agent does not answer: timed out", hint="see its log", code=AGENT_SILENT)


def status(worker: SlotHealth | None = None, **link: str) -> AgentStatus:
    state = ReportedSlot(module="m", phase=Phase.ACTIVE)
    return AgentStatus(
        device="line-1",
        boot_id="b",
        version="1",
        pid=1,
        time=1.0,
        uptime_s=1.0,
        cloud=LinkStatus(url="", broker="", is_connected=not link, **link),
        revision_seen=1,
        revision_applied=1,
        slots={"m": SlotStatus(state=state, worker=worker, is_busy=False)},
        outbox_rows=0,
        outbox_dropped=0,
        disk_free_mb=1.0,
        clock_synced=True,
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"state": "running"}, ["nothing to do"]),
        (
            {"state": "running", "connected": False, "error": "refused"},
            ["data broker is away: refused", "data.broker"],
        ),
        (
            {"state": "crashed", "connected": False, "error": "crashed: by SIGSEGV"},
            ["process ended (crashed: by SIGSEGV)"],
        ),
    ],
)
def test_advice_names_what_ails_the_worker(options, expected):
    worker = SlotHealth(module="m", version=1, digest="", **options)
    found = explain_running("m", status(worker)).advice
    assert [part for part in expected if part not in found] == []


def test_the_way_to_the_cloud_is_told_beside_the_slot():
    assert explain_running("m", status()).cloud == "connected"
    assert explain_running("m", status(error="no route")).cloud == "not connected: no route"
    doubled = explain_running("m", status(conflict="two of them"))
    assert doubled.advice.startswith("Two agents use this device's name")


def test_a_slot_that_waits_for_another_agent_of_its_name_says_only_that() -> None:
    doubled = status(conflict="two of them")
    state = replace(doubled.slots["m"].state, phase=Phase.FETCHING, since=0.5)
    slot = SlotStatus(state=state, worker=None, is_busy=False)
    held = replace(doubled, slots={"m": slot})
    told = explain_running("m", held)
    assert told.advice.endswith("give each its own agent.device and restart it.")
    assert "fetching, for 0 s, and waits" in "\n".join(explanation_lines(told))
    busy = replace(doubled, slots={"m": replace(slot, is_busy=True)})
    assert "is being downloaded" in explain_running("m", busy).advice
    assert "and waits" not in "\n".join(explanation_lines(explain_running("m", busy)))


def test_an_error_of_an_earlier_attempt_is_called_that_with_its_age() -> None:
    error = SlotError(code="cloud_unreachable", text="no route", step="fetch")
    now = replace(status().slots["m"].state, phase=Phase.FETCHING, error=error, since=1.0)
    here = replace(
        status(), time=31.0, slots={"m": SlotStatus(state=now, worker=None, is_busy=True)}
    )
    (line,) = [x for x in explanation_lines(explain_running("m", here)) if "no route" in x]
    assert line.startswith("last error  ")
    assert line.endswith("  cloud_unreachable: no route (step fetch), more than 30 s ago")


def test_an_error_of_no_step_names_none() -> None:
    error = SlotError(code="update_locked", text="locked by a program here", step="")
    slot = replace(status().slots["m"].state, phase=Phase.FETCHING, error=error, since=1.0)
    here = replace(status(), slots={"m": SlotStatus(state=slot, worker=None, is_busy=False)})
    told = "\n".join(explanation_lines(explain_running("m", here)))
    assert "update_locked: locked by a program here" in told
    assert "(step" not in told


def test_a_slot_that_is_not_here_names_the_closest():
    with pytest.raises(NotFound, match="did you mean 'm'") as raised:
        explain_running("mm", status())
    assert raised.value.code == "slot_not_found"
    nothing = replace(status(), slots={})
    with pytest.raises(NotFound, match="nothing is wanted"):
        explain_running("m", nothing)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """What an agent left that failed to fetch one slot and has not begun with another."""
    journal = Journal(tmp_path)
    wanted = {
        "wine": WantedSlot(module="wine", version=3, digest=DIGEST),
        "digits": WantedSlot(module="digits", version=1, digest=DIGEST),
    }
    journal.accept_desired(DesiredState(device="line-1", revision=1, slots=wanted))
    journal.put_slot(RECORD)
    journal.close()
    return tmp_path


def test_without_an_agent_the_disk_is_asked_and_says_so(state_dir: Path):
    found = explain_left("wine", "line-1", read_journal(state_dir), DOWN, NOW)
    assert (found.wanted, found.running, found.phase) == ("wine/3", "", "failed")
    assert (found.error_code, found.attempts, found.next_retry_s) == ("disk_low", 2, 60.0)
    assert found.agent == "does not run"
    assert "no agent runs on here: start it. What was next" in found.advice
    assert "Free some space" in found.advice
    begun = explain_left("digits", "line-1", read_journal(state_dir), DOWN, NOW)
    assert (begun.wanted, begun.phase) == ("digits/1", "absent")
    with pytest.raises(NotFound, match="did you mean 'wine'"):
        explain_left("win", "line-1", read_journal(state_dir), DOWN, NOW)


def test_of_an_agent_that_hangs_nobody_says_that_nothing_runs(state_dir: Path):
    found = explain_left("wine", "line-1", read_journal(state_dir), SILENT, NOW)
    assert (found.agent, found.running) == ("does not answer", "")
    assert "the agent does not answer: timed out: see its log. What was next" in found.advice
    shown = list(explanation_lines(found))
    assert "runs        not known: the agent does not answer" in shown
    stopped = explain_left("wine", "line-1", read_journal(state_dir), DOWN, NOW)
    assert "runs        nothing" in list(explanation_lines(stopped))


def test_a_listener_that_says_nothing_is_silent_and_none_does_not_run(tmp_path: Path):
    with pytest.raises(Unavailable) as down:
        ask_status(tmp_path)
    assert down.value.code == AGENT_NOT_RUNNING
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(tmp_path / SOCKET_FILE))
        hung.listen()
        with pytest.raises(Unavailable) as silent:
            ask_status(tmp_path)
    assert silent.value.code == AGENT_SILENT


def test_a_damaged_journal_without_a_copy_is_said_with_what_a_start_does(state_dir: Path):
    for name in (JOURNAL_FILE, COMMITTED_FILE):
        (state_dir / name).write_bytes(b"nonsense" * 1000)
    with pytest.raises(StorageError, match=r"not a database.*no agent runs") as raised:
        explain_left("wine", "line-1", read_journal(state_dir), DOWN, NOW)
    assert raised.value.code == DATABASE_DAMAGED
    assert "builds it anew" in raised.value.hint


def test_without_anything_on_the_disk_the_agent_is_what_is_missing(tmp_path: Path):
    with pytest.raises(Unavailable) as raised:
        explain_left("wine", "line-1", read_journal(tmp_path), DOWN, NOW)
    assert raised.value is DOWN


def test_looking_changes_nothing_on_the_disk(state_dir: Path):
    before = {path.name: path.read_bytes() for path in state_dir.iterdir()}
    read_journal(state_dir)
    after = {path.name: path.read_bytes() for path in state_dir.iterdir()}
    assert after == before


def test_what_a_killed_agent_had_written_last_is_read(tmp_path: Path):
    # As a power cut leaves it: the last writes are in the log, and its index is of another boot.
    folder = tmp_path / "dead"
    folder.mkdir()
    journal = Journal(tmp_path)
    journal.put_slot(RECORD)
    for path in tmp_path.glob("journal.db*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder)
    journal.close()
    assert read_journal(folder).contents.slots == {"wine": RECORD}


def test_a_damaged_journal_is_told_and_the_copy_is_read(state_dir: Path):
    journal = Journal(state_dir)
    journal.put_slot(SlotRecord(slot="wine", phase=Phase.ACTIVE, target=WINE, active=WINE))
    journal.close()
    (state_dir / JOURNAL_FILE).write_bytes(b"nonsense" * 1000)
    found = read_journal(state_dir)
    assert "not a database" in found.problem
    assert found.source == "committed.json"
    assert found.contents.slots["wine"].active == WINE
    assert (state_dir / JOURNAL_FILE).read_bytes() == b"nonsense" * 1000
    told = explain_left("wine", "line-1", found, DOWN, NOW).advice
    assert "not a database" in told
    assert "builds it anew" in told


def test_an_empty_folder_has_nothing(tmp_path: Path):
    found = read_journal(tmp_path)
    assert found.source == ""
    assert "is not there" in found.problem


def test_an_explanation_is_shown_in_lines_that_fit(state_dir: Path):
    found = explain_left("wine", "line-1", read_journal(state_dir), DOWN, NOW)
    lines = list(explanation_lines(found))
    text = "\n".join(lines)
    assert max(len(line) for row in lines for line in row.splitlines()) <= 100
    for part in ("wanted      wine/3", "disk_low: too little (step fetch)", "in 60 s", "failed"):
        assert part in text
