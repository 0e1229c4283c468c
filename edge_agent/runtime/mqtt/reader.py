"""Bytes from a broker to packets: all that are whole, at once. Pure.

Any bytes give packets or one `Unavailable`, and what is held is bounded: at most one packet of
`max_packet_bytes`. A longer message is stepped over while it streams; closing the connection
instead would have it delivered again for ever.
"""

from typing import Final

from edge_agent.runtime.mqtt.packets import (
    FAILURE,
    V5,
    ConnAck,
    Disconnect,
    Packet,
    PingResp,
    ProtocolVersion,
    PubAck,
    Publish,
    SubAck,
    Unreadable,
    UnsubAck,
    code_of_return,
)
from edge_agent.runtime.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION,
    MAXIMUM_PACKET_SIZE,
    MESSAGE_EXPIRY,
    REASON,
    RECEIVE_MAXIMUM,
    RESPONSE_TOPIC,
    SERVER_KEEP_ALIVE,
    TOPIC_ALIAS,
    Property,
    malformed,
    read_properties,
    read_varint,
)

MAX_PACKET_BYTES: Final = 16 * 2**20
MAX_HEAD_BYTES: Final = 2 + 65535 + 2
"""Longest topic and packet id of a message."""
_MAX_CONTROL_BYTES: Final = 256 * 2**10
_MAX_TOPICS: Final = 1024


