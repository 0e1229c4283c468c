"""Telling systemd how the agent is: datagrams to `$NOTIFY_SOCKET`. Without one, nothing is sent."""

import os
import socket
from collections.abc import Mapping

from edge_agent.errors import Unavailable


class ServiceManager:
    """The service manager that started this process, if one did.

    Args:
        environment: of the process; read once, here.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        # A leading '@' is how a name in the abstract namespace is written.
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self.watchdog_s = _watchdog_s(environment)
        """Seconds within which the watchdog wants to be fed; 0 if nobody watches."""

    def tell(self, *lines: str) -> bool:
        """Send state lines, such as `READY=1`.

        Returns:
            Whether anybody was told.

        Raises:
            Unavailable: there is a socket, but it takes nothing.
        """
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(1.0)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            raise Unavailable(
                f"the service manager cannot be told: {error}", code="notify_failed"
            ) from error
        return True


def _watchdog_s(environment: Mapping[str, str]) -> float:
    text = environment.get("WATCHDOG_USEC", "")
    owner = environment.get("WATCHDOG_PID", "")
    if not text.isdecimal() or (owner and owner != str(os.getpid())):
        return 0.0
    return int(text) / 1e6
