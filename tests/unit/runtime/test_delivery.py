"""Messages of one connection on their way to the slot and back."""

import logging

import pytest

from edge_agent.runtime.delivery import Delivery
from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.mqtt.packets import V5, V311, Packet, PubAck, Publish, Unreadable
from edge_agent.runtime.mqtt.reader import PacketReader
from edge_agent.runtime.mqtt.writer import PacketWriter


class Wire:
    """A delivery and what it wrote."""

    def __init__(self, epoch: int = 1, **limits: int) -> None:
        self.out: list[bytes] = []
        self.left_out: list[tuple[str, Outgoing | None]] = []
        self.delivery = Delivery(epoch, PacketWriter(V311), self.out, self._leave_out, **limits)

    def _leave_out(self, reason: str, answer: Outgoing | None) -> None:
        self.left_out.append((reason, answer))

    def receive(self, payload: bytes, packet_id: int = 0, *, is_dup: bool = False) -> Incoming:
        found = self.delivery.received(Publish("in", payload, packet_id, is_dup), 1000.0, 5e8)
        assert found is not None
        return found

    def answer(self, message: Incoming, payload: bytes = b"out") -> None:
        self.delivery.settle([Settled(message.token, Outgoing("out", payload))])

    def written(self) -> list[Packet]:
        data = b"".join(self.out)
        self.out.clear()
        return PacketReader(V311).feed(data)


def test_a_message_with_qos_0_is_answered_with_qos_0() -> None:
    wire = Wire()
    wire.answer(wire.receive(b"x"))
    assert wire.written() == [Publish("out", b"out")]
    assert len(wire.delivery) == 0


def test_a_message_is_open_from_its_arrival_to_the_acknowledgement_of_its_answer() -> None:
    wire = Wire()
    message = wire.receive(b"x", 7)
    assert len(wire.delivery) == 1
    wire.answer(message)
    [published] = wire.written()
    assert isinstance(published, Publish)
    assert len(wire.delivery) == 1
    wire.delivery.confirmed(PubAck(published.packet_id))
    assert wire.written() == [PubAck(7)]
    assert len(wire.delivery) == 0


def test_an_answer_for_a_lost_connection_is_thrown_away() -> None:
    old, new = Wire(epoch=1), Wire(epoch=2)
    stale = old.receive(b"x", 7)
    new.receive(b"x", 7)
    new.answer(stale)
    assert new.written() == []
    assert len(new.delivery) == 1


def test_a_worker_that_leaves_takes_no_more_messages_with_qos_1() -> None:
    wire = Wire()
    wire.delivery.close()
    assert wire.delivery.received(Publish("in", b"x", 7), 0.0, 0.0) is None
    assert wire.written() == []
    assert len(wire.delivery) == 0
    assert wire.receive(b"lost otherwise") is not None


def test_a_worker_that_leaves_keeps_what_is_answered_and_leaves_what_waits() -> None:
    wire = Wire(receive_maximum=1)
    for packet_id in (1, 2):
        wire.answer(wire.receive(b"%d" % packet_id, packet_id))
    wire.receive(b"waits in the slot", 3)
    assert len(wire.delivery) == 3
    wire.delivery.close()
    assert len(wire.delivery) == 2
    for _ in range(2):
        [published] = [found for found in wire.written() if isinstance(found, Publish)]
        wire.delivery.confirmed(PubAck(published.packet_id))
    assert wire.written() == [PubAck(2)]
    assert len(wire.delivery) == 0


def test_an_answer_that_was_refused_is_said_once_and_settles_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire()
    caplog.set_level(logging.WARNING)
    for packet_id in (1, 2):
        wire.answer(wire.receive(b"%d" % packet_id, packet_id))
        [published] = wire.written()
        assert isinstance(published, Publish)
        wire.delivery.confirmed(PubAck(published.packet_id, 0x87))
        assert wire.written() == [PubAck(packet_id)]
    assert [record.getMessage() for record in caplog.records] == [
        "answer_refused reason=not authorized (0x87)"
    ]


def test_an_answer_with_an_impossible_topic_settles_its_message() -> None:
    wire = Wire()
    message = wire.receive(b"x", 7)
    answer = Outgoing("t" * 70_000, b"out")
    wire.delivery.settle([Settled(message.token, answer)])
    assert wire.written() == [PubAck(7)]
    assert len(wire.delivery) == 0
    assert wire.left_out == [("answer_impossible", answer)]


def test_an_answer_that_the_broker_does_not_take_settles_its_message() -> None:
    wire = Wire(maximum_packet_size=1000)
    message = wire.receive(b"x", 7)
    answer = Outgoing("out", bytes(1000))
    wire.delivery.settle([Settled(message.token, answer), Settled(0, answer)])
    assert wire.written() == [PubAck(7)]
    assert len(wire.delivery) == 0
    assert wire.left_out == [("answer_too_large", answer)] * 2


def test_unreadable_messages_are_acknowledged() -> None:
    wire = Wire()
    wire.delivery.unreadable(Unreadable(7, "packet_too_large"))
    wire.delivery.unreadable(Unreadable(0, "packet_too_large"))
    assert wire.written() == [PubAck(7)]
    assert wire.left_out == [("unreadable", None)] * 2


def test_what_is_left_out_is_said_once_a_connection_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire(maximum_packet_size=1000)
    caplog.set_level(logging.WARNING)
    for number in range(3):
        wire.delivery.unreadable(Unreadable(0, f"packet_too_large: found {number} bytes"))
        wire.delivery.settle([Settled(0, Outgoing("out", bytes(2000 + number)))])
    assert [record.getMessage() for record in caplog.records] == [
        "message_unreadable reason=packet_too_large: found 0 bytes",
        "answer_too_large bytes=2003 topic='out'",
    ]


def test_ids_of_answers_that_are_on_their_way_are_not_given_again() -> None:
    wire = Wire()
    wire.answer(wire.receive(b"x", 7))
    [published] = wire.written()
    assert isinstance(published, Publish)
    ids = {wire.delivery.next_id() for _ in range(65534)}
    assert len(ids) == 65534
    assert published.packet_id not in ids


def test_a_message_without_expiry_never_expires() -> None:
    wire = Wire()
    assert wire.receive(b"x").expires_s == 0.0
    at_once = wire.delivery.received(Publish("in", b"x", expiry_s=0), 1000.0, 5e8)
    assert at_once is not None
    assert (at_once.arrived_s, at_once.expires_s, at_once.received_s) == (1000.0, 1000.0, 5e8)


def test_content_type_and_correlation_are_told_with_mqtt_5_only() -> None:
    answer = Outgoing("out", b"x", "application/json", b"c")
    found = []
    for version in (V311, V5):
        out: list[bytes] = []
        delivery = Delivery(1, PacketWriter(version), out, lambda _reason, _answer: None)
        delivery.settle([Settled(0, answer)])
        found += PacketReader(version).feed(b"".join(out))
    assert found == [
        Publish("out", b"x"),
        Publish("out", b"x", content_type="application/json", correlation=b"c"),
    ]
