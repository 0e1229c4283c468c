"""Presence: whether a device is there, decided from what it said and how long ago. Pure."""

from typing import Final, Literal

Presence = Literal["online", "offline", "unknown"]

MISSED_REPORTS: Final = 3
DEFAULT_INTERVAL_S: Final = 30.0


def presence(now: float, state: str, last_seen: float | None, interval_s: float) -> Presence:
    """What is known about a device now.

    Args:
        now: seconds since 1970.
        state: of its last status message ("online", "offline"), or empty if it never sent one.
        last_seen: when its last message of any kind came, seconds since 1970, or None.
        interval_s: between two of its health reports, seconds.

    Returns:
        "offline" if it said so or its last will did; "online" if it said so and was heard within
        three intervals; "unknown" otherwise.
    """
    if state == "offline":
        return "offline"
    if state != "online" or last_seen is None:
        return "unknown"
    return "online" if now - last_seen <= MISSED_REPORTS * interval_s else "unknown"
