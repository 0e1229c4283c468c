"""Groups of devices."""

from cloud_sync.client.transport import Transport, path_of
from cloud_sync.fleet_resources import Group, GroupChange, GroupChanged, GroupDetail
from cloud_sync.resources import Deleted


class Groups:
    """The group `client.groups`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> list[Group]:
        """Every group, by name."""
        return self._transport.ask("GET", path_of("groups"), list[Group])

    def show(self, name: str) -> GroupDetail:
        """A group and its devices.

        Raises:
            NotFound: there is none of this name.
        """
        return self._transport.ask("GET", path_of("groups", name), GroupDetail)

    def change(self, name: str, wish: GroupChange, *, reason: str = "") -> GroupChanged:
        """Put devices into a group or take some out; it is made if it is not there.

        Raises:
            NotFound: a target means nobody; or no such group, and nothing is to be put into it.
            InvalidInput: a target is no expression, or nothing is to be changed.
        """
        path = path_of("groups", name)
        return self._transport.ask("POST", path, GroupChanged, body=wish, reason=reason)

    def delete(self, name: str, *, reason: str = "") -> Deleted:
        """Delete a group and what is configured for it. Its devices stay.

        Raises:
            NotFound: there is none of this name.
        """
        return self._transport.ask("DELETE", path_of("groups", name), Deleted, reason=reason)
