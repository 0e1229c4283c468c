"""The cloud session on real brokers."""

import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.daemon.watchdog import LONGEST_ROUND_S
from edge_agent.errors import ConfigError, Unavailable
from edge_agent.link.broker import CONNECT_TIMEOUT_S, MAX_IN_FLIGHT, BrokerLink
from edge_agent.link.probe import read_retained, visit
from edge_agent.link.reconnect import health_delay_s, reconnect_delay_s
from edge_agent.link.session import CONFIRM_S, HANDSHAKE_S, CloudSession, SessionEvents, Will
from edge_agent.store.clock import Clock
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.certificates import self_signed
from tests.support.real_clock import RealClock
from tests.support.silent_broker import SilentBroker
from tests.support.waiting import wait_for


class Listener:
    def __init__(self) -> None:
        self.connected: list[bool] = []
        self.lost: list[str] = []
        self.messages: list[tuple[str, bytes]] = []

    def events(self) -> SessionEvents:
        return SessionEvents(
            on_connected=self.connected.append,
            on_disconnected=self.lost.append,
            on_message=lambda topic, payload: self.messages.append((topic, payload)),
        )


def make(
    url: str,
    listener: Listener,
    client_id: str = "line-1",
    *,
    ca_file: str = "",
    clock: Clock | None = None,
) -> CloudSession:
    return CloudSession(
        BrokerLink(url=url, ca_file=ca_file),
        client_id,
        filters=("t/in",),
        make_will=lambda: Will(topic="t/status", payload=b"lost"),
        clock=clock or RealClock(),
        events=listener.events(),
    )


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def session(any_broker: Broker, listener: Listener) -> Iterator[CloudSession]:
    session = make(any_broker.url, listener)
    session.start()
    wait_for(lambda: session.is_connected)
    yield session
    session.stop()


def test_messages_go_both_ways(session: CloudSession, listener: Listener):
    assert session.publish("t/in", b"hello")
    wait_for(lambda: listener.messages == [("t/in", b"hello")])


def test_a_goodbye_is_retained_and_replaces_the_will(
    session: CloudSession, any_broker: Broker, listener: Listener
):
    session.publish("t/status", b"here", retain=True)
    session.stop(Will(topic="t/status", payload=b"bye"))
    assert not session.is_connected
    assert read_retained(BrokerLink(url=any_broker.url), "probe", "t/status") == b"bye"


def test_its_own_goodbye_is_no_warning(
    session: CloudSession, listener: Listener, caplog: pytest.LogCaptureFixture
):
    session.stop()
    assert listener.lost
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_broker_that_comes_back_is_found_again(
    session: CloudSession, any_broker: Broker, listener: Listener
):
    any_broker.stop()
    wait_for(lambda: listener.lost)
    assert not session.is_connected
    assert not session.publish("t/in", b"x")
    wait_for(lambda: session.last_error)
    any_broker.start()
    wait_for(lambda: session.is_connected, 30)
    # The session was persistent: the broker remembered the subscription.
    assert session.last_error == ""
    wait_for(lambda: session.publish("t/in", b"again"))
    wait_for(lambda: ("t/in", b"again") in listener.messages)


def test_a_link_that_comes_and_goes_does_not_pile_up_messages(listener: Listener):
    with SilentBroker() as broker:
        session = make(broker.url, listener)
        session.start()
        wait_for(lambda: session.is_connected)
        taken = sum(session.publish("t/in", b"x") for _ in range(3 * MAX_IN_FLIGHT))
        assert taken == MAX_IN_FLIGHT
        broker.drop()
        wait_for(lambda: len(listener.connected) == 2, 20)
        # The client still has them all, and sends them again by itself.
        assert not session.publish("t/in", b"one more")
        session.stop()


class LeapingClock(RealClock):
    """The machine's, and `leap_s` more."""

    leap_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leap_s


def test_a_broker_that_confirms_nothing_is_left_and_one_that_owes_nothing_is_not(
    listener: Listener,
):
    clock = LeapingClock()
    with SilentBroker() as broker:
        session = make(broker.url, listener, clock=clock)
        session.start()
        wait_for(lambda: session.is_connected)
        clock.leap_s += 2 * CONFIRM_S
        wait_for(lambda: session.progress >= clock.monotonic() - 1.5, 30)
        assert listener.lost == []
        assert session.publish("t/in", b"x")
        clock.leap_s += 2 * CONFIRM_S
        wait_for(lambda: listener.lost, 30)
        assert "confirmed nothing" in listener.lost[0]
        session.stop()


