"""The worker's MQTT connection. The only file of the runtime that imports an MQTT client.

One thread does everything: it reads a message, has it answered, publishes the answer, and reads
the next; handing messages to another thread costs more than most models do. Nothing else of the
runtime knows what is underneath, so that another client can take its place.

QoS 1, step by step:
1. A message arrives and is answered; it is not acknowledged yet.
2. Its result is published with QoS 1.
3. The broker acknowledges the result; only now the message is acknowledged.
The session is persistent, so what was not acknowledged comes again, to us or to a successor with
our client id. Every connection begins with a new client object: packet ids and half-sent results
of a lost connection mean nothing on the next one.
"""

import contextlib
import logging
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.errors import ConfigError
from edge_agent.runtime.broker_url import parse_broker_url
from edge_agent.runtime.leaving import Step, next_step
from edge_agent.runtime.pending import Pending
from edge_agent.runtime.protocol import BrokerAddress

CONNECT_TIMEOUT_S: Final = 5.0
KEEPALIVE_S: Final = 30
FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 15.0

_READS_AT_ONCE: Final = 32
_POLL_MS: Final = 1000
_PAUSE_MS: Final = 20
_MISC_S: Final = 1.0
_NO_FILTER: Final = "nobody/subscribes/to/this"
_log = logging.getLogger("shoal.worker.transport")


class Outgoing(Struct, frozen=True, gc=False):
    """A message to publish."""

    topic: str
    payload: bytes


OnMessage = Callable[[str, bytes, float], Outgoing | None]
"""(topic, payload, time of receipt in seconds since 1970) -> what to publish, if anything."""


