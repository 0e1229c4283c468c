"""Addresses to listen on, `HOST:PORT`. Pure: no name is looked up."""

import ipaddress
from typing import Final

from msgspec import Struct

from edge_agent.errors import ContractError

_LOCAL: Final = "localhost"


class Address(Struct, frozen=True):
    """Where to listen.

    Attributes:
        host: an IP address, or "localhost".
        port: 0 for any that is free.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == _LOCAL or ipaddress.ip_address(self.host).is_loopback


def parse_address(text: str) -> Address:
    """Read an address: `127.0.0.1:8090`, `localhost:8090`, `[::1]:8090`, `0.0.0.0:8090`.

    Raises:
        ContractError: it is none.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    try:
        if host != _LOCAL:
            ipaddress.ip_address(host)
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ValueError
    except ValueError as error:
        raise ContractError(
            f"expected IP:PORT, [IPV6]:PORT or localhost:PORT; found {text!r:.100}",
            hint='for example "127.0.0.1:8090"',
            code="address_invalid",
        ) from error
    return Address(host, int(port))
