"""How the agent reaches an MQTT broker: an address, and a client that is set up for it.

The client is MQTT 3.1.1 (every broker has it), sends small packets at once, and drives no thread
of its own: whoever made it runs it.
"""

import socket
import ssl
from typing import Final
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.errors import Unavailable
from edge_agent.link.dial import Dialer
from edge_agent.link.tls import tls_context, wrong_time

KEEPALIVE_S: Final = 30
CONNECT_TIMEOUT_S: Final = 15.0
"""For name, TCP and TLS together."""
MAX_IN_FLIGHT: Final = 20


class BrokerLink(Struct, frozen=True, kw_only=True):
    """A broker, and what to show to it.

    Attributes:
        url: `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS.
        ca_file: certificates to trust instead of the system's; empty for the system's.
        cert_file: this client's certificate; empty for none.
        key_file: its key.
        keepalive_s: longest silence before the broker is asked for a sign of life.
    """

    url: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: int = KEEPALIVE_S

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


class BoundedClient(mqtt.Client):
    """paho's client on a socket that a dialer opens.

    paho itself would wait for a name without a bound, and for each of its addresses anew.
    """

    dialer: Dialer
    tls: ssl.SSLContext | None = None

    # paho has no public way to be given a socket; a test fails if this one goes away.
    def _create_socket(self) -> socket.socket:
        return self.dialer.connect(
            self.host, self.port, timeout_s=self.connect_timeout, tls=self.tls
        )


def make_client(
    link: BrokerLink, client_id: str, *, is_persistent: bool, dialer: Dialer | None = None
) -> mqtt.Client:
    """A client that is ready to connect to `link.host` and `link.port`.

    Args:
        link: the broker.
        client_id: of the MQTT session.
        is_persistent: whether the broker keeps the session while the client is away.
        dialer: opens the connection; None for one of its own.

    Raises:
        ConfigError: a certificate or key cannot be read.
    """
    client = BoundedClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=not is_persistent,
        protocol=mqtt.MQTTv311,
    )
    client.dialer = dialer or Dialer()
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
        client.tls = tls_context(
            link.shown, ca_file=link.ca_file, cert_file=link.cert_file, key_file=link.key_file
        )
    return client


def refusal(link: BrokerLink, error: Exception) -> Unavailable:
    """The error for a connection that could not be made."""
    return wrong_time(f"broker {link.shown}", error) or Unavailable(
        f"broker {link.shown} cannot be reached: {getattr(error, 'strerror', None) or error}",
        hint="check that the broker runs and that this device's network reaches it",
        code="broker_unreachable",
    )
