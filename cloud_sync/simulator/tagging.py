"""Tags for simulated devices, set over the service's HTTP API as a person would."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from cloud_sync.client import ShoalClient
from cloud_sync.errors import NotFound

KNOWN_S: Final = 120.0
"""For the service to have heard of a device that is connecting."""
_PAUSE_S: Final = 0.2


def tag_fleet(
    client: ShoalClient,
    tags: Mapping[str, Mapping[str, str]],
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Tag devices that may not have spoken yet.

    Args:
        client: of the service.
        tags: of each device.
        is_over: whether nobody wants it any more.

    Raises:
        NotFound: a device did not become known in time.
    """
    deadline = time.monotonic() + KNOWN_S
    for device, wanted in tags.items():
        while not is_over():
            try:
                client.devices.tag(device, set_tags=wanted)
            except NotFound:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                deadline = time.monotonic() + KNOWN_S
                break
