"""`/v1/events`, `/v1/results`, `/v1/audit`, `/v1/info`: what happened, and how the service is."""

from litestar import Controller, get
from litestar.params import FromQuery

from cloud_sync.api.models import Limit
from cloud_sync.api.parts import GivenParts
from cloud_sync.db.audit import entries
from cloud_sync.resources import AuditEntry, FleetEvent, ServiceInfo, StoredResult


class TelemetryController(Controller):
    """What devices sent, and who changed what."""

    path = "/v1"
    tags = ("telemetry",)

    @get("/info", sync_to_thread=True)
    def info(self, parts: GivenParts) -> ServiceInfo:
        """Whether the service and its parts work."""
        return parts.info()

    @get("/events", sync_to_thread=True)
    def events(
        self,
        parts: GivenParts,
        device: FromQuery[str | None] = None,
        name: FromQuery[str | None] = None,
        since: FromQuery[float | None] = None,
        after_id: FromQuery[int | None] = None,
        limit: Limit = 100,
    ) -> list[FleetEvent]:
        """Events, newest first. A device that nobody knows and that left none is not found."""
        found = parts.telemetry.events(
            device=device, name=name, since=since, after_id=after_id, limit=limit
        )
        if device and not found and not parts.telemetry.events(device=device, limit=1):
            parts.devices.check_known(device)  # a deleted one is not, but its events stay
        return found

    @get("/results", sync_to_thread=True)
    def results(
        self,
        parts: GivenParts,
        device: FromQuery[str | None] = None,
        slot: FromQuery[str | None] = None,
        after_id: FromQuery[int | None] = None,
        limit: Limit = 100,
    ) -> list[StoredResult]:
        """Results that devices sent home, newest first; of an unknown device as for events."""
        found = parts.telemetry.results(device=device, slot=slot, after_id=after_id, limit=limit)
        if device and not found and not parts.telemetry.results(device=device, limit=1):
            parts.devices.check_known(device)
        return found

    @get("/audit", sync_to_thread=True)
    def audit(self, parts: GivenParts, limit: Limit = 100) -> list[AuditEntry]:
        """Who changed what, when and why, newest first."""
        with parts.database.read() as connection:
            return entries(connection, limit=limit)
