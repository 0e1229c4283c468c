"""What a worker says to a broker, byte for byte as the standards write it."""

import pytest

from edge_agent.runtime.mqtt.packets import V5, V311
from edge_agent.runtime.mqtt.properties import read_varint, write_varint
from edge_agent.runtime.mqtt.writer import PINGREQ, PacketWriter


def test_connect_of_mqtt_3_1_1_keeps_its_session() -> None:
    assert PacketWriter(V311).connect("me", keep_alive_s=30, user="u", password="p") == (
        b"\x10\x14\x00\x04MQTT\x04\xc0\x00\x1e\x00\x02me\x00\x01u\x00\x01p"
    )
    assert PacketWriter(V311).connect("me", keep_alive_s=0, is_clean=True) == (
        b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"
    )


def test_connect_of_mqtt_5_keeps_its_session_for_ever() -> None:
    assert PacketWriter(V5).connect("me", keep_alive_s=30, user="u", receive_maximum=20) == (
        b"\x10\x1a\x00\x04MQTT\x05\x80\x00\x1e\x08\x11\xff\xff\xff\xff\x21\x00\x14"
        b"\x00\x02me\x00\x01u"
    )


def test_a_will_is_retained_and_stands_between_client_id_and_user() -> None:
    will = ("w", b"gone")
    assert PacketWriter(V311).connect("me", keep_alive_s=0, user="u", is_clean=True, will=will) == (
        b"\x10\x1a\x00\x04MQTT\x04\xae\x00\x00\x00\x02me\x00\x01w\x00\x04gone\x00\x01u"
    )
    assert (
        PacketWriter(V5)
        .connect("me", keep_alive_s=0, is_clean=True, will=will)
        .endswith(b"\x00\x02me\x00\x00\x01w\x00\x04gone")
    )


def test_a_retained_message_has_qos_1() -> None:
    out: list[bytes] = []
    PacketWriter(V311).publish_retained(out, "t", b"xy", 3)
    PacketWriter(V5).publish_retained(out, "t", b"xy", 3)
    assert b"".join(out) == b"\x33\x07\x00\x01t\x00\x03xy\x33\x08\x00\x01t\x00\x03\x00xy"


def test_subscriptions_have_qos_1() -> None:
    assert PacketWriter(V311).subscribe(7, ["a/+", "b"]) == (
        b"\x82\x0c\x00\x07\x00\x03a/+\x01\x00\x01b\x01"
    )
    assert PacketWriter(V5).subscribe(7, ["b"]) == b"\x82\x07\x00\x07\x00\x00\x01b\x11"
    assert PacketWriter(V311).unsubscribe(8, ["b"]) == b"\xa2\x05\x00\x08\x00\x01b"
    assert PacketWriter(V5).unsubscribe(8, ["b"]) == b"\xa2\x06\x00\x08\x00\x00\x01b"


def test_small_packets() -> None:
    writer = PacketWriter(V311)
    assert writer.puback(258) == b"\x40\x02\x01\x02"
    assert writer.disconnect() == b"\xe0\x00"
    assert PINGREQ == b"\xc0\x00"


def test_messages_of_both_versions() -> None:
    out: list[bytes] = []
    old, new = PacketWriter(V311), PacketWriter(V5)
    old.publish(out, "t", b"xy", content_type="not/told", correlation=b"nor this")
    old.publish(out, "t", b"xy", packet_id=3)
    new.publish(out, "t", b"xy")
    new.publish(out, "t", b"xy", packet_id=3, content_type="a/b", correlation=b"\x01")
    assert b"".join(out) == (
        b"\x30\x05\x00\x01txy"
        b"\x32\x07\x00\x01t\x00\x03xy"
        b"\x30\x06\x00\x01t\x00xy"
        b"\x32\x12\x00\x01t\x00\x03\x0a\x03\x00\x03a/b\x09\x00\x01\x01xy"
    )


@pytest.mark.parametrize(
    "told",
    [
        {"topic": "t" * 65536},
        {"topic": "\ud800"},
        {"topic": "t", "content_type": "x" * 65536},
        {"topic": "t", "correlation": bytes(65536)},
    ],
    ids=["long topic", "half a character", "long content type", "long correlation"],
)
def test_what_no_packet_can_carry_is_refused_whole(told: dict[str, object]) -> None:
    out: list[bytes] = []
    with pytest.raises(ValueError):  # noqa: PT011 -- of several kinds
        PacketWriter(V5).publish(out, payload=b"", packet_id=1, **told)
    assert out == []


@pytest.mark.parametrize("value", [0, 127, 128, 16383, 16384, 2097151, 2097152, 268435455])
def test_lengths_of_one_to_four_bytes(value: int) -> None:
    data = write_varint(value)
    assert read_varint(data, 0, len(data)) == (value, len(data))
    assert read_varint(data, 0, len(data) - 1) is None
