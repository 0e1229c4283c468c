"""The agent's MQTT session with the cloud: one thread, one socket, reconnecting for ever.

Only the session's own thread touches the socket; `publish` may be called from any thread and only
hands bytes over. Callbacks are called on the session's thread and must not block. The session is
a pipe, not a store: what must not be lost waits in the outbox until the cloud confirms it.
"""

import logging
import os
import random
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.errors import Unavailable
from edge_agent.link.broker import MAX_IN_FLIGHT, BrokerLink, make_client, refusal
from edge_agent.link.dial import Dialer
from edge_agent.link.reconnect import reconnect_delay_s
from edge_agent.store.clock import Clock

log: Final = logging.getLogger("edge_agent.link")

TICK_S: Final = 1.0
HANDSHAKE_S: Final = 10.0
FLUSH_S: Final = 1.0
CONFIRM_S: Final = 30.0
"""A broker that has confirmed none of what is in flight for so long is gone, whatever TCP says."""


class Will(Struct, frozen=True, kw_only=True):
    """What the broker publishes, retained, when the session ends without a goodbye."""

    topic: str
    payload: bytes


class SessionEvents(Struct, frozen=True, kw_only=True):
    """Whom the session tells. All are called on the session's thread.

    Attributes:
        on_connected: subscribed and ready; the session was kept by the broker if True.
        on_disconnected: the connection is gone; the session will try again.
        on_message: topic and payload.
    """

    on_connected: Callable[[bool], None]
    on_disconnected: Callable[[str], None]
    on_message: Callable[[str, bytes], None]


