"""`/v1/models`: registered models."""

from typing import Annotated

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from cloud_sync.api.parts import GivenChange, GivenParts
from cloud_sync.labels import parse_tag
from cloud_sync.resources import Deleted, ModelUpload, ModelVersion, TagChange, Tags

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
Offset = Annotated[int, QueryParameter(ge=0)]
Retired = Annotated[bool | None, QueryParameter(name="retired")]
Pairs = Annotated[
    list[str] | None, QueryParameter(description="KEY=VALUE; given several times, all must match")
]


class ModelController(Controller):
    """Named, versioned sets of files of any framework."""

    path = "/v1/models"
    tags = ("models",)

    @get("/", sync_to_thread=True)
    def search(
        self,
        parts: GivenParts,
        name: FromQuery[str] = "*",
        tag: Pairs = None,
        # `property` would hide Python's own; the query is called so all the same.
        facts: Annotated[list[str] | None, QueryParameter(name="property")] = None,
        is_retired: Retired = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[ModelVersion]:
        """Find versions by name (with `*` and `?`), tags and properties."""
        return parts.models.search(
            name=name,
            tags=pairs(tag),
            properties=pairs(facts),
            is_retired=is_retired,
            limit=limit,
            offset=offset,
        )

    @post("/{name:str}", sync_to_thread=True)
    def register(
        self,
        parts: GivenParts,
        change: GivenChange,
        name: FromPath[str],
        data: JSONBody[ModelUpload],
    ) -> ModelVersion:
        """Make a new version from uploaded blobs."""
        return parts.models.register(name, data, change)

    @get("/{name:str}", sync_to_thread=True)
    def versions(self, parts: GivenParts, name: FromPath[str]) -> list[ModelVersion]:
        """All versions, newest first."""
        return parts.models.versions(name)

    @get("/{name:str}/{version:int}", sync_to_thread=True)
    def show(self, parts: GivenParts, name: FromPath[str], version: FromPath[int]) -> ModelVersion:
        """One version."""
        return parts.models.get(name, version)

    @patch("/{name:str}/{version:int}/tags", sync_to_thread=True)
    def tag(
        self,
        parts: GivenParts,
        change: GivenChange,
        name: FromPath[str],
        version: FromPath[int],
        data: JSONBody[TagChange],
    ) -> ModelVersion:
        """Set and remove tags."""
        return parts.models.tag(name, version, data, change)

    @post("/{name:str}/{version:int}/retire", status_code=200, sync_to_thread=True)
    def retire(
        self, parts: GivenParts, change: GivenChange, name: FromPath[str], version: FromPath[int]
    ) -> ModelVersion:
        """Mark a version as not to be used any more."""
        return parts.models.retire(name, version, change)

    @delete("/{name:str}/{version:int}", status_code=200, sync_to_thread=True)
    def delete(
        self, parts: GivenParts, change: GivenChange, name: FromPath[str], version: FromPath[int]
    ) -> Deleted:
        """Delete a version, unless a device needs it."""
        return Deleted(what=parts.models.delete(name, version, change))


def pairs(texts: list[str] | None) -> Tags:
    """`KEY=VALUE` texts of a query as a mapping."""
    return dict(parse_tag(text) for text in texts or ())
