"""The service put together: everything but HTTP, built from settings, started and stopped in order.

1. the data folder, which belongs to one service at a time
2. database and blobs
3. broker, if it is the embedded one, then our session on it
4. the threads that publish, take in and drive rollouts, and the nightly cleaning
"""

import fcntl
import logging
import os
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from cloud_sync.api.parts import Parts
from cloud_sync.broker.embedded import EmbeddedBroker
from cloud_sync.broker.session import BrokerSession, parse_url
from cloud_sync.config import Settings
from cloud_sync.db.engine import Database, sqlite_url
from cloud_sync.db.migrate import migrate
from cloud_sync.errors import Conflict, ShoalError, StorageError
from cloud_sync.fleet.commands import Commands
from cloud_sync.fleet.configuration import Configuration
from cloud_sync.fleet.devices import Devices
from cloud_sync.fleet.groups import Groups
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.objects import Objects
from cloud_sync.registry.blobs import Blobs
from cloud_sync.registry.endings import Endings
from cloud_sync.registry.models import Models
from cloud_sync.registry.modules import Modules
from cloud_sync.resources import ServiceInfo
from cloud_sync.rollout.deployments import Deployments
from cloud_sync.rollout.drive import Driver
from cloud_sync.rollout.forgetting import forget
from cloud_sync.rollout.rollouts import Rollouts
from cloud_sync.telemetry.ingest import Ingest
from cloud_sync.telemetry.query import Telemetry
from cloud_sync.telemetry.retention import DAY_S, clean, nightly

VERSION: Final = version("shoal")
STUCK_S: Final = 90.0
"""No round of the ingest thread, or of the driver's, for so long means that it hangs."""

IDENTITY_FILE: Final = "service-id"
_IDENTITY_LENGTH: Final = 32

logger = logging.getLogger(__name__)


