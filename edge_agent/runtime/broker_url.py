"""Broker URLs: `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS. Pure."""

from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from edge_agent.contract.user_info import hide_user
from edge_agent.errors import ConfigError

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class BrokerEndpoint(Struct, frozen=True):
    """Where and how to connect."""

    host: str
    port: int
    is_tls: bool
    user: str
    password: str


def parse_broker_url(url: str) -> BrokerEndpoint:
    """Take a broker URL apart.

    Raises:
        ConfigError: `broker_url_invalid`; the password is not repeated.
    """
    shown = hide_user(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # it names a port that may be a password
        raise ConfigError(
            f"broker URL expected a port of 1-65535, found {shown!r}",
            code="broker_url_invalid",
            hint="correct the broker's address in the settings",
        ) from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigError(
            f"broker URL expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT], found {shown!r}",
            code="broker_url_invalid",
            hint="correct the broker's address in the settings",
        )
    return BrokerEndpoint(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        is_tls=parts.scheme == "mqtts",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
