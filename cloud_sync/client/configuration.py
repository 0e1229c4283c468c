"""Configuration in layers: of the fleet, of groups, of devices."""

from cloud_sync.client.transport import Transport, path_of
from cloud_sync.fleet_resources import (
    ConfigChange,
    ConfigChanged,
    ConfigValue,
    EffectiveSetting,
)


class Configuration:
    """The group `client.configuration`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def values(self) -> list[ConfigValue]:
        """Every value of every layer."""
        return self._transport.ask("GET", path_of("config"), list[ConfigValue])

    def change(self, wish: ConfigChange, *, reason: str = "") -> ConfigChanged:
        """Set and take away values of one layer; on all devices that it concerns, or on none.

        Raises:
            NotFound: no such group or device.
            InvalidInput: no such key, or a value that does not fit a module somewhere.
            Conflict: on a device the results would go round through its slots for ever.
        """
        return self._transport.ask(
            "POST", path_of("config"), ConfigChanged, body=wish, reason=reason
        )

    def effective(self, device: str) -> list[EffectiveSetting]:
        """What holds for a device, slot by slot, and where each value is from.

        Raises:
            NotFound: there is no such device.
        """
        path = path_of("devices", device, "config")
        return self._transport.ask("GET", path, list[EffectiveSetting])
