"""What the controllers work with, handed to them by name; put together in `app`."""

import time
from collections.abc import Callable
from typing import Annotated, Final
from urllib.parse import unquote

from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter
from msgspec import Struct

from cloud_sync.db.audit import Change
from cloud_sync.db.engine import Database
from cloud_sync.fleet.commands import Commands
from cloud_sync.fleet.configuration import Configuration
from cloud_sync.fleet.devices import Devices
from cloud_sync.fleet.groups import Groups
from cloud_sync.registry.blobs import Blobs
from cloud_sync.registry.endings import Endings
from cloud_sync.registry.models import Models
from cloud_sync.registry.modules import Modules
from cloud_sync.resources import ServiceInfo
from cloud_sync.rollout.deployments import Deployments
from cloud_sync.rollout.rollouts import Rollouts
from cloud_sync.telemetry.query import Telemetry

ANONYMOUS: Final = "anonymous"


class Parts(Struct, frozen=True, kw_only=True):
    """Everything that the API gives access to.

    Attributes:
        info: what the service says about itself now.
        max_blob_bytes: largest upload.
        max_downloads: files that are sent at a time.
    """

    database: Database
    blobs: Blobs
    models: Models
    modules: Modules
    endings: Endings
    devices: Devices
    groups: Groups
    configuration: Configuration
    commands: Commands
    deployments: Deployments
    rollouts: Rollouts
    telemetry: Telemetry
    info: Callable[[], ServiceInfo]
    max_blob_bytes: int
    max_downloads: int = 64


GivenParts = NamedDependency[Parts]
GivenChange = NamedDependency[Change]
Now = NamedDependency[float]
"""Seconds since 1970."""


def providers(parts: Parts) -> dict[str, Provide]:
    """Dependencies of the handlers, by the names of their arguments."""

    def given() -> Parts:
        return parts

    return {
        "parts": Provide(given, sync_to_thread=False),
        "change": Provide(change, sync_to_thread=False),
        "now": Provide(now, sync_to_thread=False),
    }


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def change(
    actor: Annotated[
        str | None,
        HeaderParameter(
            name="X-Shoal-Actor", description="who asks, for the audit log; percent-encoded"
        ),
    ] = None,
    reason: Annotated[
        str | None,
        HeaderParameter(
            name="X-Shoal-Reason", description="why, for the audit log; percent-encoded"
        ),
    ] = None,
) -> Change:
    """Who is changing something and why, from the request's headers."""
    return Change(
        actor=unquote(actor or "")[:200].strip() or ANONYMOUS,
        reason=unquote(reason or "")[:2000],
        time=time.time(),
    )
