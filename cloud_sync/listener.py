"""The API's listening socket, and who may reach it."""

import ipaddress
import socket

from cloud_sync.config import Settings
from cloud_sync.errors import ConfigError, Conflict


def check_reach(settings: Settings) -> str:
    """Refuse to be reachable from other machines by accident.

    Returns:
        A warning for people if it is reachable on purpose, or empty.

    Raises:
        ConfigError: an address is not loopback and that was not allowed.
    """
    hosts = {"[http] host": settings.http.host}
    if not settings.broker.url:
        hosts["[broker] host"] = settings.broker.host
    for key, host in hosts.items():
        if is_loopback(host):
            continue
        danger = "everybody who reaches this machine change the fleet: there is no login yet"
        if settings.http.allow_remote:
            return f"{key} = {host!r} lets {danger}"
        raise ConfigError(
            f"{key} = {host!r} would let {danger}",
            hint="listen on 127.0.0.1, or allow it with --allow-remote",
            code="remote_not_allowed",
        )
    return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Take a port before anything else is started.

    Args:
        host: address to listen on.
        port: 0 chooses a free one.

    Raises:
        Conflict: the port is taken.
        ConfigError: the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigError(
            f"cannot listen on {host!r}: {error.strerror}",
            hint="name an address of this machine, or 127.0.0.1",
        ) from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Conflict(
            f"the API cannot listen on {host}:{port}: {error.strerror}",
            hint="stop the program that uses this port, or choose another with --port (0: any)",
            code="port_taken",
        ) from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where clients of this machine reach it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
