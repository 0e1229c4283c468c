"""The service's MQTT session: what devices send comes out of `receive`, orders go into `publish`.

Knows connections, never the meaning of a message. A message is acknowledged to the broker only
when `acknowledge` is called, which is after it was committed.

The broker keeps nothing for us while we are away. Status messages are retained and come with the
subscription; reported states, events and results are sent again by the devices until they are
acknowledged. Health reports are not: those of that time are lost, and the next one replaces them.
"""

import contextlib
import logging
import queue
import random
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.errors import ConfigError
from edge_agent.contract.topics import up_filters
from edge_agent.contract.user_info import hide_user

KEEPALIVE_S: Final = 30
QUEUE_SIZE: Final = 10_000
FULL_QUEUE_WAIT_S: Final = 10.0
MAX_OUT_QUEUED: Final = 20_000
STOP_TIMEOUT_S: Final = 2.0
RECONNECT_MAX_S: Final = 30.0
RECONNECT_FIRST_S: Final = 0.5
UNCONFIRMED_S: Final = 20
"""Bytes that the broker's machine has not confirmed for so long end the connection."""
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
logger = logging.getLogger(__name__)


class Address(Struct, frozen=True, kw_only=True):
    """Where a broker is and how to get in."""

    host: str
    port: int
    has_tls: bool = False
    user: str = ""
    password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @property
    def url(self) -> str:
        """The address without the password, for logs and people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.has_tls else 'mqtt'}://{host}:{self.port}"


class Received(Struct, frozen=True):
    """A message, and what is needed to acknowledge it.

    Attributes:
        is_retained: the broker had kept it; it is not news.
        connection: number of the connection that it came by.
    """

    topic: str
    payload: bytes
    is_retained: bool
    mid: int
    qos: int
    connection: int


def parse_url(url: str, *, ca_file: str = "", cert_file: str = "", key_file: str = "") -> Address:
    """Read a broker's URL.

    Raises:
        ConfigError: not `mqtt://[user[:password]@]host[:port]` or `mqtts://...`.
    """
    expected = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # it names a port that may be a password
        raise ConfigError(
            f"broker url expected {expected}, found {hide_user(url)!r}",
            hint="for example mqtt://broker.example:1883",
        ) from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
        raise ConfigError(
            f"broker url expected {expected}, found {hide_user(url)!r}",
            hint="for example mqtt://broker.example:1883",
        )
    return Address(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        has_tls=parts.scheme == "mqtts",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
    )


class BrokerSession:
    """One connection to the broker, made again for ever when it is lost.

    Args:
        address: of the broker.
        on_connected: called after each subscription, from the session's own thread; must be quick.

    Raises:
        ConfigError: the certificate files cannot be used.
    """

    def __init__(self, address: Address, *, on_connected: Callable[[], None]) -> None:
        self.address = address
        self._on_connected = on_connected
        self._queue: queue.Queue[Received] = queue.Queue(QUEUE_SIZE)
        self._connection = 0
        self._attempts = 0
        self._subscribed = threading.Event()
        self._random = random.Random()  # noqa: S311  # spreads reconnections, keeps no secret
        # A clean session: what the service missed is still in the devices' outboxes, and a kept
        # session would make the broker drop the newest messages once its queue is full.
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"cloud-sync-{uuid.uuid4().hex[:12]}",
            clean_session=True,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        self._client.max_queued_messages_set(MAX_OUT_QUEUED)
        self._client.max_inflight_messages_set(200)
        if address.user:
            self._client.username_pw_set(address.user, address.password or None)
        if address.has_tls:
            self._client.tls_set_context(_tls_context(address))
        self._client.on_socket_open = _tend
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._connect_failed
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._granted
        self._client.on_message = self._arrived

    @property
    def is_connected(self) -> bool:
        """Whether the broker sends us what the devices say."""
        return self._subscribed.is_set()

    def start(self) -> None:
        """Begin to connect; returns at once, whether or not the broker is there."""
        self._client.connect_async(self.address.host, self.address.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye and end the thread."""
        self._subscribed.clear()
        self._client.disconnect()
        # paho waits without a bound for its thread, which may be waiting for a dead broker.
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)
        ending.start()
        ending.join(STOP_TIMEOUT_S)

    def receive(self, *, limit: int, timeout_s: float) -> list[Received]:
        """Wait for messages.

        Args:
            limit: most messages to return.
            timeout_s: how long to wait for the first; what has already come is added to it.

        Returns:
            Messages in the order in which they came; empty when there was none in time.
        """
        batch: list[Received] = []
        with contextlib.suppress(queue.Empty):
            batch.append(self._queue.get(timeout=timeout_s))
            while len(batch) < limit:
                batch.append(self._queue.get_nowait())
        return batch

    def acknowledge(self, messages: Iterable[Received]) -> None:
        """Tell the broker that these need not be sent again."""
        for message in messages:
            # The number of a message means nothing on another connection.
            if message.qos > 0 and message.connection == self._connection:
                self._client.ack(message.mid, message.qos)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send a message with QoS 1.

        Returns:
            Whether it was taken; false while the broker is away or when too many wait.
        """
        if not self._subscribed.is_set():
            return False
        return self._client.publish(topic, payload, 1, retain).rc == mqtt.MQTT_ERR_SUCCESS

    # What follows is called by paho, with arguments of its types (userdata is Any and unused).

    def _connected(
        self,
        client: mqtt.Client,
        _userdata: Any,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            logger.warning(
                "event=broker_refused broker=%s reason=%r", self.address.url, str(reason)
            )
            return
        self._connection += 1
        client.subscribe([(topic, 1) for topic in up_filters()])

    def _granted(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            logger.error("event=broker_denied_subscription broker=%s", self.address.url)
            return
        self._attempts = 0
        self._subscribed.set()
        logger.info("event=broker_connected broker=%s", self.address.url)
        self._on_connected()

    def _connect_failed(self, _client: mqtt.Client, _userdata: Any) -> None:
        if self._attempts == 0:  # once, and not at every attempt
            logger.warning("event=broker_unreachable broker=%s", self.address.url)
        self._set_next_delay()

    def _disconnected(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._subscribed.is_set():
            logger.warning("event=broker_lost broker=%s reason=%r", self.address.url, str(reason))
        self._subscribed.clear()
        self._set_next_delay()

    def _set_next_delay(self) -> None:
        """Full jitter, because all services of a broker lose it at the same moment."""
        longest = min(RECONNECT_MAX_S, RECONNECT_FIRST_S * 2 ** min(self._attempts, 10))
        self._attempts += 1
        delay = self._random.uniform(0.05, longest)
        self._client.reconnect_delay_set(min_delay=delay, max_delay=delay)  # type: ignore[arg-type]

    def _arrived(self, client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        received = Received(
            message.topic,
            bytes(message.payload),
            message.retain,
            message.mid,
            message.qos,
            self._connection,
        )
        try:
            # Waiting here holds the socket back, and with it the broker.
            self._queue.put(received, timeout=FULL_QUEUE_WAIT_S)
        except queue.Full:
            # Not acknowledged, so a new connection is sent it again.
            logger.error("event=ingest_stuck waiting=%d", self._queue.qsize())
            # Not `disconnect`, after which paho would not come back.
            open_socket = client.socket()
            if isinstance(open_socket, socket.socket):
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)


def _tls_context(address: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca_file or None)
        if address.cert_file:
            context.load_cert_chain(address.cert_file, address.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the broker's certificate files cannot be used: {error}",
            hint="check [broker] ca_file, cert_file and key_file",
        ) from error
    return context


def _tend(_client: mqtt.Client, _userdata: Any, found: Any) -> None:  # Any: paho's socket
    """Send at once, and notice when the broker's machine is gone without a word."""
    if isinstance(found, socket.socket):
        # Else a request and its answer wait 40 ms for each other.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not every system has it.
        if (option := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
            found.setsockopt(socket.IPPROTO_TCP, option, UNCONFIRMED_S * 1000)