class CloudSession:
    """The agent's connection to the cloud's broker.

    Args:
        link: the broker.
        client_id: the device's name.
        filters: what to subscribe to, QoS 1.
        make_will: called before each connection.
        clock: for everything that waits.
        events: whom to tell.
        spread_s: over how long the devices of this fleet spread their return to a broker.
        dialer: opens the connections; None for one of its own.
    """

    def __init__(
        self,
        link: BrokerLink,
        client_id: str,
        *,
        filters: tuple[str, ...],
        make_will: Callable[[], Will],
        clock: Clock,
        events: SessionEvents,
        spread_s: Callable[[], float] = lambda: 0.0,
        dialer: Dialer | None = None,
    ) -> None:
        self._link = link
        self._filters = filters
        self._make_will = make_will
        self._clock = clock
        self._events = events
        self._spread_s = spread_s
        self._client = make_client(link, client_id, is_persistent=True, dialer=dialer)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        # With this callback set, paho never writes to the socket from a caller's thread.
        self._client.on_socket_register_write = lambda *_: self._wake()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stop = threading.Event()
        self._is_held = False
        self._is_ready = False
        self._session_present = False
        self._lost = ""
        self._in_flight = 0
        self._unconfirmed_since = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.progress = self._clock.monotonic()
        """When the thread last went round its loop, seconds, monotonic. For the watchdog."""
        self.last_error = ""
        """Why there is no connection; empty while there is one."""

    @property
    def is_connected(self) -> bool:
        """Whether messages can be published now."""
        return self._is_ready

    def start(self) -> None:
        """Connect and stay connected, on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="cloud-link", daemon=True)
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand a message over. Any thread.

        Returns:
            False if there is no connection or too much is in flight: try again later.
        """
        with self._lock:
            if not self._is_ready or self._in_flight >= MAX_IN_FLIGHT:
                return False
            # The network thread may confirm the message before publish() returns: count first.
            if self._in_flight == 0:
                self._unconfirmed_since = self._clock.monotonic()
            self._in_flight += 1
        # Not under the lock: paho calls back with a lock of its own held.
        if self._client.publish(topic, payload, qos, retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            return True
        self._confirm()
        return False

    def hold(self, is_held: bool) -> None:
        """Leave the broker and stay away, or come back. Any thread; returns at once."""
        self._is_held = is_held
        self._wake()

    def stop(self, goodbye: Will | None = None, *, timeout_s: float = 2.0) -> None:
        """Say goodbye and disconnect. Any thread but the session's own.

        Args:
            goodbye: published retained before disconnecting, if there is a connection.
            timeout_s: most seconds that this may take.
        """
        if goodbye is not None:
            self.publish(goodbye.topic, goodbye.payload, retain=True)
        self._stop.set()
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _confirm(self) -> None:
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            self._unconfirmed_since = self._clock.monotonic()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # the pipe is full: the thread has been woken already
            os.write(self._wake_write, b"x")

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            if self._is_held:
                self._wait(TICK_S)
                continue
            try:
                self._connect()
                was_ready = self._serve()
            except Unavailable as error:
                was_ready = False
                if error.text != self.last_error:
                    log.warning("event=cloud_unreachable text=%r", error.text)
                self.last_error = error.text
            if self._stop.is_set():
                break
            attempt = 1 if was_ready else attempt + 1
            chance = random.random()  # noqa: S311  # jitter, no secret
            self._wait(
                reconnect_delay_s(attempt, chance, spread_s=self._spread_s(), was_ready=was_ready)
            )

    def _wait(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0 and not self._stop.is_set():
            self.progress = self._clock.monotonic()
            self._stop.wait(min(left, TICK_S))

    def _connect(self) -> None:
        will = self._make_will()
        self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._lost = ""
        self._in_flight = 0
        try:
            self._client.connect(self._link.host, self._link.port, keepalive=self._link.keepalive_s)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise refusal(self._link, error) from error

    def _serve(self) -> bool:
        """Move bytes until the connection is gone. Returns whether it ever was ready."""
        was_ready = False
        deadline = self._clock.monotonic() + HANDSHAKE_S
        closing: float | None = None
        while self._client.socket() is not None:
            now = self.progress = self._clock.monotonic()
            was_ready = was_ready or self._is_ready
            if not was_ready and now > deadline:
                self._drop("the broker did not answer the connection in time")
                break
            if self._is_ready and self._in_flight and now - self._unconfirmed_since > CONFIRM_S:
                self._drop(f"the broker has confirmed nothing for {CONFIRM_S:g} s")
                break
            if (self._stop.is_set() or self._is_held) and closing is None:
                closing = now + FLUSH_S
            if closing is not None and (self._in_flight == 0 or now > closing):
                self._close_politely()
                break
            self._move_bytes(TICK_S if closing is None else 0.05)
        self._drop(self._lost or "the connection was closed")
        return was_ready

    def _move_bytes(self, timeout_s: float) -> None:
        sock = self._client.socket()
        if sock is None:
            return
        with selectors.PollSelector() as selector:
            writing = selectors.EVENT_WRITE if self._client.want_write() else 0
            selector.register(sock, selectors.EVENT_READ | writing)
            selector.register(self._wake_read, selectors.EVENT_READ)
            # TLS may hold decrypted bytes that the socket does not show.
            pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            ready = {key.fd: mask for key, mask in selector.select(0 if pending else timeout_s)}
        if self._wake_read in ready:
            with suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        mask = ready.get(sock.fileno(), 0)
        if self._client.want_write():
            self._client.loop_write()
        if mask & selectors.EVENT_READ or pending:
            self._client.loop_read()
        self._client.loop_misc()

    def _close_politely(self) -> None:
        self._client.disconnect()
        if self._client.want_write():
            self._client.loop_write()

    def _drop(self, reason: str) -> None:
        """The connection is gone: close what is left of it, and tell once."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            # paho finds the end of the stream and cleans up after itself.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            self._client.loop_read()
        if self._is_ready:
            self._is_ready = False
            self.last_error = reason
            # Its own goodbye is no trouble.
            level = logging.INFO if self._stop.is_set() or self._is_held else logging.WARNING
            log.log(level, "event=cloud_disconnected text=%r", reason)
            self._events.on_disconnected(reason)

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        if reason.is_failure:
            self._lost = f"broker {self._link.shown} refused the connection: {reason}"
            self.last_error = self._lost
            log.warning("event=cloud_refused text=%r", self._lost)
            return
        self._session_present = flags.session_present
        client.subscribe([(name, 1) for name in self._filters])

    def _on_subscribe(
        self,
        client: mqtt.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: object,
    ) -> None:
        refused = [
            name for name, code in zip(self._filters, reasons, strict=False) if code.is_failure
        ]
        if refused:
            self._lost = f"broker {self._link.shown} refused the subscription to {refused[0]}"
            client.disconnect()
            return
        self._is_ready = True
        self.last_error = ""
        log.info("event=cloud_connected broker=%s", self._link.shown)
        self._events.on_connected(self._session_present)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._lost = self._lost or f"connection to broker {self._link.shown} lost: {reason}"

    def _on_publish(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _mid: int,
        _reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._confirm()

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        self._events.on_message(message.topic, bytes(message.payload))
