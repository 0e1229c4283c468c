"""The service's parts on a real PostgreSQL: the same as on SQLite, also with several services."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import func, insert, select

from cloud_sync.config import RetentionSettings
from cloud_sync.db.engine import Database
from cloud_sync.db.metadata import metadata
from cloud_sync.db.migrate import migrate
from cloud_sync.db.registry_tables import counters
from cloud_sync.db.telemetry_tables import received_rows
from cloud_sync.errors import InUse, InvalidInput, Unavailable
from cloud_sync.label_resources import DeviceLabel, LabelsTaken
from cloud_sync.registry.models import Models
from cloud_sync.registry.modules import Modules
from cloud_sync.resources import Deployment, ModelUpload, TagChange
from cloud_sync.rollout.drive import Driver
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutOrder, RolloutState, RolloutWish
from cloud_sync.telemetry.labels import give, stored_labels
from cloud_sync.telemetry.retention import DAY_S, clean
from edge_agent.contract.manifest import canonical
from edge_agent.contract.messages import Ack
from edge_agent.contract.state import Phase, ReportedSlot
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import decode
from tests.support.cloud import NOW, Cloud, change, cloud, manifest_of
from tests.support.device import ScriptedDevice, await_value
from tests.support.letters import event_row, health, letter, reported, result_row, status, telemetry
from tests.support.postgresql import PostgresqlServer
from tests.support.puppets import Clock, Puppets
from tests.support.service import CloudService

pytestmark = pytest.mark.needs("postgresql")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    running = PostgresqlServer()
    running.create()
    running.start()
    yield running
    running.stop()
    running.remove()


@pytest.fixture
def url(server: PostgresqlServer) -> str:
    return server.new_database()


@pytest.fixture
def made(url: str, tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path, url) as parts:
        yield parts


def acks(made: Cloud) -> list[Ack]:
    topic = control("line-1", Channel.ACK)
    return [decode(Ack, data) for where, data in made.line.published if where == topic]


def at_once(*jobs: Callable[[], object]) -> None:
    """Run jobs in threads of their own; the first that fails, fails here."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result(60)


def test_the_migrations_make_exactly_the_tables_of_the_code(url: str) -> None:
    services = [Database(url), Database(url)]
    at_once(*(lambda database=database: migrate(database) for database in services))
    with services[0].read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    for database in services:
        database.close()


def test_rows_of_a_wrong_clock_get_their_true_time(made: Cloud) -> None:
    made.ingest.write([letter(status("line-1"))])
    row = replace(event_row(2), time=0.0, uptime_s=40.0)
    made.ingest.write([letter(telemetry("line-1", row))])
    report = replace(reported("line-1", seq=3), time=NOW, uptime_s=100.0, clock_synced=True)
    made.ingest.write([letter(report)])
    (found,) = made.parts.telemetry.events(name="swapped")
    assert (found.time, found.device_time) == (NOW - 60, 0.0)


def test_labels_and_results_find_each_other_whichever_comes_first(made: Cloud) -> None:
    made.ingest.write([letter(status("line-1"))])
    answers = [{"digest": "d", "id": seq, "outputs": {"label": 1}} for seq in (1, 2)]
    labels = [DeviceLabel(device="line-1", slot="probe", id=seq, value=seq) for seq in (1, 2)]
    made.ingest.write([letter(telemetry("line-1", result_row(1, answers[0])))])
    assert give(made.parts.database, labels, change()) == LabelsTaken(labels=2, right=1, waiting=1)
    made.ingest.write([letter(telemetry("line-1", result_row(2, answers[1])))])
    assert give(made.parts.database, labels, change()) == LabelsTaken(labels=2, right=1, wrong=1)
    assert [label.is_right for label in stored_labels(made.parts.database)] == [False, True]


def test_a_module_is_published_deployed_reported_and_protected(made: Cloud) -> None:
    made.ingest.write([letter(status("line-1"))])
    module = made.publish().module
    wish = Deployment(module="probe", to="all")
    assert made.parts.deployments.deploy(wish, change()).revisions == {"line-1": 1}
    slot = ReportedSlot(
        module="probe", phase=Phase.ACTIVE, running=module.digest, running_version=1
    )
    report = reported("line-1", slots={"probe": slot}, revision_seen=1, revision_applied=1)
    batch = telemetry("line-1", event_row(2), result_row(3, {"score": 1}))
    made.ingest.write([letter(report), letter(batch), letter(health("line-1"))])
    made.ingest.write([letter(batch)])
    # Each time it is said again, and counted once.
    assert [ack.seqs for ack in acks(made)] == [(1, 2, 3), (2, 3)]
    assert len(made.parts.telemetry.results()) == 1
    assert len(made.parts.telemetry.events(name="SWAPPED")) == 1
    assert made.parts.devices.get("line-1", NOW).summary.is_settled
    with pytest.raises(InUse, match="line-1"):
        made.parts.modules.delete("probe", 1, change())
    made.ingest.write([letter(status("line-1", state="offline"))])
    made.parts.devices.delete("line-1", change())
    made.parts.modules.delete("probe", 1, change())
    assert made.publish().module.version == 2


def test_models_are_found_as_in_sqlite(made: Cloud) -> None:
    made.register("shuttle", tags={"Team": "Ops"}, properties={"f1": "0.99"})
    made.register("shuttle-2")

    def names(**query: object) -> list[str]:
        return [m.name for m in made.parts.models.search(**query)]  # type: ignore[arg-type]

    assert names(name="SHUTTLE*") == ["shuttle", "shuttle-2"]
    assert names(name="shuttl_") == []
    assert names(tags={"Team": "o?s"}) == ["shuttle"]


