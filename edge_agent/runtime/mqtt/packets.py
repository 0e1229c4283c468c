"""What a broker says to a worker, one frozen value for each packet. Pure.

Only what a subscriber with QoS 0 and 1 can meet; every other packet is a broken promise of the
broker and ends the connection.
"""

from typing import Final, Literal

from msgspec import Struct

ProtocolVersion = Literal[4, 5]
"""As it stands in CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5."""

V311: Final[ProtocolVersion] = 4
V5: Final[ProtocolVersion] = 5

FAILURE: Final = 0x80
"""A reason code from here on says that something was refused."""

UNSUPPORTED_VERSION: Final = 0x84
TAKEN_OVER: Final = 0x8E
"""Another client came with the same name."""

_REASONS: Final = {
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    UNSUPPORTED_VERSION: "unsupported protocol version",
    0x85: "client id not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    TAKEN_OVER: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA2: "wildcard subscriptions not supported",
}
_CONNECT_REASONS: Final = {
    1: UNSUPPORTED_VERSION,
    2: 0x85,
    3: 0x88,
    4: 0x86,
    5: 0x87,
}


class Publish(Struct, frozen=True, gc=False):
    """A message.

    Attributes:
        topic: it was published on.
        payload: of the message.
        packet_id: 0 with QoS 0.
        is_dup: the broker says that it may have sent this before.
        content_type: empty if none is told.
        response_topic: empty if none is told.
        correlation: empty if none is told.
        expiry_s: seconds that it is still good for; None for ever.
    """

    topic: str
    payload: bytes
    packet_id: int = 0
    is_dup: bool = False
    content_type: str = ""
    response_topic: str = ""
    correlation: bytes = b""
    expiry_s: int | None = None


class Unreadable(Struct, frozen=True, gc=False):
    """A message that was stepped over; the connection goes on.

    Attributes:
        packet_id: 0 with QoS 0; otherwise it wants to be acknowledged, or it comes for ever.
        reason: why.
    """

    packet_id: int
    reason: str


class ConnAck(Struct, frozen=True, kw_only=True):
    """The answer to CONNECT.

    Attributes:
        session_present: the broker remembers our session.
        code: 0, or why not; codes of MQTT 3.1.1 are told as those of MQTT 5.
        receive_maximum: unacknowledged messages that the broker takes at most.
        maximum_packet_size: bytes of a packet that the broker takes; 0 for any.
        server_keep_alive_s: what the broker wants instead of ours; None if ours is fine.
        reason: in the broker's own words.
    """

    session_present: bool = False
    code: int = 0
    receive_maximum: int = 65535
    maximum_packet_size: int = 0
    server_keep_alive_s: int | None = None
    reason: str = ""


class PubAck(Struct, frozen=True, gc=False):
    """The broker has a message of ours, or refuses it."""

    packet_id: int
    code: int = 0


class SubAck(Struct, frozen=True):
    """The answer to SUBSCRIBE, one code a filter."""

    packet_id: int
    codes: tuple[int, ...]


class UnsubAck(Struct, frozen=True, gc=False):
    """The answer to UNSUBSCRIBE."""

    packet_id: int


class PingResp(Struct, frozen=True, gc=False):
    """The answer to PINGREQ."""


class Disconnect(Struct, frozen=True, gc=False):
    """The broker ends the connection (MQTT 5).

    Attributes:
        code: why.
        reason: in the broker's own words.
    """

    code: int = 0
    reason: str = ""


Packet = Publish | Unreadable | ConnAck | PubAck | SubAck | UnsubAck | PingResp | Disconnect


def code_of_return(code: int) -> int:
    """The MQTT 5 reason code for a CONNACK return code of MQTT 3.1.1."""
    return 0 if code == 0 else _CONNECT_REASONS.get(code, FAILURE)


def words_of(code: int, reason: str = "") -> str:
    """A reason code for people, with what the broker adds to it."""
    words = f"{_REASONS.get(code, 'reason')} (0x{code:02x})"
    return f"{words}: {reason}" if reason else words
