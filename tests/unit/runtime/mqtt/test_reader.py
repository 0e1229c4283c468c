"""Bytes from a broker: all whole packets at once, whatever the cuts; nothing else gets through."""

import itertools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import Unavailable
from edge_agent.runtime.mqtt.packets import (
    V5,
    V311,
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
    words_of,
)
from edge_agent.runtime.mqtt.properties import write_binary, write_varint
from edge_agent.runtime.mqtt.reader import PacketReader
from edge_agent.runtime.mqtt.writer import PacketWriter

versions = st.sampled_from([V311, V5])
topics = st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), min_size=1)


def packet(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + write_varint(len(body)) + body


def message(
    topic: bytes = b"t", *, body: bytes = b"", packet_id: bytes = b"", kind: int = 0x30
) -> bytes:
    return packet(kind, write_binary(topic) + packet_id + body)


def properties(data: bytes) -> bytes:
    return write_varint(len(data)) + data


def read(data: bytes, version: ProtocolVersion = V311, limit: int = 10_000) -> list[Packet]:
    return PacketReader(version, limit).feed(data)


def read_in_pieces(reader: PacketReader, data: bytes, cuts: list[int]) -> list[Packet] | str:
    """What came of it; the error's text if it was refused."""
    packets: list[Packet] = []
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    try:
        for start, end in itertools.pairwise(places):
            packets += reader.feed(data[start:end])
    except Unavailable as error:
        return f"{error.code}: {error.text}"
    return packets


@given(st.binary(max_size=400), versions, st.lists(st.integers(0), max_size=8))
def test_any_bytes_in_any_pieces_are_read_alike_or_refused(
    data: bytes, version: ProtocolVersion, cuts: list[int]
) -> None:
    whole = read_in_pieces(PacketReader(version, 60), data, [])
    assert isinstance(whole, list) or whole.startswith("mqtt_malformed: ")
    assert read_in_pieces(PacketReader(version, 60), data, cuts) == whole


@st.composite
def likely_packets(draw: st.DrawFn) -> bytes:
    """Packets that begin as real ones do, so that the readers of their insides are reached."""
    kind = draw(st.sampled_from([0x20, 0x30, 0x32, 0x3A, 0x34, 0x40, 0x90, 0xB0, 0xD0, 0xE0, 0xF0]))
    body = draw(st.binary(max_size=60))
    if kind & 0xF0 == 0x30:
        body = write_binary(draw(st.binary(max_size=6))) + body
    return packet(kind, body)


@given(
    st.lists(likely_packets(), max_size=6).map(b"".join),
    versions,
    st.lists(st.integers(0), max_size=8),
)
def test_packets_with_any_insides_are_read_alike_or_refused(
    data: bytes, version: ProtocolVersion, cuts: list[int]
) -> None:
    whole = read_in_pieces(PacketReader(version, 40), data, [])
    assert read_in_pieces(PacketReader(version, 40), data, cuts) == whole


@given(
    st.lists(
        st.tuples(
            topics,
            st.binary(max_size=300),
            st.integers(0, 65535),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.binary(max_size=20),
        ),
        max_size=10,
    ),
    versions,
    st.lists(st.integers(0), max_size=8),
)
def test_what_was_written_is_read(
    messages: list[tuple[str, bytes, int, str, bytes]],
    version: ProtocolVersion,
    cuts: list[int],
) -> None:
    writer, out = PacketWriter(version), list[bytes]()
    expected = []
    for topic, payload, packet_id, content_type, correlation in messages:
        writer.publish(
            out,
            topic,
            payload,
            packet_id=packet_id,
            content_type=content_type,
            correlation=correlation,
        )
        if version == V311:
            expected.append(Publish(topic, payload, packet_id))
        else:
            expected.append(
                Publish(
                    topic, payload, packet_id, content_type=content_type, correlation=correlation
                )
            )
    assert read_in_pieces(PacketReader(version), b"".join(out), cuts) == expected


def test_properties_of_a_message_are_read() -> None:
    told = properties(
        b"\x01\x01"
        b"\x02\x00\x00\x00\x3c"
        b"\x03"
        + write_binary(b"application/json")
        + b"\x08"
        + write_binary(b"answers/here")
        + b"\x09"
        + write_binary(b"\xff\x00")
        + b"\x26"
        + write_binary(b"name")
        + write_binary(b"value")
        + b"\x0b\x80\x01"
    )
    assert read(message(body=told + b"x", packet_id=b"\x00\x07", kind=0x3A), V5) == [
        Publish("t", b"x", 7, True, "application/json", "answers/here", b"\xff\x00", 60)
    ]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x30\xff\xff\xff\xff\x01", id="length of five bytes"),
        pytest.param(message(kind=0x34, packet_id=b"\x00\x01"), id="QoS 2"),
        pytest.param(message(kind=0x36, packet_id=b"\x00\x01"), id="QoS 3"),
        pytest.param(message(kind=0x32, packet_id=b"\x00\x00"), id="packet id 0"),
        pytest.param(packet(0x30, b"\x00"), id="ends within the topic's length"),
        pytest.param(packet(0x30, b"\x00\x05ab"), id="ends within the topic"),
        pytest.param(packet(0x32, b"\x00\x01a\x00"), id="ends within the packet id"),
        pytest.param(packet(0x40, b"\x00"), id="PUBACK of one byte"),
        pytest.param(packet(0x90, b"\x00\x01"), id="SUBACK without a code"),
        pytest.param(packet(0xD0, b"\x00"), id="PINGRESP with something in it"),
        pytest.param(packet(0x10, b""), id="CONNECT"),
        pytest.param(packet(0x50, b"\x00\x01"), id="PUBREC"),
        pytest.param(packet(0xF0, b""), id="AUTH"),
        pytest.param(packet(0xE0, b""), id="DISCONNECT, which a 3.1.1 broker never sends"),
        pytest.param(packet(0x20, b"\x00\x00\x00"), id="CONNACK of three bytes"),
        pytest.param(packet(0x90, bytes(300_000)), id="SUBACK that is too long"),
    ],
)
def test_what_is_no_mqtt_ends_the_connection(data: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        read(data)
    assert caught.value.code == "mqtt_malformed"


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(b"\x05\x02\x00", id="properties end before their length"),
        pytest.param(b"\x80", id="length ends early"),
        pytest.param(b"\x02\x02\x00", id="a number ends early"),
        pytest.param(b"\x03\x03\x00\x05", id="a string ends early"),
        pytest.param(b"\x02\x7f\x00", id="no such property"),
        pytest.param(b"\x04\x03\x00\x01\xff", id="no UTF-8"),
        pytest.param(b"\x03\x23\x00\x01", id="a topic alias, which we did not allow"),
        pytest.param(b"\x02\x0b\x80", id="a variable number ends early"),
    ],
)
def test_broken_properties_end_the_connection(told: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        read(message(body=told), V5)
    assert caught.value.code == "mqtt_malformed"


@pytest.mark.parametrize("topic", [b"", b"\xff", b"a/+", b"a/#", b"a\0b"])
@pytest.mark.parametrize("version", [V311, V5])
def test_a_message_without_a_proper_topic_is_left_out_and_known_by_its_id(
    topic: bytes, version: Literal[4, 5]
) -> None:
    body = b"\x00" if version == V5 else b""
    data = message(topic, kind=0x32, packet_id=b"\x01\x02", body=body)
    found = read(data + message(body=body + b"next"), version)
    assert isinstance(found[0], Unreadable)
    assert found[0].packet_id == 0x0102
    assert found[1:] == [Publish("t", b"next")]


@pytest.mark.parametrize("piece", [1, 7, 100, 1000, 10**6])
@pytest.mark.parametrize(("kind", "packet_id"), [(0x32, b"\x01\x02"), (0x30, b"")])
def test_a_message_that_is_too_long_is_stepped_over(
    piece: int, kind: int, packet_id: bytes
) -> None:
    reader = PacketReader(V311, max_packet_bytes=500)
    long = message(b"some/topic", kind=kind, packet_id=packet_id, body=bytes(100_000))
    data = message(body=b"before") + long + message(body=b"after")
    found: list[Packet] = []
    for start in range(0, len(data), piece):
        found += reader.feed(data[start : start + piece])
        assert reader._held <= 70_000 + piece, "no more than a topic is kept of it"
    before, left_out, after = found
    assert (before, after) == (Publish("t", b"before"), Publish("t", b"after"))
    assert isinstance(left_out, Unreadable)
    assert left_out.packet_id == int.from_bytes(packet_id, "big")
    assert "packet_too_large" in left_out.reason


def test_answers_of_the_broker_are_read() -> None:
    v311 = b"\x40\x02\x00\x07" + b"\x90\x04\x00\x08\x01\x80" + b"\xb0\x02\x00\x09" + b"\xd0\x00"
    assert read(v311) == [PubAck(7), SubAck(8, (1, 0x80)), UnsubAck(9), PingResp()]
    v5 = (
        b"\x40\x02\x00\x07"
        b"\x40\x03\x00\x07\x10"
        b"\x40\x04\x00\x07\x87\x00"
        + packet(0x90, b"\x00\x08" + properties(b"\x1f" + write_binary(b"why")) + b"\x01")
        + packet(0xB0, b"\x00\x09\x00\x11")
        + b"\xe0\x00"
        + packet(0xE0, b"\x8e" + properties(b"\x1f" + write_binary(b"somebody else")))
    )
    assert read(v5, V5) == [
        PubAck(7),
        PubAck(7, 0x10),
        PubAck(7, 0x87),
        SubAck(8, (1,)),
        UnsubAck(9),
        Disconnect(),
        Disconnect(0x8E, "somebody else"),
    ]
    assert words_of(0x8E, "somebody else") == "session taken over (0x8e): somebody else"


def test_what_an_mqtt_5_broker_grants_is_read() -> None:
    told = properties(b"\x21\x00\x14\x27\x00\x01\x00\x00\x13\x00\x0a\x22\x00\x05\x24\x01")
    assert read(packet(0x20, b"\x01\x00" + told), V5) == [
        ConnAck(
            session_present=True,
            receive_maximum=20,
            maximum_packet_size=65536,
            server_keep_alive_s=10,
        )
    ]
    with pytest.raises(Unavailable):
        read(packet(0x20, b"\x00\x00" + properties(b"\x21\x00\x00")), V5)


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, 0), (1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87), (99, 0x80)],
)
def test_refusals_of_an_old_broker_are_told_in_the_codes_of_mqtt_5(
    version: Literal[4, 5], code: int, expected: int
) -> None:
    assert read(packet(0x20, bytes((0, code))), version) == [ConnAck(code=expected)]


def test_many_topics_are_not_all_remembered() -> None:
    reader = PacketReader(V311)
    for number in range(3000):
        assert reader.feed(message(b"t/%d" % number)) == [Publish(f"t/{number}", b"")]
    assert len(reader._topics) <= 1024