class PacketReader:
    """Reads the packets of one connection.

    Args:
        version: that was asked for in CONNECT.
        max_packet_bytes: longest message that is taken.
    """

    def __init__(self, version: ProtocolVersion, max_packet_bytes: int = MAX_PACKET_BYTES) -> None:
        self._is_v5 = version == V5
        self._max_bytes = max_packet_bytes
        self._chunks: list[bytes] = []
        self._held = 0
        self._needed = 0
        self._skip = 0
        self._topics: dict[bytes, str] = {}

    def feed(self, data: bytes) -> list[Packet]:
        """What is whole now.

        Raises:
            Unavailable: `mqtt_malformed`; nothing more can be read from this connection.
        """
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._chunks:
            self._chunks.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        packets: list[Packet] = []
        add = packets.append
        at, size = 0, len(data)
        while size - at >= 2:
            kind = data[at]
            length = data[at + 1]
            start = at + 2
            if length > 0x7F:
                found = read_varint(data, at + 1, size)
                if found is None:
                    break
                length, start = found
            end = start + length
            limit = self._max_bytes if kind & 0xF0 == 0x30 else _MAX_CONTROL_BYTES
            if length <= limit and end > size:
                return self._hold(data, at, end, packets)
            if length > limit:
                head_end = start + min(length, MAX_HEAD_BYTES)
                if head_end > size:
                    return self._hold(data, at, head_end, packets)
                add(self._step_over(kind, data, start, head_end, length))
                if end > size:
                    self._skip = end - size
                    return packets
                at = end
                continue
            if kind & 0xF0 == 0x30:
                add(self._message(kind, data, start, end))
            else:
                add(self._control(kind, data, start, end))
            at = end
        # Here two bytes, or the rest of a length, are missing; looking again costs nothing.
        return self._hold(data, at, size + 1, packets) if at < size else packets

    def _hold(self, data: bytes, at: int, needed_end: int, packets: list[Packet]) -> list[Packet]:
        """Keep the rest until there is enough of it."""
        self._chunks.append(data[at:] if at else data)
        self._held = len(data) - at
        self._needed = needed_end - at
        return packets

    def _message(self, kind: int, data: bytes, start: int, end: int) -> Packet:
        at = start + 2
        if at > end:
            raise malformed("MQTT: PUBLISH ends within its topic")
        stop = at + (data[start] << 8 | data[start + 1])
        qos = kind & 0x06
        packet_id = 0
        body = stop
        if qos:
            if qos != 0x02:
                raise malformed("MQTT: expected messages with QoS 0 or 1 only")
            body += 2
        if body > end:
            raise malformed("MQTT: PUBLISH ends within its head")
        if qos:
            packet_id = data[stop] << 8 | data[stop + 1]
            if not packet_id:
                raise malformed("MQTT: PUBLISH with QoS 1 has the packet id 0")
        raw = data[at:stop]
        topic = self._topics.get(raw)
        if topic is None:
            try:
                topic = self._topic(raw)
            except ValueError as error:
                if self._is_v5:
                    read_properties(data, body, end)
                return Unreadable(packet_id, f"topic_invalid: {error}")
        if not self._is_v5:
            return Publish(topic, data[body:end], packet_id, kind & 0x08 != 0)
        if body < end and not data[body]:
            return Publish(topic, data[body + 1 : end], packet_id, kind & 0x08 != 0)
        properties, body = read_properties(data, body, end)
        return _with_properties(
            Publish(topic, data[body:end], packet_id, kind & 0x08 != 0), properties
        )

    def _topic(self, raw: bytes) -> str:
        topic = raw.decode()
        if not topic or "\0" in topic or "+" in topic or "#" in topic:
            raise ValueError(f"{topic[:100]!r}")
        if len(self._topics) >= _MAX_TOPICS:
            self._topics.clear()
        self._topics[raw] = topic
        return topic

    def _step_over(
        self, kind: int, data: bytes, start: int, head_end: int, length: int
    ) -> Unreadable:
        """A message that is too long: only its packet id is read."""
        if kind & 0xF0 != 0x30:
            raise malformed(f"MQTT: packet of kind 0x{kind:02x} has {length} bytes")
        packet_id = 0
        if kind & 0x06:
            stop = start + 2 + (data[start] << 8 | data[start + 1])
            if stop + 2 > head_end:
                raise malformed("MQTT: PUBLISH ends within its head")
            packet_id = data[stop] << 8 | data[stop + 1]
        reason = f"packet_too_large: expected at most {self._max_bytes} bytes, found {length}"
        return Unreadable(packet_id, reason)

    def _control(self, kind: int, data: bytes, start: int, end: int) -> Packet:
        length = end - start
        match kind:
            case 0x40 if length >= 2:
                code = data[start + 2] if length > 2 else 0
                return PubAck(data[start] << 8 | data[start + 1], code)
            case 0x90 if length >= 3:
                at = start + 2
                if self._is_v5:
                    _, at = read_properties(data, at, end)
                return SubAck(data[start] << 8 | data[start + 1], tuple(data[at:end]))
            case 0xB0 if length >= 2:
                return UnsubAck(data[start] << 8 | data[start + 1])
            case 0xD0 if length == 0:
                return PingResp()
            case 0x20 if length >= 2:
                return self._connack(data, start, end)
            case 0xE0 if self._is_v5:
                code = data[start] if length else 0
                reason = ""
                if length > 1:
                    reason = _reason_of(read_properties(data, start + 1, end)[0])
                return Disconnect(code, reason)
        raise malformed(
            f"MQTT: found a packet 0x{kind:02x} of {length} bytes, which we never asked"
        )

    def _connack(self, data: bytes, start: int, end: int) -> ConnAck:
        is_present, code = data[start] & 1 == 1, data[start + 1]
        if end - start == 2:
            # A broker that knows no MQTT 5 refuses it in the words of 3.1.1.
            return ConnAck(session_present=is_present, code=code_of_return(code))
        if not self._is_v5:
            raise malformed(f"MQTT: expected a CONNACK of 2 bytes, found {end - start}")
        if 0 < code < FAILURE:
            raise malformed(f"MQTT: CONNACK has the unknown code 0x{code:02x}")
        properties, _ = read_properties(data, start + 2, end)
        numbers = {name: value for name, value in properties if isinstance(value, int)}
        receive_maximum = numbers.get(RECEIVE_MAXIMUM, 65535)
        if not receive_maximum:
            raise malformed("MQTT: CONNACK has a receive maximum of 0")
        return ConnAck(
            session_present=is_present,
            code=code,
            receive_maximum=receive_maximum,
            maximum_packet_size=numbers.get(MAXIMUM_PACKET_SIZE, 0),
            server_keep_alive_s=numbers.get(SERVER_KEEP_ALIVE),
            reason=_reason_of(properties),
        )


def _reason_of(properties: list[Property]) -> str:
    for name, value in properties:
        if name == REASON and isinstance(value, str):
            return value[:200]
    return ""


def _with_properties(message: Publish, properties: list[Property]) -> Publish:
    content_type, response_topic, correlation = "", "", b""
    expiry_s: int | None = None
    for name, value in properties:
        if name == CONTENT_TYPE and isinstance(value, str):
            content_type = value
        elif name == RESPONSE_TOPIC and isinstance(value, str):
            response_topic = value
        elif name == CORRELATION and isinstance(value, bytes):
            correlation = value
        elif name == MESSAGE_EXPIRY and isinstance(value, int):
            expiry_s = value
        elif name == TOPIC_ALIAS:
            raise malformed("MQTT: found a topic alias, and we allowed none")
    return Publish(
        message.topic,
        message.payload,
        message.packet_id,
        message.is_dup,
        content_type,
        response_topic,
        correlation,
        expiry_s,
    )
