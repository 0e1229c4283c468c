"""What a worker is told: where its files are, which broker it uses, what its topics begin with."""

from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, read_manifest
from edge_agent.contract.routes import input_filter
from edge_agent.contract.topics import data_prefix
from edge_agent.errors import ShoalError
from edge_agent.runtime.protocol import BrokerAddress, WorkerSpec, client_id
from edge_agent.store.blobs import BlobStore
from edge_agent.store.slots import Installed, SlotRecord


class WorkerSpecs:
    """Makes the specs of one device's workers.

    Args:
        device: its name.
        broker: of the data topics.
        is_shared: whether that broker is the cloud's, where data topics get the device's prefix.
        blobs: where the files are.
    """

    def __init__(
        self, device: str, broker: BrokerAddress, *, is_shared: bool, blobs: BlobStore
    ) -> None:
        self._device = device
        self._broker = broker
        self._prefix = data_prefix(device) if is_shared else ""
        self._blobs = blobs

    def trial(self, record: SlotRecord, version: Installed) -> WorkerSpec:
        """For a process that only checks the golden cases."""
        return WorkerSpec(
            mode="trial",
            device=self._device,
            slot=record.slot,
            version=version.version,
            digest=version.digest,
            manifest_file=str(self._blobs.path(version.digest)),
            blob_files=self._files(record, version),
            config=version.config,
            topic_prefix=self._prefix,
        )

    def live(self, record: SlotRecord, version: Installed) -> WorkerSpec:
        """For a worker that answers messages.

        Its MQTT session belongs to the slot and not to the version, so that a successor gets what
        its predecessor did not answer.
        """
        return WorkerSpec(
            mode="live",
            device=self._device,
            slot=record.slot,
            version=version.version,
            digest=version.digest,
            manifest_file=str(self._blobs.path(version.digest)),
            blob_files=self._files(record, version),
            config=version.config,
            broker=self._broker,
            client_id=self.client_id(record.slot),
            topic_prefix=self._prefix,
            stale_filters=self._stale_filters(record, version),
        )

    def client_id(self, slot: str) -> str:
        """Of a slot's MQTT session on the data broker."""
        return client_id(self._device, slot)

    def _stale_filters(self, record: SlotRecord, version: Installed) -> tuple[str, ...]:
        """What the slot's other versions subscribed to, and this one does not."""
        current = self._filter(version)
        others = {self._filter(other) for other in record.installed}
        return tuple(sorted(f for f in others if f and f != current))

    def _filter(self, version: Installed) -> str:
        """A version's topic filter; empty if its manifest is not here (yet, or any more)."""
        try:
            data = self._blobs.read(version.digest, limit=MAX_MANIFEST_BYTES)
        except ShoalError:
            return ""
        return input_filter(
            read_manifest(data), version.config, device=self._device, prefix=self._prefix
        )

    def _files(self, record: SlotRecord, version: Installed) -> dict[str, str]:
        digests = record.blobs.get(version.digest, ())
        return {digest: str(self._blobs.path(digest)) for digest in digests}