def test_another_client_with_the_same_id_is_a_loss_and_the_will_is_told(
    session: CloudSession, any_broker: Broker, listener: Listener
):
    session.publish("t/status", b"here", retain=True)
    visit(BrokerLink(url=any_broker.url), "line-1")
    wait_for(lambda: listener.lost)
    wait_for(lambda: len(listener.connected) == 2, 20)


def test_it_stays_away_while_it_is_held(session: CloudSession, listener: Listener):
    session.hold(True)
    wait_for(lambda: listener.lost)
    assert not session.is_connected
    session.hold(False)
    wait_for(lambda: session.is_connected, 20)


def test_publishing_from_many_threads_keeps_packets_whole(
    session: CloudSession, listener: Listener
):
    def send(number: int) -> None:
        for index in range(25):
            payload = f"{number}:{index} ".encode() * 200
            wait_for(partial(session.publish, "t/in", payload))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    wait_for(lambda: len(listener.messages) >= 100, 20)
    expected = {f"{n}:{i} ".encode() * 200 for n in range(4) for i in range(25)}
    assert {payload for _, payload in listener.messages} == expected


def test_an_attempt_to_connect_is_over_long_before_the_watchdog_loses_patience():
    assert CONNECT_TIMEOUT_S + HANDSHAKE_S < LONGEST_ROUND_S


def test_nobody_listening_is_said_and_tried_for_ever(listener: Listener):
    session = make("mqtt://127.0.0.1:1", listener)
    session.start()
    assert "cannot be reached" in wait_for(lambda: session.last_error)
    session.stop()
    with pytest.raises(Unavailable) as caught:
        visit(BrokerLink(url="mqtt://127.0.0.1:1"), "x")
    assert caught.value.code == "broker_unreachable"


def test_a_retained_message_that_is_not_there_is_none(any_broker: Broker):
    assert read_retained(BrokerLink(url=any_broker.url), "probe", "t/nothing") is None


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path, listener: Listener):
    link = BrokerLink(url="mqtts://localhost", ca_file=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match=r"none\.pem"):
        visit(link, "x")


@pytest.mark.needs("openssl")
@pytest.mark.needs("mosquitto")
def test_messages_go_both_ways_over_tls(tmp_path: Path, listener: Listener):
    certificate = self_signed(tmp_path)
    broker = MosquittoBroker(tmp_path / "mosquitto", certificate=certificate)
    broker.start()
    session = make(broker.url, listener, ca_file=str(certificate))
    stranger = make(broker.url, Listener(), "stranger")
    try:
        session.start()
        wait_for(lambda: session.is_connected, 30, lambda: session.last_error)
        payload = bytes(range(256)) * 1000
        assert session.publish("t/in", payload)
        wait_for(lambda: ("t/in", payload) in listener.messages, 30)
        # Whom nobody vouches for is not spoken to.
        stranger.start()
        assert "certificate verify failed" in wait_for(lambda: stranger.last_error, 30)
    finally:
        stranger.stop()
        session.stop()
        broker.stop()


def test_an_address_has_the_usual_ports_and_hides_its_password():
    link = BrokerLink(url="mqtts://user:secret@host")
    assert (link.host, link.port, link.is_encrypted) == ("host", 8883, True)
    assert link.shown == "mqtts://host:8883"
    assert BrokerLink(url="mqtt://host").port == 1883


def test_reconnecting_backs_off_with_full_jitter():
    assert [reconnect_delay_s(n, 1.0) for n in (1, 2, 3, 7, 5000)] == [1, 2, 4, 60, 60]
    assert reconnect_delay_s(9, 0.0) == 0


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 86_400), st.booleans())
def test_a_return_lies_within_the_backoff_or_the_fleets_window(attempt, chance, spread_s, was_lost):
    delay = reconnect_delay_s(attempt, chance, spread_s=spread_s, was_ready=was_lost)
    assert 0 <= delay <= max(60, spread_s)
    # A broker that refuses is no reason to wait for hours: that is what the first wait was for.
    assert was_lost or delay <= 60
    assert reconnect_delay_s(attempt, 1.0, spread_s=spread_s, was_ready=True) >= spread_s


@given(st.floats(1, 86_400), st.floats(0, 1), st.floats(0, 86_400))
def test_health_after_a_return_waits_less_than_its_own_interval(interval_s, chance, spread_s):
    assert health_delay_s(interval_s, chance, spread_s=0.0) == 0
    assert 0 <= health_delay_s(interval_s, chance, spread_s=spread_s) <= min(interval_s, spread_s)
