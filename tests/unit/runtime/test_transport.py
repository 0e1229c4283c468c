"""The worker's connection against a broker that does what the test tells it to."""

import threading

import pytest

from edge_agent.errors import InvalidInput
from edge_agent.runtime.comeback import MOST_SHORT
from edge_agent.runtime.loop import READ
from tests.support.scripted_broker import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UNSUBSCRIBE,
    ScriptedBroker,
    leave,
    message,
    packet,
    string,
)
from tests.support.transports import RunningTransport, SentPieces
from tests.support.waiting import wait_for

V311, V5 = 4, 5


def puback(packet_id: int) -> bytes:
    return packet(PUBACK, packet_id.to_bytes(2, "big"))


def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1_at_once() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url) as running:
        first = broker.accept()
        assert first.expect(CONNECT)[6] == V5
        first.send(packet(CONNACK, b"\x00\x01"))
        second = broker.accept()
        assert second.let_in()[6] == V311
        running.wait_connected()
        assert running.lost == []
        second.close()
        assert broker.accept().let_in()[6] == V311, "remembered"


def test_a_broker_that_hangs_up_on_mqtt_5_gets_3_1_1_next() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url) as running:
        first = broker.accept()
        assert first.expect(CONNECT)[6] == V5
        first.close()
        assert broker.accept().let_in()[6] == V311
        running.wait_connected()


def test_a_wanted_version_is_kept() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="5") as running,
    ):
        first = broker.accept()
        assert first.expect(CONNECT)[6] == V5
        first.send(packet(CONNACK, b"\x00\x01"))
        assert "unsupported protocol version" in running.wait_lost()
        assert broker.accept().expect(CONNECT)[6] == V5


def test_user_and_password_are_shown() -> None:
    with ScriptedBroker() as broker:
        url = broker.url.replace("//", "//anna:p%40ss@")
        with RunningTransport(url, protocol="3.1.1") as running:
            peer = broker.accept()
            assert peer.expect(CONNECT).endswith(
                string("device_slot") + string("anna") + string("p@ss")
            )
            peer.send(packet(CONNACK, b"\x00\x04"))
            assert "bad user name or password" in running.wait_lost()
            assert "p@ss" not in running.lost[0]


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


def test_several_filters_and_stale_ones() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(
            broker.url, protocol="3.1.1", filters=["a", "b/+"], stale_filters=["old", "a"]
        ) as running,
    ):
        peer = broker.accept()
        peer.expect(CONNECT)
        peer.send(packet(CONNACK, b"\x01\x00"))
        assert peer.expect(UNSUBSCRIBE)[2:] == string("old")
        body = peer.expect(SUBSCRIBE)
        assert body[2:] == string("a") + b"\x01" + string("b/+") + b"\x01"
        peer.send(packet(SUBACK, body[:2] + b"\x01\x01"))
        running.wait_connected()
        assert running.connected == [True]


def test_a_refused_subscription_ends_the_connection_with_its_name() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1", filters=["a", "b"]) as running,
    ):
        peer = broker.accept()
        peer.expect(CONNECT)
        peer.send(packet(CONNACK, b"\x00\x00"))
        body = peer.expect(SUBSCRIBE)
        peer.send(packet(SUBACK, body[:2] + b"\x01\x80"))
        assert "refused the subscription to ['b']" in running.wait_lost()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x30\xff\xff\xff\xff\xff", "at most four bytes"),
        (b"\xf0\x00", "0xf0"),
        (packet(CONNACK, b"\x00\x00"), "ConnAck packet out of turn"),
    ],
)
def test_what_is_no_mqtt_ends_the_connection_with_a_reason(data: bytes, reason: str) -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        peer.send(data)
        assert reason in running.wait_lost()
        broker.accept().let_in()
        running.wait_connected(2)


def test_anything_else_than_an_answer_to_connect_is_refused() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        broker.accept().send(puback(1))
        assert "PubAck packet where CONNACK was expected" in running.wait_lost()


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


def test_a_broker_that_fell_silent_is_left() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url) as running:
        peer = broker.accept()
        peer.let_in(b"\x00\x00" + b"\x03\x13\x00\x01")  # keep alive of one second
        running.wait_connected()
        peer.expect(PINGREQ)
        assert "keep alive timeout" in running.wait_lost()


def test_a_client_that_is_thrown_out_again_and_again_comes_back_more_and_more_slowly() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url, protocol="3.1.1") as running:
        for number in range(1, 4):
            peer = broker.accept()
            peer.let_in()
            peer.close()
            running.wait_lost(number)
        assert running.transport._returning.known.attempt >= 1


def test_another_client_with_its_name_is_told_by_mqtt_5_at_once() -> None:
    rivals: list[str] = []
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, on_rival=rivals.append) as running,
    ):
        peer = broker.accept()
        peer.let_in(b"\x00\x00\x00")
        running.wait_connected()
        peer.send(packet(DISCONNECT, b"\x8e\x00"))
        lost = running.wait_lost()
    assert "another client uses the name 'device_slot'" in lost
    assert "agent.device" in lost
    assert rivals == [lost]


def test_another_client_with_its_name_is_suspected_on_3_1_1_when_it_is_thrown_out_again() -> None:
    rivals: list[str] = []
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1", on_rival=rivals.append) as running,
    ):
        for number in range(1, 30):  # on a slow machine, some of them may not end soon
            peer = broker.accept()
            peer.let_in()
            running.wait_connected(number)
            peer.close()
            running.wait_lost(number)
            if rivals:
                break
    assert "was lost" in running.lost[0]
    assert len(running.lost) >= MOST_SHORT
    assert "seems to use the name 'device_slot'" in running.lost[-1]
    assert rivals == [running.lost[-1]]


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


def test_a_worker_that_is_told_to_stop_says_goodbye_and_keeps_its_session() -> None:
    with (
        ScriptedBroker() as broker,
        RunningTransport(broker.url, protocol="3.1.1") as running,
    ):
        peer = broker.accept()
        connect = peer.let_in()
        assert connect[7] & 0x02 == 0, "no clean session"
        running.wait_connected()
        peer.send(message("in", b"last", 3))
        _, answer_id = peer.answer()
        running.transport.stop()
        peer.send(puback(answer_id))
        assert peer.expect(PUBACK) == b"\x00\x03"
        leave(peer)
        assert running.left.wait(30)


def test_a_worker_that_waits_for_its_broker_stops_at_once() -> None:
    with RunningTransport("mqtt://127.0.0.1:1") as running:
        assert "cannot connect" in running.wait_lost()
        running.transport.stop()
        assert running.left.wait(30)


def test_a_worker_that_lost_its_broker_stops_at_once() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url, protocol="3.1.1") as running:
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        broker.__exit__()
        running.wait_lost()
        running.transport.stop()
        assert running.left.wait(30)


def test_a_worker_whose_broker_is_silent_leaves_nevertheless() -> None:
    with ScriptedBroker() as broker, RunningTransport(broker.url, protocol="3.1.1") as running:
        peer = broker.accept()
        peer.let_in()
        running.wait_connected()
        peer.send(message("in", b"never acknowledged", 3))
        peer.answer()
        running.transport.stop()
        assert running.left.wait(30)
        peer.expect(DISCONNECT)


def test_a_transport_without_a_filter_is_refused() -> None:
    with pytest.raises(InvalidInput):
        RunningTransport("mqtt://h", filters=[])
