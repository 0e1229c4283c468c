"""Short visits to a broker on a connection of their own: to look, or to clear a session away."""

import ssl
import time
from collections.abc import Callable
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.errors import Unavailable
from edge_agent.link.broker import BrokerLink, make_client, refusal
from edge_agent.link.dial import Dialer

TIMEOUT_S: Final = 5.0
RETAINED_WAIT_S: Final = 1.0


class _Visit:
    """One connection, driven on the caller's thread, with a deadline."""

    def __init__(
        self, link: BrokerLink, client_id: str, timeout_s: float, dialer: Dialer | None
    ) -> None:
        self._link = link
        self._deadline = time.monotonic() + timeout_s
        self._answer: ReasonCode | None = None
        self.client = make_client(link, client_id, is_persistent=False, dialer=dialer)
        self.client.connect_timeout = timeout_s
        self.client.on_connect = self._on_connect

    def connect(self) -> None:
        try:
            self.client.connect(self._link.host, self._link.port, keepalive=30)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise refusal(self._link, error) from error
        if not self.drive(lambda: self._answer is not None):
            raise refusal(self._link, TimeoutError("no answer to the connection"))
        if self._answer is not None and self._answer.is_failure:
            raise Unavailable(
                f"broker {self._link.shown} refused the connection: {self._answer}",
                hint="check the user, password or certificate of this device",
                code="broker_refused",
            )

    def drive(self, is_done: Callable[[], bool], *, at_most_s: float = 3600.0) -> bool:
        until = min(self._deadline, time.monotonic() + at_most_s)
        while not is_done() and time.monotonic() < until:
            if self.client.loop(0.05) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
        return is_done()

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._answer = reason


def visit(
    link: BrokerLink,
    client_id: str,
    *,
    timeout_s: float = TIMEOUT_S,
    dialer: Dialer | None = None,
) -> None:
    """Connect with a clean session and leave.

    With the client id of a persistent session this also ends that session: the broker forgets its
    subscriptions and what is queued for it.

    Raises:
        Unavailable: the broker does not answer or refuses.
    """
    connection = _Visit(link, client_id, timeout_s, dialer)
    connection.connect()
    connection.client.disconnect()


def read_retained(
    link: BrokerLink,
    client_id: str,
    topic: str,
    *,
    timeout_s: float = TIMEOUT_S,
    dialer: Dialer | None = None,
) -> bytes | None:
    """The retained message of a topic, or None if there is none.

    Raises:
        Unavailable: the broker does not answer or refuses.
    """
    connection = _Visit(link, client_id, timeout_s, dialer)
    found: list[bytes] = []
    connection.client.on_message = lambda _client, _userdata, message: found.append(
        bytes(message.payload)
    )
    connection.connect()
    connection.client.subscribe(topic, 1)
    connection.drive(lambda: bool(found), at_most_s=RETAINED_WAIT_S)
    connection.client.disconnect()
    return found[-1] if found else None
