"""A service that hears no device: what it shows of the fleet is old, and a person must know."""

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from cloud_sync.cli.failure import warn
from cloud_sync.errors import ShoalError

if TYPE_CHECKING:
    from cloud_sync.client.shoal import ShoalClient


def warn_if_deaf(
    client: "ShoalClient",
    presences: Iterable[Literal["online", "offline", "unknown"]],
    *,
    as_json: bool,
) -> None:
    """Say so if devices seem to be away, or to be missing, because the service has no broker.

    Args:
        client: of the service.
        presences: of all devices that are shown.
        as_json: whether the command was asked for JSON.
    """
    seen = set(presences)
    if seen == {"online"}:
        return
    with suppress(ShoalError):  # what was asked for is shown all the same
        info = client.telemetry.info()
        if not info.broker_connected:
            warn(
                f"the service has no connection to its broker, {info.broker_url}: it hears "
                "nothing of any device; its log says why",
                as_json=as_json,
            )
