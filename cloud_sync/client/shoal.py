"""The client of one cloud-sync service: composes the groups over one connection pool.

Holds no logic of its own.
"""

from types import TracebackType
from typing import Final, Self

from cloud_sync.client.blobs import Blobs
from cloud_sync.client.configuration import Configuration
from cloud_sync.client.deployments import Deployments
from cloud_sync.client.devices import Devices
from cloud_sync.client.endings import Endings
from cloud_sync.client.groups import Groups
from cloud_sync.client.labels import Labels
from cloud_sync.client.models import Models
from cloud_sync.client.modules import Modules
from cloud_sync.client.rollouts import Rollouts
from cloud_sync.client.telemetry import Telemetry
from cloud_sync.client.transport import Transport

DEFAULT_TIMEOUT_S: Final = 30.0


class ShoalClient:
    """Everything that the service offers, by group.

    Example:
        with ShoalClient("http://127.0.0.1:8080", actor="ada") as client:
            model = client.models.register("shuttle", [Path("model.onnx")])

    Args:
        url: of the service, `http://host:port` or `https://...`.
        actor: who asks, for the service's audit log.
        timeout: seconds; longest time for connecting, for any silence, and for a whole answer
            that is not a file.

    Attributes:
        models: named, versioned files.
        modules: what can be deployed.
        endings: of many versions at once, by pattern.
        devices: the fleet.
        groups: devices put together by name.
        configuration: of the fleet, of groups and of devices, in layers.
        deployments: what devices should run.
        rollouts: the same in stages, each judged by what the version did.
        labels: what the right answers to messages were.
        telemetry: events, results, the audit log, the service itself.
        blobs: files by their digest.
    """

    def __init__(
        self, url: str, *, actor: str = "anonymous", timeout: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._transport = Transport(url, actor=actor, timeout_s=timeout)
        self.blobs = Blobs(self._transport)
        self.models = Models(self._transport, self.blobs)
        self.modules = Modules(self._transport, self.blobs)
        self.endings = Endings(self._transport)
        self.devices = Devices(self._transport)
        self.groups = Groups(self._transport)
        self.configuration = Configuration(self._transport)
        self.deployments = Deployments(self._transport, self.devices)
        self.rollouts = Rollouts(self._transport)
        self.labels = Labels(self._transport)
        self.telemetry = Telemetry(self._transport)

    @property
    def url(self) -> str:
        """The service's address."""
        return self._transport.url

    def close(self) -> None:
        """Close the connections. Nothing can be asked afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
