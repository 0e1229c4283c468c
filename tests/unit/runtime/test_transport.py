"""What goes through the worker's connection, with a broker that does as it is told."""

import threading

from edge_agent.runtime.loop import READ
from tests.support.scripted_broker import (
    PUBACK,
    PUBLISH,
    ScriptedBroker,
    leave,
    message,
    packet,
    puback,
    string,
)
from tests.support.transports import RunningTransport, SentPieces
from tests.support.waiting import wait_for


def test_an_input_is_acknowledged_when_the_broker_has_its_answer() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        peer = broker.accept()
        peer.let_in()
        peer.send(message("in", b"one", 7))
        payload, answer_id = peer.answer()
        assert payload == b"one"
        peer.send(message("in", b"two"))
        assert peer.answer() == (b"two", 0), "no acknowledgement came before it"
        peer.send(puback(answer_id))
        assert peer.expect(PUBACK) == b"\x00\x07"
        peer.send(message("in", b"hush", 8))
        assert peer.expect(PUBACK) == b"\x00\x08", "without an answer there is nothing to wait for"
        running.transport.stop()
        leave(peer)


def test_an_acknowledgement_leaves_with_the_answer_of_what_came_with_it() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        sends = SentPieces(running.transport)
        running.slot.sends = lambda: len(sends.seen)
        peer.send(message("in", b"one", 7))
        _, answer_id = peer.answer()
        peer.send(puback(answer_id) + message("in", b"two", 8))
        assert peer.expect(PUBACK) == b"\x00\x07"
        assert peer.answer()[0] == b"two"
        wait_for(lambda: len(running.slot.sent_at) == 2)
        assert [len(pieces) for pieces in sends.seen] == [1, 2]
        assert running.slot.sent_at == [1, 2], "each time the bytes were out"


def test_an_acknowledgement_does_not_wait_for_a_slow_batch() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        running.slot.seconds = 0.01
        peer.send(message("in", b"one", 7))
        _, answer_id = peer.answer()
        running.slot.may_run.clear()
        peer.send(puback(answer_id) + message("in", b"two", 8))
        assert peer.expect(PUBACK) == b"\x00\x07", "while the second batch runs"
        running.slot.may_run.set()
        assert peer.answer()[0] == b"two"


def test_an_acknowledgement_does_not_wait_for_a_batch_that_may_end_the_process() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        peer.send(message("in", b"one", 7))
        _, answer_id = peer.answer()
        running.slot.is_wary = True
        running.slot.may_run.clear()
        peer.send(puback(answer_id) + message("in", b"two", 8))
        assert peer.expect(PUBACK) == b"\x00\x07", "before the second batch is over, if it ever is"
        running.slot.may_run.set()
        assert peer.answer()[0] == b"two"


def test_what_arrives_together_is_answered_together() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        peer.send(*(message("in", b"%d" % number) for number in range(50)))
        assert [peer.answer()[0] for _ in range(50)] == [b"%d" % number for number in range(50)]
        assert sum(running.slot.batches) == 50


def test_a_broker_that_reads_slowly_gets_everything_and_sends_no_more_meanwhile() -> None:
    payload, total = bytes(100_000), 300
    with ScriptedBroker() as broker, RunningTransport(broker.url, protocol="3.1.1") as running:
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        sender = threading.Thread(
            target=peer.send, args=[message("in", payload) for _ in range(total)]
        )
        sender.start()
        connection = running.transport._connection
        assert connection is not None
        wait_for(lambda: not connection._events & READ, 30)
        assert len(running.slot.seen) < total, "the rest stays with the broker"
        assert all(len(peer.answer()[0]) == len(payload) for _ in range(total))
        sender.join(30)
        assert len(running.slot.seen) == total


