"""`/v1/labels`: what the right answers to messages were, told when somebody knows it."""

from litestar import Controller, get, post
from litestar.params import FromQuery, JSONBody

from cloud_sync.api.models import Limit
from cloud_sync.api.parts import GivenChange, GivenParts
from cloud_sync.label_resources import GivenLabels, LabelsTaken, StoredLabel
from cloud_sync.telemetry.labels import give, stored_labels


class LabelController(Controller):
    """Delayed labels."""

    path = "/v1/labels"
    tags = ("telemetry",)

    @post("/", status_code=200, sync_to_thread=True)
    def add(
        self, parts: GivenParts, change: GivenChange, data: JSONBody[GivenLabels]
    ) -> LabelsTaken:
        """Take labels, 1000 at most, all or none; each is counted once however often it comes."""
        return give(parts.database, data.labels, change)

    @get("/", sync_to_thread=True)
    def all(
        self,
        parts: GivenParts,
        device: FromQuery[str | None] = None,
        slot: FromQuery[str | None] = None,
        waiting: FromQuery[bool] = False,
        after_id: FromQuery[int | None] = None,
        limit: Limit = 100,
    ) -> list[StoredLabel]:
        """Labels, newest first; with `waiting` only those whose answer is not here."""
        found = stored_labels(
            parts.database,
            device=device,
            slot=slot,
            waiting=waiting,
            after_id=after_id,
            limit=limit,
        )
        if device and not found:
            parts.devices.check_known(device)
        return found
