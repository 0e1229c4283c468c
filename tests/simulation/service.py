"""The service: its real parts on a real database, driven by hand, that may go and may be set back.

Its two threads are gone through once when the test says so. What it has committed is remembered
here apart from its database, to compare with what devices are told.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct
from sqlalchemy import func, select

from cloud_sync.broker.session import Received
from cloud_sync.db.audit import Change
from cloud_sync.db.engine import FILE_NAME
from cloud_sync.db.telemetry_tables import received_rows, results
from cloud_sync.errors import NotFound, ShoalError
from cloud_sync.fleet.desired import read_desired
from cloud_sync.resources import Deployment, Removal
from edge_agent.contract.manifest import canonical
from edge_agent.contract.names import digest_of
from edge_agent.contract.state import DesiredState, ReportedState, SlotConfig
from edge_agent.contract.topics import up_filters
from edge_agent.store.outbox_flight import RowName
from tests.simulation.broker import Packet, SimulatedBroker
from tests.simulation.disorder import Disorder
from tests.simulation.modules import Nature, model_bytes
from tests.support.cloud import Cloud, Line, cloud, manifest_of
from tests.support.simulated_clock import SimulatedClock

NAME: Final = "cloud-sync"
BATCH: Final = 50


class Published(Struct, frozen=True, kw_only=True):
    """A module version that can be deployed."""

    module: str
    version: int
    digest: str
    nature: Nature


class SimulatedLine(Line):
    """The service's session on the simulated broker.

    Args:
        broker: where it is.
        disorder: of the world.
    """

    def __init__(self, broker: SimulatedBroker, disorder: Disorder) -> None:
        super().__init__()
        self._broker = broker
        self._disorder = disorder

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return not self._disorder.is_network_cut and self._broker.is_connected(NAME)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand over a message."""
        if not self.is_connected:
            return False
        self._broker.publish(topic, payload, retain=retain)
        return True

    def receive(self, *, limit: int, timeout_s: float) -> list[Received]:
        """What has come; waits for nothing."""
        packets = self._broker.deliver(NAME, limit) if self.is_connected else []
        return [
            Received(packet.topic, packet.payload, packet.is_retained, number, 1, 1)
            for number, packet in enumerate(packets)
        ]

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """These need not be sent again."""
        packets = [Packet(m.topic, m.payload, m.is_retained) for m in messages]
        self._broker.confirm(NAME, packets)


class SimulatedService:
    """One service with a registry, one fleet, and its telemetry.

    Args:
        folder: of its data.
        broker: that everybody uses.
        disorder: of the world.
        clock: its own.
    """

    def __init__(
        self, folder: Path, broker: SimulatedBroker, disorder: Disorder, clock: SimulatedClock
    ) -> None:
        self._folder = folder
        self._broker = broker
        self._disorder = disorder
        self._clock = clock
        self._open = ExitStack()
        self._line = SimulatedLine(broker, disorder)
        self._parts: Cloud | None = None
        self._backup: frozenset[RowName] | None = None
        self._stored: dict[str, bytes] = {}
        self.committed: set[RowName] = set()
        """Every row that was ever committed, by boot id and number."""
        self.in_database: set[RowName] = set()
        """The same, less what went when the database was set back."""
        self.published: list[Published] = []
        self.start()

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._parts is not None

    def start(self) -> None:
        """Start it, on the database as it is."""
        self._parts = self._open.enter_context(
            cloud(self._folder, line=self._line, clock=self._clock.wall)
        )

    def stop(self) -> None:
        """End it, however: what is committed is committed."""
        self._open.close()
        self._parts = None
        self._broker.disconnect(NAME)

    def back_up(self) -> None:
        """Keep the database as it is now."""
        was_up = self.is_up
        self.stop()
        shutil.copy(self._folder / FILE_NAME, self._folder / "backup.db")
        self._backup = frozenset(self.in_database)
        if was_up:
            self.start()

    def set_back(self) -> None:
        """Lose the database, and go on from the backup."""
        if self._backup is None:
            return
        was_up = self.is_up
        self.stop()
        shutil.copy(self._folder / "backup.db", self._folder / FILE_NAME)
        self.in_database = set(self._backup)
        if was_up:
            self.start()

    def files(self) -> Mapping[str, bytes] | None:
        """What can be downloaded; None while it is away."""
        return self._stored if self.is_up else None

    def publish(self, module: str, nature: Nature) -> Published:
        """Publish a module version."""
        assert self._parts is not None
        data = model_bytes(nature)
        made = self._parts.publish(module, data=data, reads=f"in/{module}", writes=f"out/{module}")
        blob = self._parts.store(data)
        manifest = canonical(manifest_of(blob, module, f"in/{module}", f"out/{module}"))
        self._stored |= {digest_of(data): data, digest_of(manifest): manifest}
        found = Published(
            module=module, version=made.module.version, digest=made.module.digest, nature=nature
        )
        assert found.digest in self._stored
        self.published.append(found)
        return found

    def deploy(self, device: str, wanted: Published, config: SlotConfig) -> bool:
        """Deploy a version. False if a database that was set back does not know it."""
        assert self._parts is not None
        wish = Deployment(module=wanted.module, version=wanted.version, to=device, config=config)
        try:
            self._parts.parts.deployments.deploy(wish, self._change())
        except NotFound:
            return False
        return True

    def remove(self, device: str, slot: str) -> None:
        """Take a slot away."""
        assert self._parts is not None
        try:
            self._parts.parts.deployments.remove(Removal(slot=slot, to=device), self._change())
        except NotFound:
            return

    def round(self) -> None:
        """Take in what has come, and tell who is to be told."""
        if self._parts is None:
            return
        if not self._disorder.is_network_cut and not self._broker.is_connected(NAME):
            self._broker.connect(NAME, up_filters())
            self._parts.publisher.publish_all()
        while batch := self._line.receive(limit=BATCH, timeout_s=0):
            self._parts.ingest.write(batch)
            self._look_at_rows()
        self._parts.publisher.publish_due()

    def desired(self, device: str) -> DesiredState:
        """What it wants of a device."""
        assert self._parts is not None
        with self._parts.parts.database.read() as connection:
            return read_desired(connection, device)

    def reported(self, device: str) -> ReportedState | None:
        """What it knows of a device; None before it was ever heard of."""
        assert self._parts is not None
        try:
            return self._parts.parts.devices.get(device, self._clock.wall()).reported
        except ShoalError:
            return None

    def results(self) -> list[bytes]:
        """Every result that is in the database."""
        assert self._parts is not None
        with self._parts.parts.database.read() as connection:
            return [bytes(found) for found in connection.scalars(select(results.c.result))]

    def _look_at_rows(self) -> None:
        assert self._parts is not None
        with self._parts.parts.database.read() as connection:
            count = connection.scalar(select(func.count()).select_from(received_rows))
            if count == len(self.in_database):
                return
            query = select(received_rows.c.boot_id, received_rows.c.seq)
            found = {(boot, seq) for boot, seq in connection.execute(query)}
        assert found >= self.in_database, "rows are gone from the database"
        self.in_database = found
        self.committed |= found

    def _change(self) -> Change:
        return Change(actor="ada", reason="", time=self._clock.wall())
