"""`/v1/modules`: published modules."""

from typing import Any

import anyio.to_thread
from litestar import Controller, Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from cloud_sync.api.models import Limit, Offset, Retired
from cloud_sync.api.parts import GivenChange, GivenParts
from cloud_sync.resources import Deleted, ModulePublished, ModuleVersion
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES


class ModuleController(Controller):
    """Deployable modules: a manifest and its blobs, numbered."""

    path = "/v1/modules"
    tags = ("modules",)

    @post("/", request_max_body_size=MAX_MANIFEST_BYTES)
    async def publish(
        self, parts: GivenParts, change: GivenChange, request: Request[Any, Any, State]
    ) -> Response[ModulePublished]:
        """Publish a canonical manifest whose blobs are uploaded. 200 if it was there."""
        # The very bytes count, because their hash is the module's digest.
        data = await request.body()
        published = await anyio.to_thread.run_sync(parts.modules.publish, data, change)
        return Response(published, status_code=201 if published.created else 200)

    @get("/", sync_to_thread=True)
    def search(
        self,
        parts: GivenParts,
        name: FromQuery[str] = "*",
        is_retired: Retired = None,
        limit: Limit = 1000,
        offset: Offset = 0,
    ) -> list[ModuleVersion]:
        """Find versions by name (with `*` and `?`)."""
        return parts.modules.search(name=name, is_retired=is_retired, limit=limit, offset=offset)

    @get("/{name:str}", sync_to_thread=True)
    def versions(self, parts: GivenParts, name: FromPath[str]) -> list[ModuleVersion]:
        """All versions, newest first."""
        return parts.modules.versions(name)

    @get("/{name:str}/{version:int}", sync_to_thread=True)
    def show(self, parts: GivenParts, name: FromPath[str], version: FromPath[int]) -> ModuleVersion:
        """One version."""
        return parts.modules.get(name, version)

    @get("/{name:str}/{version:int}/manifest", sync_to_thread=True)
    def manifest(
        self, parts: GivenParts, name: FromPath[str], version: FromPath[int]
    ) -> Response[bytes]:
        """The canonical manifest, byte for byte."""
        return Response(parts.modules.manifest(name, version), media_type="application/json")

    @post("/{name:str}/{version:int}/retire", status_code=200, sync_to_thread=True)
    def retire(
        self, parts: GivenParts, change: GivenChange, name: FromPath[str], version: FromPath[int]
    ) -> ModuleVersion:
        """Keep a version from being deployed again."""
        return parts.modules.retire(name, version, change)

    @delete("/{name:str}/{version:int}", status_code=200, sync_to_thread=True)
    def delete(
        self, parts: GivenParts, change: GivenChange, name: FromPath[str], version: FromPath[int]
    ) -> Deleted:
        """Delete a version, unless a device runs it or should."""
        return Deleted(what=parts.modules.delete(name, version, change))