def test_copies_of_a_message_are_answered_once() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url, protocol="3.1.1"):
        peer = broker.accept()
        peer.let_in()
        peer.send(message("in", b"one", 7), message("in", b"one", 7, dup=True))
        _, answer_id = peer.answer()
        peer.send(message("in", b"one", 7, dup=True), puback(answer_id))
        assert peer.expect(PUBACK) == b"\x00\x07"
        peer.send(message("in", b"one", 7, dup=True))
        assert peer.expect(PUBACK) == b"\x00\x07", "the acknowledgement crossed the copy"
        peer.send(message("in", b"other", 7, dup=True))
        assert peer.answer()[0] == b"other"


def test_no_more_answers_are_unacknowledged_than_the_broker_takes() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url) as running:
        peer = broker.accept()
        peer.let_in(b"\x00\x00" + b"\x03\x21\x00\x01")  # receive maximum 1
        running.wait_connected()

        def publish(payload: bytes, packet_id: int) -> bytes:
            middle = packet_id.to_bytes(2, "big") + b"\x00"
            return packet(PUBLISH | 0x02, string("in") + middle + payload)

        peer.send(publish(b"one", 1), publish(b"two", 2), publish(b"hush", 3))
        first = peer.expect(PUBLISH)
        assert first.endswith(b"one")
        assert peer.expect(PUBACK) == b"\x00\x03", "the third needs no answer; the second waits"
        peer.send(packet(PUBACK, first[5:7]))
        assert peer.expect(PUBACK) == b"\x00\x01"
        assert peer.expect(PUBLISH).endswith(b"two")


def test_an_answer_that_the_broker_cannot_take_is_given_up() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url) as running:
        peer = broker.accept()
        peer.let_in(b"\x00\x00" + b"\x05\x27\x00\x00\x01\x00")  # packets of 256 bytes
        running.wait_connected()
        body = string("in") + b"\x00\x05" + b"\x00" + bytes(300)
        peer.send(packet(PUBLISH | 0x02, body))
        assert peer.expect(PUBACK) == b"\x00\x05"


def test_what_mqtt_5_says_about_a_message_reaches_the_slot_and_the_answer() -> None:
    told = (
        b"\x02\x00\x00\x00\x3c"
        + (b"\x03" + string("application/cbor"))
        + (b"\x08" + string("answers/here"))
        + (b"\x09" + string("c0rr"))
    )
    with ScriptedBroker() as broker, RunningTransport(broker.url) as running:
        peer = broker.accept()
        peer.let_in(b"\x00\x00\x00")
        peer.send(packet(PUBLISH, string("in") + bytes((len(told),)) + told + b"x"))
        echoed = (b"\x03" + string("application/cbor")) + (b"\x09" + string("c0rr"))
        assert peer.expect(PUBLISH) == (
            string("answers/here") + bytes((len(echoed),)) + echoed + b"x"
        )
        seen = running.slot.seen[0]
        assert seen.expires_s == seen.arrived_s + 60
        assert (seen.content_type, seen.reply_to) == ("application/cbor", "answers/here")


def test_a_message_that_is_too_long_is_acknowledged_and_left_out() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1", max_packet_bytes=1000) as running,
    ):
        peer = broker.accept()
        peer.let_in()
        peer.send(message("in", bytes(500_000), 9), message("in", b"next"))
        assert peer.expect(PUBACK) == b"\x00\x09"
        assert peer.answer() == (b"next", 0)
        assert running.lost == []
        assert running.slot.left_out_for == ["unreadable"]


def test_a_lost_connection_withdraws_what_comes_again() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        first = broker.accept()
        first.let_in()
        first.send(message("in", b"one", 7))
        _, answer_id = first.answer()
        first.close()
        assert "was lost" in running.wait_lost()
        assert running.slot.withdrawals == 1
        second = broker.accept()
        second.let_in(b"\x01\x00")
        second.send(message("in", b"one", 7, dup=True))
        assert second.answer()[0] == b"one", "ids of the lost connection mean nothing here"
        second.send(puback(answer_id))
        running.wait_connected(2)
