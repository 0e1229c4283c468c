"""Devices of the fleet: what they are, what they should run, what they do."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from cloud_sync.client.paging import pages
from cloud_sync.client.transport import Params, Transport, path_of
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
from edge_agent.contract.names import check_name

AT_ONCE: Final = 5_000
"""Devices of one answer, some 500 bytes each: a where is answered anew for each page."""


class Devices:
    """The group `client.devices`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def search(
        self, *, name: str = "", tags: Mapping[str, str] | None = None, where: str = ""
    ) -> list[DeviceSummary]:
        """Every device that fits all conditions.

        Args:
            name: a glob, `line-*`; empty for all.
            tags: all of them must be there with these values.
            where: an expression, as a target has it; empty for all.

        Raises:
            InvalidInput: `where` is no expression; the text shows the place.
        """

        def fetch(count: int, offset: int) -> list[DeviceSummary]:
            params: Params = {
                "name": name or None,
                "tag": [f"{k}={v}" for k, v in (tags or {}).items()] or None,
                "where": where or None,
                "limit": count,
                "offset": offset,
            }
            return self._transport.ask(
                "GET", path_of("devices"), list[DeviceSummary], params=params
            )

        return list(pages(fetch, lambda found: found.device, page=AT_ONCE))

    def show(self, device: str) -> DeviceDetail:
        """Everything that is known about a device.

        Raises:
            NotFound: there is no such device.
        """
        return self._transport.ask("GET", path_of("devices", device), DeviceDetail)

    def add(self, device: str, *, reason: str = "") -> DeviceSummary:
        """Make a device known before it has ever spoken."""
        path = path_of("devices", check_name("device", device))
        return self._transport.ask("PUT", path, DeviceSummary, reason=reason)

    def remove(self, device: str, *, reason: str = "") -> Deleted:
        """Forget a device and what it should run.

        Raises:
            NotFound: there is no such device.
        """
        return self._transport.ask("DELETE", path_of("devices", device), Deleted, reason=reason)

    def tag(
        self, device: str, *, set_tags: Mapping[str, str] | None = None, remove: Sequence[str] = ()
    ) -> DeviceSummary:
        """Set tags and take tags away.

        Raises:
            NotFound: there is no such device.
        """
        change = TagChange(set=dict(set_tags or {}), remove=tuple(remove))
        path = path_of("devices", device, "tags")
        return self._transport.ask("PATCH", path, DeviceSummary, body=change)

    def health(
        self, device: str, *, since: float | None = None, limit: int | None = None
    ) -> list[Health]:
        """Health reports, newest first.

        Args:
            device: its name.
            since: only later ones, seconds since 1970.
            limit: at most so many; None for the service's own bound.

        Raises:
            NotFound: there is no such device.
        """
        path = path_of("devices", device, "health")
        params = {"since": since, "limit": limit}
        return self._transport.ask("GET", path, list[Health], params=params)

    def explain(self, device: str, slot: str) -> SlotExplanation:
        """Why a slot is where it is, and what happens next.

        Raises:
            NotFound: there is no such device, or no such slot on it.
        """
        path = path_of("devices", device, "explain", slot)
        return self._transport.ask("GET", path, SlotExplanation)

    def command(
        self,
        device: str,
        name: Literal["report", "restart-slot", "retry-slot"],
        *,
        slot: str = "",
        timeout_s: float = 10.0,
        reason: str = "",
    ) -> CommandDone:
        """Have a device do something once, now, and wait until it has.

        Args:
            device: its name.
            name: what.
            slot: that it is about; empty for "report".
            timeout_s: for its answer, 0.1 to 25 seconds.
            reason: for the audit log.

        Raises:
            NotFound: there is no such device.
            Conflict: it is not online, or it refused.
            Unavailable: it did not answer in time.
        """
        wish = CommandWish(name=name, slot=slot, timeout_s=timeout_s)
        path = path_of("devices", device, "commands")
        return self._transport.ask("POST", path, CommandDone, body=wish, reason=reason)
