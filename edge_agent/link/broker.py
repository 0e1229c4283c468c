"""How the agent reaches an MQTT broker: an address, and a client that is set up for it.

The client is MQTT 3.1.1 (every broker has it), sends small packets at once, and drives no thread
of its own: whoever made it runs it.
"""

import socket
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.errors import Unavailable
from edge_agent.link.tls import tls_context

KEEPALIVE_S: Final = 30
CONNECT_TIMEOUT_S: Final = 10.0
MAX_IN_FLIGHT: Final = 20


class BrokerLink(Struct, frozen=True, kw_only=True):
    """A broker, and what to show to it.

    Attributes:
        url: `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS.
        ca_file: certificates to trust instead of the system's; empty for the system's.
        cert_file: this client's certificate; empty for none.
        key_file: its key.
    """

    url: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @property
    def host(self) -> str:
        """Host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port; 8883 for TLS and 1883 without, unless the URL says another."""
        return urlsplit(self.url).port or (8883 if self.is_encrypted else 1883)

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.url.startswith("mqtts://")

    @property
    def shown(self) -> str:
        """The URL without a password, for logs."""
        return f"{urlsplit(self.url).scheme}://{self.host}:{self.port}"


def make_client(link: BrokerLink, client_id: str, *, is_persistent: bool) -> mqtt.Client:
    """A client that is ready to connect to `link.host` and `link.port`.

    Args:
        link: the broker.
        client_id: of the MQTT session.
        is_persistent: whether the broker keeps the session while the client is away.

    Raises:
        ConfigError: a certificate or key cannot be read.
    """
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=not is_persistent,
        protocol=mqtt.MQTTv311,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(MAX_IN_FLIGHT)
    # The client keeps unconfirmed messages over reconnections: no more than are in flight anyway.
    client.max_queued_messages_set(MAX_IN_FLIGHT)
    parts = urlsplit(link.url)
    if parts.username is not None:
        client.username_pw_set(
            unquote(parts.username), unquote(parts.password) if parts.password else None
        )
    if link.is_encrypted:
        client.tls_set_context(
            tls_context(
                link.shown, ca_file=link.ca_file, cert_file=link.cert_file, key_file=link.key_file
            )
        )
    client.on_socket_open = _send_at_once
    return client


def refusal(link: BrokerLink, error: Exception) -> Unavailable:
    """The error for a connection that could not be made."""
    return Unavailable(
        f"broker {link.shown} cannot be reached: {getattr(error, 'strerror', None) or error}",
        hint="check that the broker runs and that this device's network reaches it",
        code="broker_unreachable",
    )


def _send_at_once(_client: mqtt.Client, _userdata: object, sock: Any) -> None:
    """Nagle's algorithm and delayed acknowledgements cost 40 ms a message otherwise."""
    # Any: paho's own protocol of sockets lacks most of what a socket has.
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
