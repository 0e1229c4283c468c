"""What reconciling asks of whoever knows the hardware: the daemon's `DeviceHardware`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from edge_agent.contract.manifest import Manifest
from edge_agent.runtime.protocol import RunsOn

NONE_UNFIT: Final[Mapping[str, str]] = MappingProxyType({})


class HardwareChoice(Protocol):
    """Chooses what a model runs on. Bounded in time; any thread."""

    def runs_on(self, manifest: Manifest, *, unfit: Mapping[str, str] = NONE_UNFIT) -> RunsOn:
        """What a module's model is to run on.

        Args:
            manifest: of the module.
            unfit: providers that it must not run on, to the reason.
        """
        ...

    def keep_off(self, manifest: Manifest, unfit: Mapping[str, str]) -> None:
        """Remember that a module's model must not run on some providers.

        Args:
            manifest: of the module.
            unfit: provider to reason.
        """
        ...


class OnlyCpu:
    """The choice of a device that knows of nothing else, and measures nothing."""

    def runs_on(self, manifest: Manifest, *, unfit: Mapping[str, str] = NONE_UNFIT) -> RunsOn:  # noqa: ARG002
        """The CPU."""
        return RunsOn()

    def keep_off(self, manifest: Manifest, unfit: Mapping[str, str]) -> None:
        """Nothing is left to keep off."""
