"""Messages of one connection, from packets to the slot and back. No socket and no clock.

QoS 1, step by step:
1. A message arrives and waits in the slot; it is not acknowledged yet.
2. Its answer is published with QoS 1.
3. The broker acknowledges the answer; only now the message is acknowledged.
The session is persistent, so what was not acknowledged comes again, to us or to a successor with
our client id. An answer that comes when its connection is gone is thrown away for that reason.
"""

import collections
import logging
from collections.abc import Callable, Iterable
from typing import Final, Literal

from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.mqtt.packets import FAILURE, PubAck, Publish, Unreadable, words_of
from edge_agent.runtime.mqtt.writer import PacketWriter
from edge_agent.runtime.pending import Pending, Receipt

SHORT_BATCH_S: Final = 0.001
"""Acknowledgements leave with the answers of the batch that is due if the one before it took no
longer: one call, and one that wakes the broker once. If that batch ends the process, they are lost,
and their messages are answered again; so after such an end they leave at once for a while."""

_HEAD_BYTES: Final = 64
_log = logging.getLogger("shoal.worker.transport")


class Delivery:
    """What is on its way, in both directions.

    Args:
        epoch: number of the connection, from 1; part of every token.
        writer: of the connection.
        out: what it sends next.
        on_left_out: told why a message (None) could not be read, or an answer not be published.
        receive_maximum: unacknowledged answers that the broker takes.
        maximum_packet_size: bytes that it takes; 0 for any.

    """

    def __init__(
        self,
        epoch: int,
        writer: PacketWriter,
        out: list[bytes],
        on_left_out: Callable[[str, Outgoing | None], None],
        *,
        receive_maximum: int = 65535,
        maximum_packet_size: int = 0,
    ) -> None:
        self._is_closing = False
        self._epoch = epoch
        self._base = epoch << 16
        self._writer = writer
        self._out = out
        self._on_left_out = on_left_out
        self._receive_maximum = receive_maximum
        self._maximum_packet_size = maximum_packet_size
        self._pending = Pending()
        self._waiting: collections.deque[tuple[int, Outgoing]] = collections.deque()
        self._last_id = 0
        self._complaints: set[str] = set()

    def __len__(self) -> int:
        """QoS 1 messages that are not settled."""
        return len(self._pending)

    def close(self) -> None:
        """QoS 1 messages that are new, or were withdrawn from the slot, are for a successor."""
        self._is_closing = True
        self._pending.forget_unanswered([packet_id for packet_id, _ in self._waiting])

    def next_id(self) -> int:
        """A packet id that nothing of ours has."""
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if not self._pending.is_result(self._last_id):
                return self._last_id

    def received(self, message: Publish, now: float, wall: float) -> Incoming | None:
        """A message for the slot; None if it was answered before or is not ours to answer.

        Args:
            message: that has arrived.
            now: when it was there to be read, seconds, monotonic.
            wall: the same instant, seconds since 1970.
        """
        token = 0
        packet_id = message.packet_id
        if packet_id:
            fingerprint = hash((message.topic, message.payload))
            receipt = self._pending.received(packet_id, fingerprint, is_dup=message.is_dup)
            if receipt is not Receipt.NEW:
                if receipt is Receipt.SETTLED:
                    self._out.append(self._writer.puback(packet_id))
                return None
            if self._is_closing:
                self._pending.forget(packet_id)
                return None
            token = self._base | packet_id
        return Incoming(
            topic=message.topic,
            payload=message.payload,
            received_s=wall,
            arrived_s=now,
            token=token,
            content_type=message.content_type,
            reply_to=message.response_topic,
            correlation=message.correlation,
            expires_s=0.0 if message.expiry_s is None else now + message.expiry_s,
            is_repeat=message.is_dup,
        )

    def unreadable(self, message: Unreadable) -> None:
        """A message was stepped over; acknowledged, or it would come for ever."""
        self._on_left_out("unreadable", None)
        self._complain("message_unreadable", f"reason={message.reason}")
        if message.packet_id:
            self._out.append(self._writer.puback(message.packet_id))

    def settle(self, settled: Iterable[Settled]) -> None:
        """Publish answers and acknowledge what has none."""
        for one in settled:
            token, answer = one.token, one.answer
            if not token:
                if answer is not None:
                    self._publish(answer, 0)
            elif token >> 16 == self._epoch:
                packet_id = token & 0xFFFF
                if answer is None:
                    self._acknowledge(packet_id)
                elif self._pending.unconfirmed >= self._receive_maximum or self._waiting:
                    self._waiting.append((packet_id, answer))
                else:
                    self._publish_settling(packet_id, answer)

    def confirmed(self, packet: PubAck) -> None:
        """The broker has an answer, or refuses it: its message is done with either way."""
        if packet.code >= FAILURE:
            self._complain("answer_refused", f"reason={words_of(packet.code)}")
        packet_id = self._pending.acknowledged(packet.packet_id)
        if packet_id is not None:
            self._out.append(self._writer.puback(packet_id))
        while self._waiting and self._pending.unconfirmed < self._receive_maximum:
            self._publish_settling(*self._waiting.popleft())

    def _acknowledge(self, packet_id: int) -> None:
        self._pending.settled(packet_id)
        self._out.append(self._writer.puback(packet_id))

    def _publish_settling(self, packet_id: int, answer: Outgoing) -> None:
        result_id = self.next_id()
        if self._publish(answer, result_id):
            self._pending.answered(packet_id, result_id)
        else:
            self._acknowledge(packet_id)

    def _publish(self, answer: Outgoing, packet_id: int) -> bool:
        """Returns whether the answer can be published at all."""
        if self._maximum_packet_size:
            size = len(answer.payload) + len(answer.topic.encode()) + len(answer.correlation)
            if size + len(answer.content_type) + _HEAD_BYTES > self._maximum_packet_size:
                found = f"bytes={size} topic={answer.topic[:200]!r}"
                return self._leave_out("answer_too_large", answer, found)
        try:
            self._writer.publish(
                self._out,
                answer.topic,
                answer.payload,
                packet_id=packet_id,
                content_type=answer.content_type,
                correlation=answer.correlation,
            )
        except ValueError as error:
            found = f"reason={error} topic={answer.topic[:200]!r}"
            return self._leave_out("answer_impossible", answer, found)
        return True

    def _leave_out(self, reason: str, answer: Outgoing, found: str) -> Literal[False]:
        self._on_left_out(reason, answer)
        self._complain(reason, found)
        return False

    def _complain(self, event: str, found: str) -> None:
        """Log something that a sender may do a thousand times a second: the first time only."""
        if event not in self._complaints:
            self._complaints.add(event)
            _log.warning("%s %s", event, found)
