"""The parts of the service on a real database, without processes, for quick tests."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cloud_sync.api.parts import Parts
from cloud_sync.broker.session import Received
from cloud_sync.db.audit import Change
from cloud_sync.db.engine import Database, sqlite_url
from cloud_sync.db.migrate import migrate
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
from cloud_sync.resources import ModelUpload, ModulePublished, ServiceInfo
from cloud_sync.rollout.deployments import Deployments
from cloud_sync.rollout.drive import Driver
from cloud_sync.rollout.rollouts import Rollouts
from cloud_sync.telemetry.ingest import Ingest
from cloud_sync.telemetry.query import Telemetry
from edge_agent.contract.manifest import Blob, Input, Manifest, Model, Output, Tensor, canonical
from edge_agent.contract.names import digest_of
from edge_agent.contract.signature import TensorSpec

NOW = 1_700_000_000.0
INFO = ServiceInfo(
    ok=True,
    version="0",
    database="sqlite",
    broker="external",
    broker_connected=True,
    broker_url="mqtt://127.0.0.1:1",
)


def change(time: float = NOW, actor: str = "ada", reason: str = "because") -> Change:
    return Change(actor=actor, reason=reason, time=time)


@dataclass
class Line:
    """Both ends of the service's session: what it published and acknowledged is kept.

    Attributes:
        refusals: how many of the next messages are not taken, as while the broker is away.
    """

    published: list[tuple[str, bytes]] = field(default_factory=list)
    acknowledged: list[Received] = field(default_factory=list)
    arriving: list[Received] = field(default_factory=list)
    refusals: int = 0

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        if self.refusals > 0:
            self.refusals -= 1
            return False
        self.published.append((topic, payload))
        return True

    def receive(self, *, limit: int, timeout_s: float) -> list[Received]:
        batch, self.arriving = self.arriving[:limit], self.arriving[limit:]
        return batch

    def acknowledge(self, messages: Sequence[Received]) -> None:
        self.acknowledged += messages


@dataclass
class Cloud:
    """All parts, and short ways to fill them."""

    parts: Parts
    line: Line
    publisher: DesiredPublisher
    ingest: Ingest
    driver: Driver

    def store(self, data: bytes, now: float = NOW) -> Blob:
        """Upload a blob."""
        digest = digest_of(data)
        upload = self.parts.blobs.objects.begin(digest, size=len(data), limit_bytes=2**30)
        upload.write(data)
        self.parts.blobs.commit(upload, digest, now)
        return Blob(path="model.onnx", digest=digest, size=len(data))

    def register(self, name: str = "shuttle", data: bytes = b"model", **more: object) -> int:
        """Register a model version; its number."""
        upload = ModelUpload(files=(self.store(data),), **more)  # type: ignore[arg-type]
        return self.parts.models.register(name, upload, change()).version

    def publish(
        self,
        name: str = "probe",
        *,
        data: bytes = b"model",
        reads: str = "in/+",
        writes: str = "out/{1}",
        source: str = "",
    ) -> ModulePublished:
        """Publish a module with a blob that is stored for it."""
        manifest = manifest_of(self.store(data), name, reads, writes, source)
        return self.parts.modules.publish(canonical(manifest), change())


def manifest_of(
    blob: Blob, name: str = "probe", reads: str = "in/+", writes: str = "out/{1}", source: str = ""
) -> Manifest:
    """A small manifest that may be published."""
    return Manifest(
        name=name,
        model=Model(
            blob=blob,
            ir_version=10,
            opsets={"": 21},
            inputs=(TensorSpec("X", "float32", (-1, 2)),),
            outputs=(TensorSpec("y", "float32", (-1, 1)),),
            registry=source,
        ),
        input=Input(topic=reads),
        tensors=(Tensor(name="X", source="array"),),
        output=Output(topic=writes),
    )


@contextmanager
def cloud(
    folder: Path,
    url: str = "",
    *,
    line: Line | None = None,
    clock: Callable[[], float] = lambda: NOW,
) -> Iterator[Cloud]:
    """All parts in a folder, with the database there or at a URL.

    Args:
        folder: of blobs and database.
        url: of the database; empty for one in the folder.
        line: to the broker; None for one that keeps what is published.
        clock: the service's time, seconds since 1970.
    """
    database = Database(url or sqlite_url(folder))
    migrate(database)
    line = line or Line()
    publisher = DesiredPublisher(database, line)
    blobs = Blobs(database, Objects(folder / "blobs"))
    devices = Devices(database, publisher)
    driver = Driver(database, publisher, clock=clock)
    parts = Parts(
        database=database,
        blobs=blobs,
        models=Models(database),
        modules=Modules(database, blobs),
        endings=Endings(database),
        devices=devices,
        groups=Groups(database, publisher),
        configuration=Configuration(database, publisher),
        commands=Commands(database, line, devices),
        deployments=Deployments(database, publisher, driver.wake),
        rollouts=Rollouts(database, publisher, driver.wake),
        telemetry=Telemetry(database),
        info=lambda: INFO,
        max_blob_bytes=2**20,
    )
    yield Cloud(parts, line, publisher, Ingest(database, line, publisher, clock=clock), driver)
    database.close()
