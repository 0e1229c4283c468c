"""The worker's connection, from its beginning to its end, with a broker that does as it is told."""

import pytest

from edge_agent.errors import InvalidInput
from edge_agent.runtime.comeback import MOST_SHORT
from tests.support.scripted_broker import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    SUBACK,
    SUBSCRIBE,
    UNSUBSCRIBE,
    ScriptedBroker,
    leave,
    message,
    packet,
    puback,
    string,
)
from tests.support.transports import RunningTransport

V311, V5 = 4, 5


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
