"""What a worker says to a broker, as bytes. Pure.

The pieces of a message are appended to a list that the connection joins once for all that leave
together: that is one copy and one system call for a whole batch of answers.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from edge_agent.runtime.mqtt.packets import V5, ProtocolVersion
from edge_agent.runtime.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION,
    RECEIVE_MAXIMUM,
    SESSION_EXPIRY,
    write_binary,
    write_varint,
)

NEVER_EXPIRES: Final = 0xFFFFFFFF
PINGREQ: Final = b"\xc0\x00"
_PUBACK: Final = b"\x40\x02"
_MAX_TOPICS: Final = 1024
_MAX_CONTENT_TYPES: Final = 64
_QOS1: Final = 1
_WILL: Final = 0x2C
"""There is a will, with QoS 1, retained."""
_RETAINED_ONCE: Final = 0x10
"""MQTT 5: retained messages come with the first subscription of a session, not at every return."""


class PacketWriter:
    """Writes the packets of one connection.

    Args:
        version: of the protocol.
    """

    def __init__(self, version: ProtocolVersion) -> None:
        self.version = version
        self._is_v5 = version == V5
        self._topics: dict[str, bytes] = {}
        self._content_types: dict[str, bytes] = {"": b"\x00"}

    def connect(
        self,
        client_id: str,
        *,
        keep_alive_s: int,
        user: str = "",
        password: str = "",
        receive_maximum: int = 65535,
        is_clean: bool = False,
        will: tuple[str, bytes] | None = None,
    ) -> bytes:
        """CONNECT.

        Args:
            client_id: of the session.
            keep_alive_s: longest silence of ours, seconds; 0 for any.
            user: empty for none.
            password: empty for none.
            receive_maximum: unacknowledged messages that we take (MQTT 5).
            is_clean: begin with an empty session, not with the one that the broker keeps.
            will: topic and payload of what the broker publishes, retained and with QoS 1, when
                the connection ends without a goodbye.
        """
        flags = 0x02 if is_clean else 0
        tail = write_binary(client_id.encode())
        if will is not None:
            flags |= _WILL
            tail += b"\x00" if self._is_v5 else b""
            tail += write_binary(will[0].encode()) + write_binary(will[1])
        if user:
            flags |= 0x80
            tail += write_binary(user.encode())
            if password:
                flags |= 0x40
                tail += write_binary(password.encode())
        properties = b""
        if self._is_v5:
            properties = bytes((SESSION_EXPIRY,)) + NEVER_EXPIRES.to_bytes(4, "big")
            properties += bytes((RECEIVE_MAXIMUM,)) + receive_maximum.to_bytes(2, "big")
            properties = write_varint(len(properties)) + properties
        head = b"\x00\x04MQTT" + bytes((self.version, flags)) + keep_alive_s.to_bytes(2, "big")
        return _packet(0x10, head + properties + tail)

    def subscribe(self, packet_id: int, filters: Iterable[str]) -> bytes:
        """SUBSCRIBE with QoS 1 at most."""
        option = bytes((_QOS1 | (_RETAINED_ONCE if self._is_v5 else 0),))
        return self._listed(
            0x82, packet_id, b"".join(write_binary(name.encode()) + option for name in filters)
        )

    def unsubscribe(self, packet_id: int, filters: Sequence[str]) -> bytes:
        """UNSUBSCRIBE."""
        return self._listed(
            0xA2, packet_id, b"".join(write_binary(name.encode()) for name in filters)
        )

    def _listed(self, kind: int, packet_id: int, names: bytes) -> bytes:
        properties = b"\x00" if self._is_v5 else b""
        return _packet(kind, packet_id.to_bytes(2, "big") + properties + names)

    def puback(self, packet_id: int) -> bytes:
        """PUBACK: a message is done with."""
        return _PUBACK + packet_id.to_bytes(2, "big")

    def disconnect(self) -> bytes:
        """DISCONNECT; the session stays."""
        return b"\xe0\x00"

    def publish(
        self,
        out: list[bytes],
        topic: str,
        payload: bytes,
        *,
        packet_id: int = 0,
        content_type: str = "",
        correlation: bytes = b"",
    ) -> None:
        """Append PUBLISH to what leaves next, with QoS 1 if it has a packet id.

        Raises:
            ValueError: topic, content type or correlation cannot stand in a packet; nothing was
                appended.
        """
        name = self._topics.get(topic) or self._topic(topic)
        size = len(name) + len(payload)
        properties = b""
        if self._is_v5:
            properties = (
                _told(content_type, correlation)
                if correlation
                else self._content_types.get(content_type) or self._content_type(content_type)
            )
            size += len(properties)
        if packet_id:
            size += 2
            out += (
                b"\x32" + write_varint(size),
                name,
                packet_id.to_bytes(2, "big"),
                properties,
                payload,
            )
        else:
            out += (b"\x30" + write_varint(size), name, properties, payload)

    def publish_retained(
        self, out: list[bytes], topic: str, payload: bytes, packet_id: int
    ) -> None:
        """Append PUBLISH with QoS 1 that the broker keeps for late subscribers."""
        name = self._topics.get(topic) or self._topic(topic)
        properties = b"\x00" if self._is_v5 else b""
        size = len(name) + 2 + len(properties) + len(payload)
        out += (
            b"\x33" + write_varint(size),
            name,
            packet_id.to_bytes(2, "big"),
            properties,
            payload,
        )

    def _content_type(self, content_type: str) -> bytes:
        properties = _told(content_type, b"")
        if len(self._content_types) < _MAX_CONTENT_TYPES:
            self._content_types[content_type] = properties
        return properties

    def _topic(self, topic: str) -> bytes:
        name = write_binary(topic.encode())
        if len(self._topics) >= _MAX_TOPICS:
            self._topics.clear()
        self._topics[topic] = name
        return name


def _told(content_type: str, correlation: bytes) -> bytes:
    properties = b""
    if content_type:
        properties = bytes((CONTENT_TYPE,)) + write_binary(content_type.encode())
    if correlation:
        properties += bytes((CORRELATION,)) + write_binary(correlation)
    return write_varint(len(properties)) + properties


def _packet(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + write_varint(len(body)) + body
