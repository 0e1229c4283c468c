"""`/v1/groups`: devices put together by name."""

from litestar import Controller, delete, get, post
from litestar.params import FromPath, JSONBody

from cloud_sync.api.parts import GivenChange, GivenParts
from cloud_sync.fleet_resources import Group, GroupChange, GroupChanged, GroupDetail
from cloud_sync.resources import Deleted


class GroupController(Controller):
    """Groups: who is in them, and in which order their configuration counts."""

    path = "/v1/groups"
    tags = ("groups",)

    @get("/", sync_to_thread=True)
    def all(self, parts: GivenParts) -> list[Group]:
        """Every group, by name."""
        return parts.groups.all()

    @get("/{name:str}", sync_to_thread=True)
    def show(self, parts: GivenParts, name: FromPath[str]) -> GroupDetail:
        """A group and its devices."""
        return parts.groups.get(name)

    @post("/{name:str}", status_code=200, sync_to_thread=True)
    def change(
        self,
        parts: GivenParts,
        change: GivenChange,
        name: FromPath[str],
        data: JSONBody[GroupChange],
    ) -> GroupChanged:
        """Put devices into a group or take some out; it is made if it is not there."""
        return parts.groups.change(name, data, change)

    @delete("/{name:str}", status_code=200, sync_to_thread=True)
    def delete(self, parts: GivenParts, change: GivenChange, name: FromPath[str]) -> Deleted:
        """Delete a group and what is configured for it. Its devices stay."""
        return Deleted(what=parts.groups.delete(name, change))
