"""A broker that does what the test tells it to, packet by packet, on a real socket."""

import socket
import ssl
from typing import Self

WAIT_S = 30.0

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 0x82, 0x90, 0xA2, 0xB0
PINGREQ, DISCONNECT = 0xC0, 0xE0


def packet(kind: int, body: bytes) -> bytes:
    length, low = bytearray(), len(body)
    while True:
        low, rest = low >> 7, low & 0x7F
        length.append(rest | (0x80 if low else 0))
        if not low:
            return bytes((kind,)) + bytes(length) + body


def puback(packet_id: int) -> bytes:
    """What acknowledges a message of QoS 1, in either version."""
    return packet(PUBACK, packet_id.to_bytes(2, "big"))


def string(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def message(topic: str, payload: bytes, packet_id: int = 0, *, dup: bool = False) -> bytes:
    """A PUBLISH of MQTT 3.1.1, with QoS 1 if it has a packet id."""
    if not packet_id:
        return packet(PUBLISH, string(topic) + payload)
    kind = PUBLISH | 0x02 | (0x08 if dup else 0)
    return packet(kind, string(topic) + packet_id.to_bytes(2, "big") + payload)


class Peer:
    """One client of the broker."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT_S)
        self._socket = connection
        self._stream = connection.makefile("rb")

    def read(self) -> tuple[int, bytes]:
        """The next packet: its first byte and what follows the length; (0, b"") at the end."""
        kind = self._stream.read(1)
        if not kind:
            return 0, b""
        length = shift = 0
        while byte := self._stream.read(1):
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                break
        return kind[0], self._stream.read(length)

    def expect(self, kind: int) -> bytes:
        """The body of the next packet, which must be of this kind."""
        found, body = self.read()
        mask = 0xF0 if kind == PUBLISH else 0xFF
        assert found & mask == kind, f"expected 0x{kind:02x}, found 0x{found:02x} {body!r}"
        return body

    def answer(self) -> tuple[bytes, int]:
        """The payload of the next packet, a PUBLISH of MQTT 3.1.1, and its packet id."""
        kind, body = self.read()
        assert kind & 0xF0 == PUBLISH, f"expected PUBLISH, found 0x{kind:02x} {body!r}"
        at = 2 + int.from_bytes(body[:2], "big")
        if not kind & 0x06:
            return body[at:], 0
        return body[at + 2 :], int.from_bytes(body[at : at + 2], "big")

    def send(self, *packets: bytes) -> None:
        self._socket.sendall(b"".join(packets))

    def let_in(self, connack: bytes = b"\x00\x00") -> bytes:
        """Take CONNECT and SUBSCRIBE; returns the body of CONNECT."""
        connect = self.expect(CONNECT)
        self.send(packet(CONNACK, connack))
        body = self.expect(SUBSCRIBE)
        is_v5 = connect[6] == 5
        self.send(packet(SUBACK, body[:2] + (b"\x00" if is_v5 else b"") + b"\x01"))
        return connect

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class ScriptedBroker:
    """Listens on a free port; `context` makes it speak TLS."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_S)
        self._context = context
        self._peers: list[Peer] = []

    @property
    def url(self) -> str:
        scheme = "mqtt" if self._context is None else "mqtts"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for peer in self._peers:
            peer.close()

    def accept(self) -> Peer:
        """The next client that connects."""
        connection, _ = self._listener.accept()
        if self._context is not None:
            connection.settimeout(WAIT_S)
            try:
                connection = self._context.wrap_socket(connection, server_side=True)
            except ssl.SSLError:
                connection.close()
                raise
        peer = Peer(connection)
        self._peers.append(peer)
        return peer


def leave(peer: Peer) -> None:
    """Answer the question that a worker asks before it leaves."""
    body = peer.expect(UNSUBSCRIBE)
    peer.send(packet(UNSUBACK, body[:2]))
    peer.expect(DISCONNECT)