class Service:
    """Registry, fleet, rollouts and telemetry, without the web server in front of them.

    Args:
        settings: as loaded.

    Raises:
        Conflict: another service has the data folder, the broker's port is taken, or the database
            is of a newer version.
        StorageError: the data folder cannot be written.
        ConfigError: the database's or the broker's URL cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.data_dir = Path(settings.service.data_dir).absolute()
        self._lock = _own(self.data_dir)
        self.database = open_database(settings, self.data_dir)
        self.blobs = Blobs(self.database, Objects(self.data_dir / "blobs"))
        self._embedded = _embedded_broker(settings, self.data_dir)
        broker = settings.broker
        address = parse_url(
            self._embedded.url if self._embedded else broker.url,
            ca_file=broker.ca_file,
            cert_file=broker.cert_file,
            key_file=broker.key_file,
        )
        self.broker_url = address.url
        self.session = BrokerSession(address, on_connected=self._connected)
        self.publisher = DesiredPublisher(self.database, self.session)
        self._starts_per_s = settings.fleet.starts_per_s
        self.driver = Driver(
            self.database,
            self.publisher,
            starts_per_s=self._starts_per_s,
            owner=_identity(self.data_dir),
        )
        self.ingest = Ingest(self.database, self.session, self.publisher, wake=self.driver.wake)
        self._scheduler = nightly(settings.retention.hour, self.clean)

    @property
    def has_embedded_broker(self) -> bool:
        """Whether the broker is a child of this service."""
        return self._embedded is not None

    def parts(self) -> Parts:
        """What the API gives access to."""
        devices = Devices(self.database, self.publisher)
        return Parts(
            database=self.database,
            blobs=self.blobs,
            models=Models(self.database),
            modules=Modules(self.database, self.blobs),
            endings=Endings(self.database),
            devices=devices,
            groups=Groups(self.database, self.publisher),
            configuration=Configuration(self.database, self.publisher),
            commands=Commands(self.database, self.session, devices),
            deployments=Deployments(
                self.database,
                self.publisher,
                self.driver.wake,
                starts_per_s=self._starts_per_s,
            ),
            rollouts=Rollouts(
                self.database,
                self.publisher,
                self.driver.wake,
                starts_per_s=self._starts_per_s,
            ),
            telemetry=Telemetry(self.database),
            info=self.info,
            max_blob_bytes=self._settings.http.max_blob_mb * 2**20,
            max_downloads=self._settings.http.max_downloads,
        )

    def start(self) -> None:
        """Start all threads. The broker need not be there: it is tried for ever."""
        self.publisher.start()
        self.driver.start()
        self.ingest.start()
        self.session.start()
        self._scheduler.start()

    def stop(self) -> None:
        """Stop in the opposite order; safe after a start that failed half-way."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        if self.ingest.is_alive():
            self.ingest.stop()
        if self.driver.is_alive():
            self.driver.stop()
        if self.publisher.is_alive():
            self.publisher.stop()
        self.session.stop()
        if self._embedded is not None:
            self._embedded.stop()
        self.database.close()
        self._lock.close()

    def info(self) -> ServiceInfo:
        """What the service is, and whether its parts work."""
        is_working = self.is_progressing()
        try:
            with self.database.read() as connection:
                connection.exec_driver_sql("SELECT 1")
        except ShoalError:
            is_working = False
        return ServiceInfo(
            ok=is_working and self.session.is_connected,
            version=VERSION,
            database=self.database.kind,
            broker="embedded" if self._embedded else "external",
            broker_connected=self.session.is_connected,
            broker_url=self.broker_url,
        )

    def is_progressing(self) -> bool:
        """Whether the threads are alive and none hangs."""
        return (
            self.ingest.is_alive()
            and self.publisher.is_alive()
            and self.driver.is_alive()
            and time.monotonic() - self.ingest.progressed < STUCK_S
            and time.monotonic() - self.driver.progressed < STUCK_S
        )

    def revive_broker(self) -> None:
        """Start the embedded broker again if it died."""
        if self._embedded is None or self._embedded.pid:
            return
        logger.error("event=broker_died broker=%s", self.broker_url)
        try:
            self._embedded.start()
        except ShoalError as error:
            logger.error("event=broker_not_revived code=%s text=%r", error.code, error.text)

    def clean(self) -> None:
        """Delete what is beyond the retention rules, and blobs that nothing needs."""
        try:
            now = time.time()
            clean(self.database, self._settings.retention, now)
            forget(self.database, self._settings.retention, now)
            self.blobs.collect(now - self._settings.retention.unused_blob_days * DAY_S)
        except ShoalError as error:
            logger.error("event=cleaning_failed code=%s text=%r", error.code, error.text)

    def _connected(self) -> None:
        # A broker that lost its retained messages must get them back.
        self.publisher.publish_all()


def open_database(settings: Settings, data_dir: Path) -> Database:
    """The database that the settings name, with this version's tables.

    Raises:
        Conflict: it is of a newer version.
        ConfigError: its URL cannot be used.
        StorageError, Unavailable: it cannot be opened.
    """
    database = Database(settings.database.url or sqlite_url(data_dir))
    migrate(database)
    return database


def _own(data_dir: Path) -> IO[str]:
    """Take the data folder for this process; the lock goes with the process."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("a+")
    except OSError as error:
        raise StorageError(
            f"data folder {data_dir} cannot be written: {error.strerror}",
            hint="choose another with --data-dir",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise Conflict(
            f"data folder {data_dir} is in use by another cloud-sync (process {holder})",
            hint="stop it, or choose another folder with --data-dir",
            code="data_dir_in_use",
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _identity(data_dir: Path) -> str:
    """The name by which this service and every later run of it in the folder know their leases.

    The folder belongs to one process at a time, so a lease by this name is never another's.
    """
    file = data_dir / IDENTITY_FILE
    try:
        if len(known := file.read_text().strip()) == _IDENTITY_LENGTH:
            return known
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    made = uuid.uuid4().hex
    temporary = file.with_name(f".{IDENTITY_FILE}")
    try:
        temporary.write_text(f"{made}\n")
        temporary.replace(file)
    except OSError as error:
        raise StorageError(
            f"data folder {data_dir} cannot be written: {error.strerror}",
            hint="choose another with --data-dir",
        ) from error
    return made


def _embedded_broker(settings: Settings, data_dir: Path) -> EmbeddedBroker | None:
    if settings.broker.url:
        return None
    broker = EmbeddedBroker(
        data_dir / "broker", host=settings.broker.host, port=settings.broker.port
    )
    broker.start()
    return broker
