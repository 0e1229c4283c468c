"""The demo's way to a broker: one connected paho client, without delayed packets."""

import socket
import threading
from typing import Any, Final
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from cloud_sync.errors import Unavailable

CONNECT_TIMEOUT_S: Final = 10.0


def connect(client_id: str, broker_url: str, *, max_in_flight: int = 20) -> Client:
    """Connect, and start paho's thread.

    Raises:
        Unavailable: the broker does not answer in time.
    """
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.max_inflight_messages_set(max_in_flight)
    connected = threading.Event()
    client.on_socket_open = _without_delay
    client.on_connect = lambda *_: connected.set()
    address = urlsplit(broker_url)
    try:
        client.connect(address.hostname or "127.0.0.1", address.port or 1883)
    except OSError as error:
        raise Unavailable(
            f"broker {broker_url} does not answer: {error}",
            hint="look at the log of the service in the demo's folder",
        ) from error
    client.loop_start()
    if not connected.wait(CONNECT_TIMEOUT_S):
        client.loop_stop()
        raise Unavailable(
            f"broker {broker_url} did not answer in {CONNECT_TIMEOUT_S:g} s",
            hint="see what else keeps the machine busy, and begin again",
        )
    return client


def _without_delay(_client: Client, _data: Any, sock: Any) -> None:  # Any: paho's own types
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
