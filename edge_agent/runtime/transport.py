"""The worker's MQTT connection: made, kept, made again, and left without loss.

A source of the worker's loop: whatever has arrived goes to the slot together, the slot runs one
batch a turn, and the answers of a batch leave together. Nothing here waits, and handing messages
to another thread would cost more than most models do. What a QoS 1 message goes through stands in
`delivery`, the steps of leaving in `leaving`, the broker's silence in `keep_alive`, the protocol in
`mqtt`.
"""

import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.errors import InvalidInput
from edge_agent.runtime.broker_url import parse_broker_url
from edge_agent.runtime.comeback import Ending, Returning
from edge_agent.runtime.connection import CLOSED, Connection
from edge_agent.runtime.delivery import SHORT_BATCH_S, Delivery
from edge_agent.runtime.dial import dial, tls_context
from edge_agent.runtime.keep_alive import ACCEPT_TIMEOUT_S, KEEPALIVE_S, KeepAlive
from edge_agent.runtime.leaving import Step, next_step
from edge_agent.runtime.loop import Loop, Work
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.message_slot import MessageSlot
from edge_agent.runtime.mqtt.packets import (
    FAILURE,
    TAKEN_OVER,
    UNSUPPORTED_VERSION,
    ConnAck,
    Disconnect,
    Packet,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Unreadable,
    UnsubAck,
    words_of,
)
from edge_agent.runtime.mqtt.reader import MAX_PACKET_BYTES, PacketReader
from edge_agent.runtime.mqtt.version import VersionChoice
from edge_agent.runtime.mqtt.writer import PINGREQ, PacketWriter
from edge_agent.runtime.protocol import BrokerAddress

MAX_IN_FLIGHT: Final = 64
"""A batch: more would only wait here, where a successor cannot have them."""

_LEAVE_STEP_S: Final = 0.002
_NO_FILTER: Final = "nobody/subscribes/to/this"
_log = logging.getLogger("shoal.worker.transport")


