"""A real agent whose own files were destroyed: what ran, runs, with no network to help."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.contract.state import Phase, ReportedSlot
from edge_agent.store.committed import COMMITTED_FILE
from edge_agent.store.journal import JOURNAL_FILE
from edge_agent.store.outbox_file import OUTBOX_FILE
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

GARBAGE = b"not what anybody wrote here, but a lot of it: " * 4000
UNREACHABLE = "mqtt://127.0.0.1:1"


def is_kept(version: int) -> Callable[[ReportedSlot], bool]:
    return lambda slot: slot.phase is Phase.ACTIVE and slot.running_version == version


class Site:
    """A cloud and a device with a broker of its own, on which one module answers."""

    def __init__(self, folder: Path, broker: EmbeddedBroker) -> None:
        self.cloud = FakeCloud()
        self.cloud.connect(broker.host, broker.port)
        self.rows = RowsClient(broker.host, broker.port)
        self.rows.listen("results/#")
        self.broker = broker
        self.agent = AgentProcess(
            folder / "line-1", self.cloud.url, broker.url, data_broker=broker.url
        )
        self.versions = [build_module(folder / f"v{n}", bias=float(n)) for n in (1, 2)]
        for built in self.versions:
            self.cloud.publish_module(built)

    def install(self) -> None:
        """Two versions, one after the other, so that there is one to go back to."""
        self.agent.start()
        self.agent.await_status(30)
        for number, built in enumerate(self.versions, 1):
            self.cloud.want("line-1", {"probe": wanted(built, number)})
            self.cloud.await_slot("probe", is_kept(number), 60)

    def start_offline(self) -> None:
        """A boot with neither the service nor its broker."""
        self.agent.broker_url = UNREACHABLE
        self.agent.cloud_url = "http://127.0.0.1:1"
        self.agent.start()

    def start_online(self) -> None:
        self.agent.broker_url = self.broker.url
        self.agent.cloud_url = self.cloud.url
        self.agent.start()

    def answer(self) -> int:
        """The version that answers a message now."""
        self.rows.answers.clear()

        def answered() -> int | None:
            self.rows.send("sensors/a/rows", {"id": 1, "a": 1, "b": 1, "c": 1})
            return int(self.rows.answers[-1]["version"]) if self.rows.answers else None

        return wait_for(answered, 30, lambda: self.agent.log)

    def close(self) -> None:
        self.agent.stop()
        self.rows.close()
        self.cloud.close()


@pytest.fixture
def site(nats_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, nats_broker)
    yield site
    site.close()


def destroy(state_dir: Path, name: str) -> None:
    """Fill a database, its log and its index with garbage."""
    for suffix in ("", "-wal", "-shm"):
        path = state_dir / (name + suffix)
        if path.exists() or not suffix:
            path.write_bytes(GARBAGE)


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_device_whose_journal_is_destroyed_runs_what_ran_without_a_network(
    ending: str, site: Site
) -> None:
    site.install()
    state_dir = site.agent.state_dir
    assert site.agent.stop() == 0 if ending == "stop" else site.agent.kill()
    destroy(state_dir, JOURNAL_FILE)
    site.cloud.requests.clear()
    site.start_offline()
    assert site.answer() == 2
    status = site.agent.await_status(30)
    assert status.slots["probe"].state.phase is Phase.ACTIVE
    assert status.revision_seen == 2
    assert len(list(state_dir.glob("journal.db.damaged-*"))) >= 1
    # Once there is a cloud, it is told; nothing is fetched that is here, and nothing goes back.
    assert site.agent.stop() == 0
    destroy(state_dir, JOURNAL_FILE)
    site.start_online()
    site.cloud.await_event("database_damaged", 60)
    wait_for(lambda: site.cloud.reports[-1].revision_applied == 2, 30)
    assert site.answer() == 2
    assert site.cloud.requests == []


def test_a_device_whose_outbox_is_destroyed_says_so_and_goes_on(site: Site) -> None:
    site.install()
    site.agent.kill()
    destroy(site.agent.state_dir, OUTBOX_FILE)
    site.start_online()
    assert site.answer() == 2
    event = site.cloud.await_event("database_damaged", 60)
    assert event.detail["file"] == OUTBOX_FILE
    assert "unknown number" in event.text


def test_a_device_whose_outbox_cannot_be_opened_answers_and_reports_once_it_can(
    site: Site,
) -> None:
    site.install()
    assert site.agent.stop() == 0
    outbox = site.agent.state_dir / OUTBOX_FILE
    outbox.unlink()
    outbox.mkdir()
    site.cloud.reports.clear()
    site.start_online()
    assert site.answer() == 2
    assert site.agent.await_status(30).slots["probe"].state.phase is Phase.ACTIVE
    wait_for(lambda: "event=outbox_not_open" in site.agent.log, 30)
    assert site.cloud.reports == []
    outbox.rmdir()
    wait_for(lambda: site.cloud.reports, 30, lambda: site.agent.log)


def test_an_agent_that_is_older_than_what_is_on_the_disk_runs_what_ran(site: Site) -> None:
    site.install()
    assert site.agent.stop() == 0
    set_schema_version(site.agent.state_dir / JOURNAL_FILE, 99)
    # What waits in the outbox is the newer agent's to send.
    outbox = site.agent.state_dir / OUTBOX_FILE
    version = set_schema_version(outbox, 99)
    before = outbox.read_bytes()
    site.cloud.reports.clear()
    site.start_online()
    assert site.answer() == 2
    wait_for(lambda: "event=outbox_not_open code=schema_newer" in site.agent.log, 30)
    assert site.agent.stop() == 0
    assert outbox.read_bytes() == before
    assert site.cloud.reports == []
    set_schema_version(outbox, version)
    site.start_online()
    assert site.answer() == 2
    wait_for(lambda: site.cloud.reports, 30, lambda: site.agent.log)


def set_schema_version(path: Path, version: int) -> int:
    """Have a database say that it is of a version; the one that it was of."""
    with closing(sqlite3.connect(path)) as connection:
        (before,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")
    return int(before)


def test_a_device_that_has_lost_journal_and_copy_fetches_no_file_that_is_there(
    site: Site,
) -> None:
    site.install()
    site.agent.kill()
    destroy(site.agent.state_dir, JOURNAL_FILE)
    (site.agent.state_dir / COMMITTED_FILE).write_bytes(GARBAGE)
    site.cloud.requests.clear()
    site.start_online()
    site.cloud.await_event("database_damaged", 60)
    site.cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE, 60)
    assert site.answer() == 2
    assert site.cloud.requests == []


def test_damage_that_shows_while_the_agent_runs_stops_nothing(site: Site) -> None:
    site.install()
    state_dir = site.agent.state_dir
    pid = site.agent.status().pid
    # Its pages are read again when somebody else has written, and its log is empty.
    for name in (JOURNAL_FILE, OUTBOX_FILE):
        other = sqlite3.connect(state_dir / name, isolation_level=None, timeout=10)
        other.execute("CREATE TABLE other (n INTEGER)")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        with (state_dir / name).open("r+b") as file:
            size = file.seek(0, 2)
            file.seek(4096)
            file.write(GARBAGE[: max(0, size - 4096)])
    site.cloud.requests.clear()
    site.cloud.want("line-1", {"probe": wanted(site.versions[0], 1)})
    event = site.cloud.await_event("database_damaged", 60)
    assert event.detail["file"] in (JOURNAL_FILE, OUTBOX_FILE)
    site.cloud.await_slot("probe", lambda slot: slot.running_version == 1, 60)
    wait_for(lambda: site.cloud.reports[-1].revision_applied == 3, 30)
    assert site.agent.status().pid == pid
    assert site.answer() == 1
    assert site.cloud.requests == []
    # And what it has written since is sound.
    site.agent.kill()
    site.start_offline()
    assert site.answer() == 1
    assert site.agent.await_status(30).revision_seen == 3
