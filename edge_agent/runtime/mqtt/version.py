"""Which version of MQTT to speak with a broker that may know one or both. Pure.

An explicit refusal is believed. A broker that closes the connection without a word may have meant
the version or not: take turns until one was accepted.
"""

from typing import Literal

from edge_agent.runtime.mqtt.packets import V5, V311, ProtocolVersion


class VersionChoice:
    """Remembers what was accepted.

    Args:
        wanted: "auto" is MQTT 5 where the broker speaks it.

    Attributes:
        version: to speak on the next connection.
    """

    def __init__(self, wanted: Literal["auto", "3.1.1", "5"]) -> None:
        self.version: ProtocolVersion = V311 if wanted == "3.1.1" else V5
        self._is_auto = wanted == "auto"
        self._is_known = not self._is_auto

    def accepted(self) -> None:
        """A broker has let us in."""
        self._is_known = True

    def refused(self) -> bool:
        """The broker has said that it does not speak this version.

        Returns:
            Whether to connect again at once, because there is another version to try.
        """
        if not self._is_auto:
            return False
        is_first = not self._is_known
        self._is_known = True
        self._change()
        return is_first

    def hung_up(self) -> None:
        """The broker has closed the connection without an answer to CONNECT."""
        if not self._is_known:
            self._change()

    def _change(self) -> None:
        self.version = V311 if self.version == V5 else V5