class Transport:
    """A connection that has messages answered until it is told to stop.

    Args:
        loop: that it lives on. All methods but `stop` belong to the loop's thread.
        address: of the broker.
        client_id: of the persistent session.
        filters: what to subscribe to.
        stale_filters: what the session may still be subscribed to and should not be.
        slot: answers.
        on_connected: called with `session_present` when messages will arrive.
        on_disconnected: called with the reason when they will not.
        on_left: called once, when everything is over after `stop`.
        on_rival: called once with what is known of another client under this name.
        max_packet_bytes: longest message that is read; longer ones are stepped over.
        max_in_flight: QoS 1 messages that an MQTT 5 broker may have on their way to us.

    Raises:
        ConfigError: the URL or a certificate file is wrong.
        InvalidInput: there is nothing to subscribe to.
    """

    def __init__(
        self,
        loop: Loop,
        address: BrokerAddress,
        client_id: str,
        filters: Sequence[str],
        *,
        stale_filters: Sequence[str] = (),
        slot: MessageSlot,
        on_connected: Callable[[bool], None],
        on_disconnected: Callable[[str], None],
        on_left: Callable[[], None],
        on_rival: Callable[[str], None] = lambda _text: None,
        max_packet_bytes: int = MAX_PACKET_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        if not filters:
            raise InvalidInput("a transport needs a topic filter", code="spec_invalid")
        self._loop = loop
        self._endpoint = parse_broker_url(address.url)
        self._tls = tls_context(address) if self._endpoint.is_tls else None
        self._client_id = client_id
        self._filters = tuple(filters)
        self._stale_filters = [name for name in stale_filters if name not in filters]
        self._slot = slot
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_left = on_left
        self._max_packet_bytes = max_packet_bytes
        self._max_in_flight = max_in_flight
        self._choice = VersionChoice(address.protocol)
        self._epoch = 0
        self._returning = Returning(client_id, self._where(), on_rival)
        self._subscribed_s = 0.0
        self._stop_at: float | None = None
        late = f"{self._where()} did not answer within {ACCEPT_TIMEOUT_S:.0f} s"
        silent = f"connection to {self._where()} was lost: keep alive timeout"
        self._keep_alive = KeepAlive(
            loop,
            ask=self._ask_for_life,
            on_late=lambda: self._end(late),
            on_silent=lambda: self._end(silent),
        )
        self._batch_s = 0.0
        self._has_left = False
        self._connection: Connection | None = None
        self._begin_connection()
        loop.add_work(Work(lambda: slot.due(time.monotonic()), self._run))

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        if self._stop_at is None:
            self._dial()

    def stop(self) -> None:
        """Answer what was received, leave, call `on_left`. From any thread or signal handler."""
        self._loop.call_soon(self._stop)

    # -- the life of a connection -----------------------------------------------------------

    def _begin_connection(self) -> None:
        self._epoch += 1
        self._writer = PacketWriter(self._choice.version)
        self._delivery: Delivery | None = None
        self._is_answered = False
        self._is_subscribed = False
        self._is_session_present = False
        self._subscription = 0
        self._is_quiet = True
        self._step = Step.ANSWER
        self._question = 0
        self._is_confirmed = False

    def _dial(self) -> None:
        self._begin_connection()
        epoch = self._epoch
        dial(
            self._endpoint,
            self._tls,
            lambda result: self._loop.call_soon(lambda: self._dialed(epoch, result)),
        )

    def _dialed(self, epoch: int, result: socket.socket | OSError) -> None:
        if epoch != self._epoch or self._has_left:
            if isinstance(result, socket.socket):
                result.close()
            return
        if isinstance(result, OSError):
            self._lost(f"cannot connect to {self._where()}: {result}")
            return
        connection = Connection(
            self._loop,
            result,
            PacketReader(self._choice.version, self._max_packet_bytes),
            on_packets=self._packets,
            on_lost=self._cut,
        )
        self._connection = connection
        connection.out.append(
            self._writer.connect(
                self._client_id,
                keep_alive_s=KEEPALIVE_S,
                user=self._endpoint.user,
                password=self._endpoint.password,
                receive_maximum=self._max_in_flight,
            )
        )
        connection.flush()
        self._keep_alive.connecting()

    def _end(self, reason: str, ending: Ending = Ending.SAID) -> None:
        """End the connection for a reason of ours."""
        if self._connection is not None:
            self._connection.close()
        self._lost(reason, ending)

    def _cut(self, reason: str) -> None:
        ending = Ending.SILENT if reason == CLOSED else Ending.SAID
        self._lost(f"connection to {self._where()} was lost: {reason}", ending)

    def _lost(self, reason: str, ending: Ending = Ending.SAID) -> None:
        """There is no connection any more: connect again, unless we are leaving."""
        had_connection = self._connection is not None
        self._connection = None
        if self._delivery is not None:
            self._delivery = None
            self._slot.withdraw()
        self._keep_alive.stop()
        if self._stop_at is not None:
            self._left()
            return
        held_s = time.monotonic() - self._subscribed_s if self._is_subscribed else 0.0
        if had_connection and not self._is_answered:
            self._choice.hung_up()
        told, pause_s = self._returning.ended(reason, held_s, ending)
        self._on_disconnected(told)
        self._loop.after(pause_s, self.start)

    def _where(self) -> str:
        return f"{self._endpoint.host}:{self._endpoint.port}"

    # -- packets ------------------------------------------------------------------------------

    def _packets(self, packets: list[Packet]) -> None:
        """Take what has arrived; what it asks for leaves with the answers of a short batch."""
        # What was read has been waiting since now.
        now, wall = time.monotonic(), time.time()
        self._keep_alive.heard()
        self._is_quiet = False
        incoming: list[Incoming] = []
        connection = self._connection
        for packet in packets:
            delivery = self._delivery
            if delivery is None:
                self._answered_connect(packet)
            elif type(packet) is Publish:
                message = delivery.received(packet, now, wall)
                if message is not None:
                    incoming.append(message)
            elif type(packet) is PubAck:
                delivery.confirmed(packet)
            else:
                self._control(packet, delivery)
            if self._connection is None:
                return
        if incoming and self._delivery is not None:
            self._delivery.settle(self._slot.offer(incoming))
        if (
            connection
            and connection.out
            and (self._batch_s > SHORT_BATCH_S or self._slot.is_wary or self._slot.due(now) != 0)
        ):
            connection.flush()

    def _answered_connect(self, packet: Packet) -> None:
        connection = self._connection
        if connection is None:
            return
        if not isinstance(packet, ConnAck):
            found = type(packet).__name__
            self._end(f"{self._where()} sent a {found} packet where CONNACK was expected")
            return
        self._is_answered = True
        if packet.code >= FAILURE:
            self._refused(connection, packet)
            return
        self._choice.accepted()
        self._is_session_present = packet.session_present
        self._delivery = delivery = Delivery(
            self._epoch,
            self._writer,
            connection.out,
            self._slot.left_out,
            receive_maximum=packet.receive_maximum,
            maximum_packet_size=packet.maximum_packet_size,
        )
        self._keep_alive.agreed(packet.server_keep_alive_s)
        if packet.session_present and self._stale_filters:
            connection.out.append(self._writer.unsubscribe(delivery.next_id(), self._stale_filters))
        self._subscription = delivery.next_id()
        connection.out.append(self._writer.subscribe(self._subscription, self._filters))

    def _refused(self, connection: Connection, packet: ConnAck) -> None:
        if packet.code == UNSUPPORTED_VERSION and self._choice.refused():
            _log.info("protocol_fallback broker=%s", self._where())
            connection.close()
            self._connection = None
            self._keep_alive.stop()
            self._dial()
            return
        reason = words_of(packet.code, packet.reason)
        self._end(f"{self._where()} refused the connection: {reason}")

    def _control(self, packet: Packet, delivery: Delivery) -> None:
        match packet:
            case SubAck(packet_id, codes) if packet_id == self._subscription:
                self._subscribed(codes)
            case Unreadable():
                delivery.unreadable(packet)
            case UnsubAck(packet_id):
                self._is_confirmed = self._is_confirmed or packet_id == self._question
            case PingResp():
                pass
            case Disconnect(code, reason):
                text = f"{self._where()} ended the connection: {words_of(code, reason)}"
                self._end(text, Ending.TAKEN_OVER if code == TAKEN_OVER else Ending.SAID)
            case _:
                self._end(f"{self._where()} sent a {type(packet).__name__} packet out of turn")

    def _subscribed(self, codes: tuple[int, ...]) -> None:
        refused = [
            name for name, code in zip(self._filters, codes, strict=False) if code >= FAILURE
        ]
        if refused or len(codes) != len(self._filters):
            self._end(f"{self._where()} refused the subscription to {refused or self._filters}")
            return
        self._is_subscribed = True
        self._subscribed_s = time.monotonic()
        self._keep_alive.subscribed()
        self._on_connected(self._is_session_present)

    def _ask_for_life(self) -> None:
        if self._connection is not None:
            self._connection.out.append(PINGREQ)
            self._connection.flush()

    # -- the slot -----------------------------------------------------------------------------

    def _run(self) -> None:
        """One batch. Without a connection its answers are lost."""
        began = time.monotonic()
        done = self._slot.run(began)
        if self._delivery is not None and self._connection is not None:
            self._delivery.settle(done)
            self._connection.flush()
        now = time.monotonic()
        self._batch_s = now - began
        self._slot.sent(now)

    # -- leaving ------------------------------------------------------------------------------

    def _stop(self) -> None:
        if self._stop_at is None:
            self._stop_at = time.monotonic()
            if self._delivery is None:
                self._left()
            else:
                self._leave()

    def _leave(self) -> None:
        """Take the next step of leaving, every few milliseconds. See `leaving`."""
        connection, delivery = self._connection, self._delivery
        if connection is None or delivery is None or self._stop_at is None:
            return
        if self._step is Step.ANSWER and self._slot.due(time.monotonic()) is not None:
            self._run()
            if self._connection is None:
                return
        is_idle = self._slot.due(time.monotonic()) is None
        before = self._step
        self._step = next_step(
            before,
            elapsed_s=time.monotonic() - self._stop_at,
            is_quiet=self._is_quiet and connection.is_quiet and is_idle,
            unsettled=len(delivery),
            is_confirmed=self._is_confirmed,
        )
        self._is_quiet = True
        if before is Step.ANSWER and self._step is not before:
            self._slot.withdraw()
            delivery.close()
        if self._step is Step.CONFIRM and before is not Step.CONFIRM:
            # The question that changes nothing: to end a subscription that never was.
            self._question = delivery.next_id()
            connection.out.append(self._writer.unsubscribe(self._question, [_NO_FILTER]))
        if self._step is Step.LEAVE:
            if not self._is_confirmed:
                _log.warning("left_in_haste unsettled=%d", len(delivery))
            connection.out.append(self._writer.disconnect())
            connection.flush()
            connection.close()
            self._lost("")
            return
        connection.flush()
        self._loop.after(_LEAVE_STEP_S, self._leave)

    def _left(self) -> None:
        if not self._has_left:
            self._has_left = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._on_left()
