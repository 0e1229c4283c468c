"""What systemd wants to hear: ready, alive, stopping. Silent where systemd is not the parent."""

import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
ALIVE: Final = "WATCHDOG=1"
STOPPING: Final = "STOPPING=1"


def notify(message: str, environment: Mapping[str, str]) -> bool:
    """Send a message to the service manager.

    Args:
        message: such as `READY`.
        environment: of the process; `NOTIFY_SOCKET` says where to.

    Returns:
        Whether it was sent. That it was not is no error: a program must run without systemd.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # in the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(1.0)
            manager.sendto(message.encode(), address)
    except OSError:
        return False
    return True
