"""`/v1/retirements` and `/v1/deletions`: many versions at once, by pattern."""

from litestar import Controller, post
from litestar.params import JSONBody

from cloud_sync.api.parts import GivenChange, GivenParts
from cloud_sync.resources import EndedVersions, EndingWish


class EndingController(Controller):
    """Ends of many models or modules."""

    path = "/v1"
    tags = ("registry",)

    @post("/retirements", status_code=200, sync_to_thread=True)
    def retire(
        self, parts: GivenParts, change: GivenChange, data: JSONBody[EndingWish]
    ) -> EndedVersions:
        """Keep versions that a pattern means from being deployed again. What runs goes on."""
        return parts.endings.retire(data, change)

    @post("/deletions", status_code=200, sync_to_thread=True)
    def delete(
        self, parts: GivenParts, change: GivenChange, data: JSONBody[EndingWish]
    ) -> EndedVersions:
        """Delete versions that a pattern means; those that a device or a rollout needs stay."""
        return parts.endings.delete(data, change)
