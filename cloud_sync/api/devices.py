"""`/v1/devices`: the fleet."""

from typing import Annotated

from litestar import Controller, Response, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import structs

from cloud_sync.api.models import Limit, Offset, Pairs, pairs
from cloud_sync.api.parts import GivenChange, GivenParts, Now
from cloud_sync.resources import (
    CommandDone,
    CommandWish,
    Deleted,
    DeviceDetail,
    DeviceSummary,
    SlotExplanation,
    TagChange,
)
from edge_agent.contract.messages import Health

DeviceLimit = Annotated[int, QueryParameter(ge=1, le=100_000)]
Where = Annotated[str, QueryParameter(max_length=2_000, description="an expression")]


class DeviceController(Controller):
    """Devices: what they are, should run and do run."""

    path = "/v1/devices"
    tags = ("devices",)

    @get("/", sync_to_thread=True)
    def search(
        self,
        parts: GivenParts,
        now: Now,
        name: FromQuery[str] = "*",
        tag: Pairs = None,
        where: Where = "",
        limit: DeviceLimit = 10_000,
        offset: Offset = 0,
    ) -> list[DeviceSummary]:
        """Find devices by name (with `*` and `?`), tags, or an expression as targets have it."""
        return parts.devices.search(
            name=name, tags=pairs(tag), where=where, now=now, limit=limit, offset=offset
        )

    @get("/{device:str}", sync_to_thread=True)
    def show(self, parts: GivenParts, now: Now, device: FromPath[str]) -> DeviceDetail:
        """Everything that is known about a device, each with its age."""
        return parts.devices.get(device, now)

    @put("/{device:str}", sync_to_thread=True)
    def register(
        self, parts: GivenParts, change: GivenChange, device: FromPath[str]
    ) -> Response[DeviceSummary]:
        """Make a device known before it first speaks. 201 if it is new."""
        summary, is_new = parts.devices.register(device, change)
        return Response(summary, status_code=201 if is_new else 200)

    @delete("/{device:str}", status_code=200, sync_to_thread=True)
    def delete(self, parts: GivenParts, change: GivenChange, device: FromPath[str]) -> Deleted:
        """Forget a device that is not online."""
        return Deleted(what=parts.devices.delete(device, change))

    @patch("/{device:str}/tags", sync_to_thread=True)
    def tag(
        self,
        parts: GivenParts,
        change: GivenChange,
        device: FromPath[str],
        data: JSONBody[TagChange],
    ) -> DeviceSummary:
        """Set and remove tags."""
        return parts.devices.tag(device, data, change)

    @get("/{device:str}/health", sync_to_thread=True)
    def health(
        self,
        parts: GivenParts,
        now: Now,
        device: FromPath[str],
        since: FromQuery[float | None] = None,
        limit: Limit = 100,
    ) -> list[Health]:
        """Health reports, newest first."""
        parts.devices.get(device, now)  # refuses an unknown device
        return parts.telemetry.health(device, since=since, limit=limit)

    @post("/{device:str}/commands", status_code=200, sync_to_thread=True)
    def command(
        self,
        parts: GivenParts,
        change: GivenChange,
        device: FromPath[str],
        data: JSONBody[CommandWish],
    ) -> CommandDone:
        """Have a device do something now, and wait for its answer. 409 if it refuses."""
        return parts.commands.send(device, data, change)

    @get("/{device:str}/explain/{slot:str}", sync_to_thread=True)
    def explain(
        self, parts: GivenParts, now: Now, device: FromPath[str], slot: FromPath[str]
    ) -> SlotExplanation:
        """Why a slot is where it is, and what rollouts wait for there."""
        rollouts = parts.rollouts.query.of_slot(device, slot, now=now)
        found = parts.devices.explain(device, slot, now, is_expected=bool(rollouts))
        return structs.replace(found, rollouts=rollouts)
