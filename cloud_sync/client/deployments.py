"""Deployments: putting modules on devices, taking them off, waiting until they run."""

import time
from collections.abc import Callable
from typing import Final

from cloud_sync.client.arrival import Arrival, judge
from cloud_sync.client.devices import Devices
from cloud_sync.client.transport import Transport, path_of
from cloud_sync.errors import Unavailable
from cloud_sync.resources import Deployment, DeploymentResult, Removal
from edge_agent.contract.state import SlotConfig

POLL_S: Final = 0.5


class Deployments:
    """The group `client.deployments`."""

    def __init__(self, transport: Transport, devices: Devices) -> None:
        self._transport = transport
        self._devices = devices

    def deploy(
        self,
        module: str,
        to: str,
        *,
        version: int | None = None,
        slot: str | None = None,
        shadows: str = "",
        config: SlotConfig | None = None,
        reason: str = "",
    ) -> DeploymentResult:
        """Put a module on devices. It returns once the wish is stored, not once it runs.

        Args:
            module: its name.
            to: a device's name, `KEY=VALUE` for all devices with that tag, or `all`.
            version: None for the newest that is not retired.
            slot: None for the module's own name; of a shadow, for the shadowed slot's with
                `-shadow` behind it.
            shadows: a slot of these devices, to be its shadow: the module gets the same messages,
                and its answers are only compared.
            config: what is changed about the module without a new version.
            reason: for the audit log.

        Raises:
            NotFound: no such module, version or device.
            Conflict: on a device there is no slot that it could shadow, among others.
        """
        wish = Deployment(
            module=module,
            to=to,
            version=version,
            slot=slot,
            shadows=shadows,
            config=config or SlotConfig(),
            reason=reason,
        )
        return self._transport.ask("POST", path_of("deployments"), DeploymentResult, body=wish)

    def remove(self, slot: str, to: str, *, reason: str = "") -> DeploymentResult:
        """Take a slot off devices.

        Args:
            slot: its name.
            to: as in `deploy`.
            reason: for the audit log.

        Raises:
            NotFound: no device was meant.
        """
        wish = Removal(slot=slot, to=to, reason=reason)
        return self._transport.ask("POST", path_of("removals"), DeploymentResult, body=wish)

    def arrivals(self, result: DeploymentResult) -> tuple[Arrival, ...]:
        """Where each device of a deployment stands now, by name."""
        names = sorted({*result.revisions, *result.unchanged})
        return tuple(judge(self._devices.show(name), result) for name in names)

    def wait(
        self,
        result: DeploymentResult,
        timeout_s: float,
        on_change: Callable[[tuple[Arrival, ...]], None] = lambda _: None,
    ) -> tuple[Arrival, ...]:
        """Wait until every device runs what was wanted, or has failed for good.

        A service that is away for a moment is waited for as well.

        Args:
            result: of the deployment.
            timeout_s: longest time to wait, seconds.
            on_change: called with the state of all devices after every look.

        Returns:
            The last state of every device; not all of them need to be running.

        Raises:
            Unavailable: the service was away when the time was over.
        """
        deadline = time.monotonic() + timeout_s
        settled: dict[str, Arrival] = {}
        latest: dict[str, Arrival] = {}
        names = sorted({*result.revisions, *result.unchanged})
        while True:
            try:
                for name in names:
                    if name in settled:
                        continue
                    latest[name] = judge(self._devices.show(name), result)
                    if latest[name].state != "waiting":
                        settled[name] = latest[name]
            except Unavailable:
                if time.monotonic() >= deadline:
                    raise
            else:
                arrivals = tuple(latest[name] for name in names)
                on_change(arrivals)
                if len(settled) == len(names) or time.monotonic() >= deadline:
                    return arrivals
            time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))