class Transport:
    """A connection that answers messages until it is told to stop.

    Args:
        address: of the broker.
        client_id: of the persistent session.
        topic_filter: what to subscribe to.
        stale_filters: what the session may still be subscribed to and should not be.
        on_message: answers one message; must not raise.
        on_connected: called with `session_present` when messages will arrive.
        on_disconnected: called with the reason when they will not.

    Raises:
        ConfigError: the URL or a certificate file is wrong.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        topic_filter: str,
        *,
        stale_filters: Sequence[str] = (),
        on_message: OnMessage,
        on_connected: Callable[[bool], None],
        on_disconnected: Callable[[str], None],
    ) -> None:
        self._endpoint = parse_broker_url(address.url)
        self._tls = _tls_context(address) if self._endpoint.is_tls else None
        self._client_id = client_id
        self._filter = topic_filter
        self._stale_filters = [f for f in stale_filters if f != topic_filter]
        self._answer = on_message
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._stop_at: float | None = None
        self._begin_connection()

    def stop(self) -> None:
        """Ask `run` to end soon. May be called from any thread and from a signal handler."""
        if self._stop_at is None:
            self._stop_at = time.monotonic()
        with contextlib.suppress(OSError):  # full: it is awake
            self._wake_write.send(b"\0")

    def run(self) -> None:
        """Connect, answer, reconnect; until `stop`."""
        attempt = 0
        while not self._is_stopping():
            self._begin_connection()
            client = self._new_client()
            try:
                client.connect(self._endpoint.host, self._endpoint.port, KEEPALIVE_S)
            except (OSError, ValueError) as error:
                self._lost = f"cannot connect to {self._where()}: {error}"
            else:
                self._serve(client)
            if self._is_stopping():
                return
            attempt = 0 if self._is_subscribed else attempt + 1
            self._on_disconnected(self._lost)
            self._sleep(retry_delay_s(attempt, random.random()))  # noqa: S311 -- no secret

    def _is_stopping(self) -> bool:
        return self._stop_at is not None

    def _where(self) -> str:
        return f"{self._endpoint.host}:{self._endpoint.port}"

    def _sleep(self, seconds: float) -> None:
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        poller.poll(seconds * 1000)

    def _new_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        # The broker bounds what is in flight to us, and each of these has one result at most.
        client.max_inflight_messages_set(0)
        if self._endpoint.user:
            client.username_pw_set(self._endpoint.user, self._endpoint.password or None)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_socket_open = _set_no_delay
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_unsubscribe = self._confirmed
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        return client

    def _begin_connection(self) -> None:
        self._pending = Pending()
        self._received_s = 0.0
        self._has_progress = False
        self._is_accepted = False
        self._is_subscribed = False
        self._is_session_present = False
        self._step = Step.ANSWER
        self._question: int | None = None
        self._is_confirmed = False
        self._queued = 0
        self._lost = ""

    # -- moving packets ---------------------------------------------------------------------

    def _serve(self, client: mqtt.Client) -> None:
        """Move packets until the connection or the worker ends."""
        connection = client.socket()
        if not isinstance(connection, socket.socket):
            return
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        is_write_wanted = False
        misc_due = time.monotonic() + _MISC_S
        while client.socket() is not None:
            if client.want_write() != is_write_wanted:
                is_write_wanted = not is_write_wanted
                poller.modify(connection, select.POLLIN | (select.POLLOUT * is_write_wanted))
            # Bytes that TLS has decrypted already do not show in poll().
            has_buffered = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
            is_stopping = self._is_stopping()
            ready = poller.poll(0 if is_stopping or has_buffered else _POLL_MS)
            # What is read from here on has been waiting since now.
            self._received_s = time.time()
            is_readable = has_buffered or any(
                number != self._wake_read.fileno() and event & ~select.POLLOUT
                for number, event in ready
            )
            if is_readable:
                self._read(client)
            if client.want_write():
                self._write(client, connection)
            now = time.monotonic()
            if is_stopping and self._may_leave(client, now, is_readable=is_readable):
                client.disconnect()
                return
            if now >= misc_due:
                client.loop_misc()
                misc_due = now + _MISC_S

    def _read(self, client: mqtt.Client) -> None:
        """Read what has arrived, at most a few dozen packets, so that the rest gets its turn."""
        for _ in range(_READS_AT_ONCE):
            self._has_progress = False
            if client.loop_read() != mqtt.MQTT_ERR_SUCCESS or not self._has_progress:
                return

    def _write(self, client: mqtt.Client, connection: socket.socket) -> None:
        """Write what is queued. Several packets leave in one segment: sending each by itself
        costs more than reading, answering and packing it.
        """
        is_corked = self._queued > 1
        self._queued = 0
        if is_corked:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        client.loop_write()
        if is_corked and client.socket() is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def _may_leave(self, client: mqtt.Client, now: float, *, is_readable: bool) -> bool:
        """Take the next step of leaving; returns whether it is the last. See `leaving`."""
        if not self._is_accepted:
            return True
        before = self._step
        self._step = next_step(
            before,
            elapsed_s=now - (self._stop_at or now),
            is_quiet=not is_readable and not client.want_write(),
            unsettled=len(self._pending),
            is_confirmed=self._is_confirmed,
        )
        if self._step is Step.CONFIRM and before is not Step.CONFIRM:
            # The question that changes nothing: to end a subscription that never was.
            _, self._question = client.unsubscribe(_NO_FILTER)
        if self._step is Step.LEAVE:
            if not self._is_confirmed:
                _log.warning("left_in_haste unsettled=%d", len(self._pending))
            return True
        if not is_readable:
            self._pause(client)
        return False

    def _pause(self, client: mqtt.Client) -> None:
        """Wait shortly for the next packet; the wake-up socket stays readable after a stop."""
        connection = client.socket()
        if connection is not None:
            poller = select.poll()
            poller.register(connection, select.POLLIN | (select.POLLOUT * client.want_write()))
            poller.poll(_PAUSE_MS)

    # -- what the client calls --------------------------------------------------------------
    # Any below: the signatures are paho's, and we do not use what is in these places.

    def _connected(
        self,
        client: mqtt.Client,
        _data: Any,
        flags: mqtt.ConnectFlags,
        reason: Any,
        _properties: Any,
    ) -> None:
        self._has_progress = True
        if reason.is_failure:
            self._lost = f"{self._where()} refused the connection: {reason}"
            client.disconnect()
            return
        self._is_accepted = True
        self._is_session_present = flags.session_present
        if flags.session_present and self._stale_filters:
            client.unsubscribe(self._stale_filters)
        client.subscribe(self._filter, qos=1)

    def _subscribed(
        self, client: mqtt.Client, _data: Any, _id: int, reasons: list[Any], _properties: Any
    ) -> None:
        self._has_progress = True
        if any(reason.is_failure for reason in reasons):
            self._lost = f"{self._where()} refused the subscription to {self._filter!r}"
            client.disconnect()
            return
        self._is_subscribed = True
        self._on_connected(self._is_session_present)

    def _confirmed(
        self, _client: mqtt.Client, _data: Any, packet_id: int, _reasons: Any, _properties: Any
    ) -> None:
        self._has_progress = True
        self._is_confirmed = self._is_confirmed or packet_id == self._question

    def _disconnected(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if not self._lost:
            self._lost = f"connection to {self._where()} was lost: {reason}"

    def _received(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._has_progress = True
        try:
            topic = message.topic
        except UnicodeDecodeError:
            _log.warning("topic_not_utf8")
            if message.qos:
                client.ack(message.mid, message.qos)
            return
        payload = bytes(message.payload)
        if message.qos == 0:
            result = self._answer(topic, payload, self._received_s)
            if result is not None:
                self._queued += 1
                client.publish(result.topic, result.payload)
            return
        self._settle(client, message, topic, payload)

    def _settle(
        self, client: mqtt.Client, message: mqtt.MQTTMessage, topic: str, payload: bytes
    ) -> None:
        """The three steps of QoS 1; the third is in `_published`."""
        if client.on_publish is None:
            # Set with the first QoS 1 message: paho calls it for QoS 0 as well, at a price.
            client.on_publish = self._published
        self._queued += 1
        fingerprint = hash((topic, payload))
        pending = self._pending
        if message.dup and pending.is_copy(message.mid, fingerprint):
            if not pending.is_open(message.mid):
                client.ack(message.mid, 1)
            return
        if self._step is not Step.ANSWER:
            return  # not acknowledged, so the successor gets it
        result = self._answer(topic, payload, self._received_s)
        if result is None:
            pending.settled(message.mid, fingerprint)
            client.ack(message.mid, 1)
            return
        info = client.publish(result.topic, result.payload, qos=1)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            _log.warning("publish_refused code=%d", info.rc)  # unacknowledged, so it comes again
            return
        pending.answered(message.mid, fingerprint, info.mid)

    def _published(
        self, client: mqtt.Client, _data: Any, result_id: int, _reason: Any, _properties: Any
    ) -> None:
        self._has_progress = True
        packet_id = self._pending.acknowledged(result_id)
        if packet_id is not None:
            self._queued += 1
            client.ack(packet_id, 1)


def retry_delay_s(attempt: int, luck: float) -> float:
    """Seconds before the next attempt: doubling, with full jitter.

    Args:
        attempt: how many have failed in a row, less one.
        luck: a random number from 0 to 1.
    """
    longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempt, 10))
    return longest * (0.1 + 0.9 * luck)


def _set_no_delay(_client: mqtt.Client, _data: Any, connection: Any) -> None:
    # Any: paho's callback. Without it each answer waits for the other side's delayed ACK: 40 ms.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_context(address: BrokerAddress) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca_file or None)
        if address.cert_file:
            context.load_cert_chain(address.cert_file, address.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"certificates for the broker: {error}", code="tls_invalid") from error
    return context
