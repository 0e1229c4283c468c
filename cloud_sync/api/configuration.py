"""`/v1/config`: configuration in layers, and what comes of it on a device."""

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from cloud_sync.api.parts import GivenChange, GivenParts
from cloud_sync.fleet_resources import (
    ConfigChange,
    ConfigChanged,
    ConfigValue,
    EffectiveSetting,
)


class ConfigController(Controller):
    """What is set for the fleet, for groups and for devices."""

    path = "/v1"
    tags = ("config",)

    @get("/config", sync_to_thread=True)
    def values(self, parts: GivenParts) -> list[ConfigValue]:
        """Every value of every layer."""
        return parts.configuration.values()

    @post("/config", status_code=200, sync_to_thread=True)
    def change(
        self, parts: GivenParts, change: GivenChange, data: JSONBody[ConfigChange]
    ) -> ConfigChanged:
        """Set and take away values of a layer; all devices that it concerns, or none."""
        return parts.configuration.change(data, change)

    @get("/devices/{device:str}/config", sync_to_thread=True)
    def effective(self, parts: GivenParts, device: FromPath[str]) -> list[EffectiveSetting]:
        """What holds for a device, and where each value is from."""
        return parts.configuration.effective(device)
