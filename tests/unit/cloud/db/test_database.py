"""Engine and migrations, on real files."""

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from cloud_sync.db.engine import Database, sqlite_url
from cloud_sync.db.fleet_tables import desired_states
from cloud_sync.db.metadata import metadata
from cloud_sync.db.migrate import migrate
from cloud_sync.db.registry_tables import counters
from cloud_sync.errors import ConfigError, Conflict, StorageError


def open_migrated(folder: Path) -> Database:
    database = Database(sqlite_url(folder))
    migrate(database)
    return database


def test_the_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    database = open_migrated(tmp_path)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    database = open_migrated(tmp_path)
    assert migrate(database) == migrate(database)


def test_every_table_can_be_written_for_postgresql() -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_a_database_from_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    database = open_migrated(tmp_path)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="version 9999, this program knows") as caught:
        migrate(database)
    assert caught.value.code == "database_newer"
    with database.read() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    assert found == "9999"


def test_commits_are_durable_and_foreign_keys_hold(tmp_path: Path) -> None:
    database = open_migrated(tmp_path)
    with database.read() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(
            insert(desired_states).values(device="nobody", revision=1, state=b"", changed=0)
        )


def test_an_exception_rolls_everything_back(tmp_path: Path) -> None:
    database = open_migrated(tmp_path)

    def fail_half_way() -> None:
        with database.write() as connection:
            connection.execute(insert(counters).values(kind="model", name="a", last=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with database.read() as connection:
        assert connection.execute(select(counters)).all() == []


def test_writers_that_read_first_take_turns_also_across_engines(tmp_path: Path) -> None:
    databases = [open_migrated(tmp_path), open_migrated(tmp_path)]
    with databases[0].write() as connection:
        connection.execute(insert(counters).values(kind="model", name="a", last=0))

    def count(database: Database) -> None:
        for _ in range(10):
            with database.write() as connection:
                last = connection.execute(select(counters.c.last)).scalar_one()
                connection.execute(counters.update().values(last=last + 1))

    threads = [threading.Thread(target=count, args=[d]) for d in databases * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with databases[0].read() as connection:
        assert connection.execute(select(counters.c.last)).scalar_one() == 40


def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "cloud-sync.db").write_bytes(b"this is not a database at all, not even a bit" * 99)
    with pytest.raises(StorageError):
        open_migrated(tmp_path)


@pytest.mark.parametrize("url", ["nonsense", "oracle9://x", "mysql+nodriver://h/d"])
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="database url"):
        Database(url)
