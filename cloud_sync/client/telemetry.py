"""What devices and the service noted down: events, results, the audit log, the service itself."""

from cloud_sync.client.transport import Params, Transport, path_of
from cloud_sync.resources import AuditEntry, FleetEvent, ServiceInfo, StoredResult


class Telemetry:
    """The group `client.telemetry`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def info(self) -> ServiceInfo:
        """What the service is and whether its parts work."""
        return self._transport.ask("GET", path_of("info"), ServiceInfo)

    def events(
        self,
        *,
        device: str = "",
        name: str = "",
        since: float | None = None,
        after_id: int | None = None,
        limit: int = 100,
    ) -> list[FleetEvent]:
        """Events, newest first.

        Args:
            device: only of this device.
            name: only of this name.
            since: only later ones, seconds since 1970.
            after_id: only later ones, by id.
            limit: at most so many, 1 to 1000.
        """
        params: Params = {
            "device": device or None,
            "name": name or None,
            "since": since,
            "after_id": after_id,
            "limit": limit,
        }
        return self._transport.ask("GET", path_of("events"), list[FleetEvent], params=params)

    def results(
        self, *, device: str = "", slot: str = "", after_id: int | None = None, limit: int = 100
    ) -> list[StoredResult]:
        """Results that devices sent home, newest first.

        Args:
            device: only of this device.
            slot: only of this slot.
            after_id: only later ones, by id.
            limit: at most so many, 1 to 1000.
        """
        params: Params = {
            "device": device or None,
            "slot": slot or None,
            "after_id": after_id,
            "limit": limit,
        }
        return self._transport.ask("GET", path_of("results"), list[StoredResult], params=params)

    def audit(self, *, limit: int = 100) -> list[AuditEntry]:
        """Who changed what, when and why; newest first.

        Args:
            limit: at most so many, 1 to 1000.
        """
        params: Params = {"limit": limit}
        return self._transport.ask("GET", path_of("audit"), list[AuditEntry], params=params)