def test_the_first_versions_of_a_name_by_several_services_are_distinct(
    made: Cloud, url: str
) -> None:
    upload = ModelUpload(files=(made.store(b"x"),))
    services = [Database(url) for _ in range(4)]

    def register(database: Database) -> None:
        for number in range(5):
            Models(database).register(f"m{number}", upload, change())

    at_once(*(lambda database=database: register(database) for database in services))
    for number in range(5):
        found = made.parts.models.versions(f"m{number}")
        assert [model.version for model in found] == [4, 3, 2, 1]
    for database in services:
        database.close()


def test_one_manifest_published_by_several_services_is_one_version(made: Cloud, url: str) -> None:
    data = canonical(manifest_of(made.store(b"model")))
    services = [Database(url) for _ in range(3)]
    at_once(
        *(
            lambda database=database: Modules(database, made.parts.blobs).publish(data, change())
            for database in services
        )
    )
    assert [module.version for module in made.parts.modules.versions("probe")] == [1]
    for database in services:
        database.close()


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(made: Cloud, url: str) -> None:
    impatient = Database(url, busy_timeout_s=0.2)
    refused = pytest.raises(Unavailable, match="lock timeout")
    with made.parts.database.write(), refused, impatient.write():
        pass
    impatient.close()


def test_a_reader_sees_one_state_and_changes_nothing(made: Cloud) -> None:
    query = select(func.count()).select_from(counters)
    with made.parts.database.read() as connection:
        assert connection.scalar(query) == 0
        made.register("shuttle")
        assert connection.scalar(query) == 0
    with pytest.raises(Unavailable, match="read-only"), made.parts.database.read() as connection:
        connection.execute(insert(counters).values(kind="model", name="a", last=1))


def test_what_no_column_can_hold_is_the_senders_mistake(made: Cloud) -> None:
    with pytest.raises(InvalidInput, match="cannot be stored") as caught:
        made.register(framework="a\0b")
    assert caught.value.code == "unstorable"
    made.parts.devices.register("line-1", change())
    with pytest.raises(InvalidInput, match="at most 200"):
        made.parts.devices.tag("line-1", TagChange(set={"a": "x" * 201}), change())
    poison = telemetry("line-1", event_row(1, text="a\0b"), event_row(2))
    made.line.arriving = [letter(poison), letter(telemetry("line-1", event_row(3)))]
    made.ingest.start()
    await_value(lambda: len(made.line.acknowledged) == 2)
    made.ingest.stop()
    assert [ack.seqs for ack in acks(made)] == [(1, 2), (3,)]
    assert len(made.parts.telemetry.events(name="telemetry_refused")) == 1


def test_old_rows_are_deleted(made: Cloud) -> None:
    rows = [result_row(n, n) for n in range(20)]
    made.ingest.write([letter(status("line-1")), letter(telemetry("line-1", *rows))])
    clean(made.parts.database, RetentionSettings(results_rows=5), NOW + DAY_S)
    assert len(made.parts.telemetry.results()) == 5
    clean(made.parts.database, RetentionSettings(), NOW + 91 * DAY_S)
    with made.parts.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(received_rows)) == 0


def test_the_service_runs_on_it_and_outlives_its_restart(
    server: PostgresqlServer, url: str, tmp_path: Path
) -> None:
    running = CloudService(tmp_path, environment={"CLOUD_SYNC_DATABASE_URL": url}).start()

    def info() -> dict[str, object]:
        return dict(httpx.get(f"{running.url}/v1/info").json())

    try:
        await_value(lambda: info()["ok"])
        assert info()["database"] == "postgresql"
        with ScriptedDevice("line-1", running.broker_url) as device:
            await_value(lambda: httpx.get(f"{running.url}/v1/devices/line-1").is_success)
            device.send(telemetry("line-1", event_row(1)))
            device.await_acks(1)
            server.stop()
            assert not info()["ok"]
            device.send(telemetry("line-1", event_row(2)))
            server.start()
            await_value(lambda: info()["ok"])
            assert [ack.seqs for ack in device.await_acks(2)] == [(1,), (2,)]
    finally:
        running.stop()
    assert not (running.data_dir / "cloud-sync.db").exists()


def test_a_rollout_is_driven_by_two_services_at_once(url: str, tmp_path: Path) -> None:
    clock = Clock()
    with cloud(tmp_path, url, clock=clock) as made:
        fleet = Puppets(made, clock, [f"line-{number}" for number in range(12)])
        first = fleet.deploy_first()
        second = made.publish(data=b"second").module.digest
        policy = Policy(
            stages=("1", "100%"), shadow_stages=1, soak_s=5, soak_messages=0, gates=None
        )
        wish = RolloutWish(module="probe", to="all", policy=policy)
        rollout = made.parts.rollouts.create(wish, change(clock.now), start=True).summary.id
        services = [Database(url) for _ in range(3)]
        drivers = [Driver(database, made.publisher, clock=clock) for database in services]

        def look() -> None:
            at_once(*(driver.look for driver in drivers))

        def state() -> RolloutState:
            return fleet.show(rollout).summary.state

        fleet.drive(lambda: state() is RolloutState.COMPLETED, look=look)
        assert {slots["probe"].running for slots in fleet.running.values()} == {second}
        back = RolloutOrder(action="rollback")
        made.parts.rollouts.order(rollout, back, change(clock.now))
        fleet.drive(lambda: state() is RolloutState.ROLLED_BACK, look=look)
        assert {slots["probe"].running for slots in fleet.running.values()} == {first}
        events = made.parts.rollouts.query.events(rollout)
        assert len({(e.device, e.stage, e.before, e.after, e.time) for e in events}) == len(events)
        for database in services:
            database.close()
