"""What a worker is told: where its files are, which broker it uses, what its topics begin with."""

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from edge_agent.contract.kept import keeps_anything
from edge_agent.contract.routes import input_filters
from edge_agent.contract.topics import data_prefix
from edge_agent.reconcile.hardware import NONE_UNFIT, HardwareChoice, OnlyCpu
from edge_agent.reconcile.manifests import Manifests
from edge_agent.runtime.door_wire import door_file
from edge_agent.runtime.protocol import BrokerAddress, RunsOn, WorkerMode, WorkerSpec, client_id
from edge_agent.store.blobs import BlobStore
from edge_agent.store.files import make_folder
from edge_agent.store.slots import Installed, SlotRecord


class WorkerSpecs:
    """Makes the specs of one device's workers.

    Args:
        device: its name.
        broker: of the data topics.
        is_shared: whether that broker is the cloud's, where data topics get the device's prefix.
        blobs: where the files are.
        run_folder: where workers find each other's sockets; nobody else may enter it.
        shadow_cpu_share: of one core that a shadow may use, 0 to 1.
        has_doors: whether workers answer the local HTTP server.
        hardware: chooses what a model runs on; None for the CPU.
    """

    def __init__(
        self,
        device: str,
        broker: BrokerAddress,
        *,
        is_shared: bool,
        blobs: BlobStore,
        run_folder: Path,
        shadow_cpu_share: float = 0.2,
        has_doors: bool = False,
        hardware: HardwareChoice | None = None,
    ) -> None:
        self._device = device
        self._broker = broker
        self._prefix = data_prefix(device) if is_shared else ""
        self._blobs = blobs
        self._manifests = Manifests(blobs)
        self._run_folder = run_folder
        self._shadow_cpu_share = shadow_cpu_share
        self._has_doors = has_doors
        self._hardware = hardware or OnlyCpu()

    def trial(
        self, record: SlotRecord, version: Installed, unfit: Mapping[str, str] = NONE_UNFIT
    ) -> WorkerSpec:
        """For a process that only checks the golden cases.

        Args:
            record: of the slot.
            version: to check.
            unfit: providers that have failed with it, to the reason.
        """
        return replace(
            self._spec("trial", record, version, unfit),
            config=version.config,
            topic_prefix=self._prefix,
        )

    def working(self, record: SlotRecord, version: Installed) -> WorkerSpec:
        """For a worker that answers messages, or for a shadow of one."""
        return self.shadow(record, version) if version.shadows else self.live(record, version)

    def shadow(self, record: SlotRecord, version: Installed) -> WorkerSpec:
        """For a worker that only compares what it would have answered.

        Its own topics do not matter: it is told what another slot was asked, and publishes nothing.

        Raises:
            StorageError: there is no folder for its socket.
        """
        return replace(
            self._spec("shadow", record, version),
            mirror_path=self._mirror_path(record.slot),
            shadows=version.shadows,
            cpu_share=self._shadow_cpu_share,
        )

    def live(self, record: SlotRecord, version: Installed) -> WorkerSpec:
        """For a worker that answers messages.

        Its MQTT session belongs to the slot and not to the version, so that a successor gets what
        its predecessor did not answer.
        """
        manifest = self._manifests.of(version.digest)
        return replace(
            self._spec("live", record, version),
            config=version.config,
            broker=self._broker,
            client_id=self.client_id(record.slot),
            topic_prefix=self._prefix,
            stale_filters=self._stale_filters(record, version),
            door_path=self._door_path(record.slot) if self._has_doors else "",
            has_state=manifest is not None and keeps_anything(manifest),
        )

    def _spec(
        self,
        mode: WorkerMode,
        record: SlotRecord,
        version: Installed,
        unfit: Mapping[str, str] = NONE_UNFIT,
    ) -> WorkerSpec:
        """What every worker is told: what it is, where its files are, what it runs on."""
        digests = record.blobs.get(version.digest, ())
        return WorkerSpec(
            mode=mode,
            device=self._device,
            slot=record.slot,
            version=version.version,
            digest=version.digest,
            manifest_file=str(self._blobs.path(version.digest)),
            blob_files={digest: str(self._blobs.path(digest)) for digest in digests},
            runs_on=self._runs_on(version, unfit),
        )

    def client_id(self, slot: str) -> str:
        """Of a slot's MQTT session on the data broker."""
        return client_id(self._device, slot)

    def _stale_filters(self, record: SlotRecord, version: Installed) -> tuple[str, ...]:
        """What the slot's other versions subscribed to, and this one does not."""
        current = self._filters(version)
        others = {name for other in record.installed for name in self._filters(other)}
        return tuple(sorted(others.difference(current)))

    def _filters(self, version: Installed) -> tuple[str, ...]:
        """A version's topic filters; none if its manifest is not here (yet, or any more)."""
        manifest = self._manifests.of(version.digest)
        if manifest is None:
            return ()
        return input_filters(manifest, version.config, device=self._device, prefix=self._prefix)

    def keep_off(self, version: Installed, unfit: Mapping[str, str]) -> None:
        """Never again run a version on some providers.

        Args:
            version: that they failed with.
            unfit: provider to reason.
        """
        manifest = self._manifests.of(version.digest)
        if manifest is not None:
            self._hardware.keep_off(manifest, unfit)

    def _runs_on(self, version: Installed, unfit: Mapping[str, str] = NONE_UNFIT) -> RunsOn:
        """What a version's model runs on. Whose manifest is not here fails in its worker."""
        manifest = self._manifests.of(version.digest)
        return RunsOn() if manifest is None else self._hardware.runs_on(manifest, unfit=unfit)

    def _door_path(self, slot: str) -> str:
        return str(make_folder(self._run_folder) / door_file(slot))

    def _mirror_path(self, slot: str) -> str:
        return str(make_folder(self._run_folder) / f"mirror-{slot}.sock")
