"""Opening a connection to a broker: name, TCP, TLS. All of it may wait; it has a thread.

A resolver can take half a minute, and the worker's one thread must not wait for it.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Final

from edge_agent.errors import ConfigError
from edge_agent.runtime.broker_url import BrokerEndpoint
from edge_agent.runtime.protocol import BrokerAddress

CONNECT_TIMEOUT_S: Final = 5.0


def tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """What a broker's certificate is checked with, and the one that is shown.

    Raises:
        ConfigError: `tls_invalid`; a file cannot be read, or is no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=address.ca_file or None)
        if address.cert_file:
            context.load_cert_chain(address.cert_file, address.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"certificates for the broker: {error}",
            code="tls_invalid",
            hint="check that the files are there, readable and PEM, and that key and "
            "certificate belong together",
        ) from error
    return context


def dial(
    endpoint: BrokerEndpoint,
    context: ssl.SSLContext | None,
    on_done: Callable[[socket.socket | OSError], None],
) -> None:
    """Connect in a thread of its own.

    Args:
        endpoint: where to.
        context: for TLS; None without.
        on_done: called in that thread with a non-blocking socket, or why there is none.
    """

    def work() -> None:
        try:
            connection = _connect(endpoint, context)
        except OSError as error:
            on_done(error)
        except ValueError as error:  # a host name that no resolver takes
            on_done(OSError(str(error)))
        else:
            on_done(connection)

    threading.Thread(target=work, name="dial", daemon=True).start()


def _connect(endpoint: BrokerEndpoint, context: ssl.SSLContext | None) -> socket.socket:
    plain = socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT_TIMEOUT_S)
    try:
        # Without it each answer waits for the other side's delayed ACK: 40 ms.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = (
            plain if context is None else context.wrap_socket(plain, server_hostname=endpoint.host)
        )
    except BaseException:
        plain.close()
        raise
    connection.setblocking(False)
    return connection
