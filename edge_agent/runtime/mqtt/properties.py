"""The properties of MQTT 5 packets. Pure; reads any bytes within their bounds.

A property that no packet may have, or one cut short, makes the packet malformed; one that we have
no use for is stepped over.
"""

from collections.abc import Iterator
from typing import Final

from edge_agent.errors import Unavailable

MESSAGE_EXPIRY: Final = 0x02
CONTENT_TYPE: Final = 0x03
RESPONSE_TOPIC: Final = 0x08
CORRELATION: Final = 0x09
SESSION_EXPIRY: Final = 0x11
SERVER_KEEP_ALIVE: Final = 0x13
REASON: Final = 0x1F
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS: Final = 0x23
MAXIMUM_PACKET_SIZE: Final = 0x27

_BYTE, _TWO, _FOUR, _VARIABLE, _TEXT, _BINARY, _PAIR = range(7)
_SIZES: Final = {_BYTE: 1, _TWO: 2, _FOUR: 4}
_KINDS: Final = {
    0x01: _BYTE,
    MESSAGE_EXPIRY: _FOUR,
    CONTENT_TYPE: _TEXT,
    RESPONSE_TOPIC: _TEXT,
    CORRELATION: _BINARY,
    0x0B: _VARIABLE,
    SESSION_EXPIRY: _FOUR,
    0x12: _TEXT,
    SERVER_KEEP_ALIVE: _TWO,
    0x15: _TEXT,
    0x16: _BINARY,
    0x17: _BYTE,
    0x18: _FOUR,
    0x19: _BYTE,
    0x1A: _TEXT,
    0x1C: _TEXT,
    REASON: _TEXT,
    RECEIVE_MAXIMUM: _TWO,
    0x22: _TWO,
    TOPIC_ALIAS: _TWO,
    0x24: _BYTE,
    0x25: _BYTE,
    0x26: _PAIR,
    MAXIMUM_PACKET_SIZE: _FOUR,
    0x28: _BYTE,
    0x29: _BYTE,
    0x2A: _BYTE,
}

Property = tuple[int, int | str | bytes]


def malformed(text: str) -> Unavailable:
    """The broker sent what is no MQTT; the connection cannot go on."""
    return Unavailable(text, code="mqtt_malformed")


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """A variable byte integer, and where it ends; None if more bytes are needed.

    Raises:
        Unavailable: it is longer than four bytes.
    """
    value = 0
    for count in range(4):
        if at + count >= end:
            return None
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise malformed("MQTT: expected a length of at most four bytes")


def write_varint(value: int) -> bytes:
    """A variable byte integer, 0 to 268435455."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    low = bytearray()
    while value >= 0x80:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    low.append(value)
    return bytes(low)


def read_binary(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Bytes behind their length in two bytes, and where they end.

    Raises:
        Unavailable: the packet ends before them.
    """
    start = at + 2
    if start > end:
        raise malformed("MQTT: a packet ends within a length")
    stop = start + (data[at] << 8 | data[at + 1])
    if stop > end:
        raise malformed("MQTT: a packet ends within a string")
    return data[start:stop], stop


def write_binary(value: bytes) -> bytes:
    """Bytes behind their length.

    Raises:
        ValueError: there are more than 65535.
    """
    if len(value) > 0xFFFF:
        raise ValueError(f"expected at most 65535 bytes, found {len(value)}")
    return len(value).to_bytes(2, "big") + value


def read_properties(data: bytes, at: int, end: int) -> tuple[list[Property], int]:
    """The properties that start at a place, and where they end.

    Raises:
        Unavailable: they are malformed.
    """
    found = read_varint(data, at, end)
    if found is None or found[0] + found[1] > end:
        raise malformed("MQTT: a packet ends within its properties")
    length, start = found
    return list(_properties(data, start, start + length)), start + length


def _properties(data: bytes, at: int, end: int) -> Iterator[Property]:
    while at < end:
        name = data[at]
        at += 1
        kind = _KINDS.get(name)
        if kind is None:
            raise malformed(f"MQTT: no property has the identifier 0x{name:02x}")
        if kind in _SIZES:
            stop = at + _SIZES[kind]
            if stop > end:
                raise malformed("MQTT: a packet ends within a property")
            yield name, int.from_bytes(data[at:stop], "big")
            at = stop
        elif kind == _VARIABLE:
            found = read_varint(data, at, end)
            if found is None:
                raise malformed("MQTT: a packet ends within a property")
            number, at = found
            yield name, number
        else:
            value, at = read_binary(data, at, end)
            if kind == _PAIR:
                _, at = read_binary(data, at, end)
            else:
                yield name, value if kind == _BINARY else _text(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise malformed("MQTT: expected a property to be UTF-8 text") from error
