"""Over how long devices spread what they would otherwise all do in the same second. Pure.

The service knows how many devices a change concerns, and a device does not: so the service says
the window, and each device draws its own moment in it.
"""

from typing import Final

STARTS_PER_S: Final = 50.0
"""Devices that may begin in one second, on average, unless the settings say otherwise."""
LONGEST_SPREAD_S: Final = 3600.0


def spread_s(devices: int, starts_per_s: float) -> float:
    """The window for so many devices.

    Args:
        devices: how many do the same thing.
        starts_per_s: how many of them may begin in a second, on average.

    Returns:
        Seconds; 0 for a single device, which nobody else gets in the way of.
    """
    if devices < 2:
        return 0.0
    return min(LONGEST_SPREAD_S, devices / starts_per_s)
