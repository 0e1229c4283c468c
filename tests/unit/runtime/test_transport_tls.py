"""The worker's connection over TLS."""

import ssl
from pathlib import Path

import pytest

from edge_agent.errors import ConfigError
from tests.support.certificates import self_signed, server_context
from tests.support.scripted_broker import ScriptedBroker, leave, message
from tests.support.transports import RunningTransport


def test_a_certificate_that_is_missing_is_said_before_anything_starts() -> None:
    with pytest.raises(ConfigError) as caught:
        RunningTransport("mqtts://h", ca_file="/nowhere/ca.pem")
    assert caught.value.code == "tls_invalid"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return self_signed(tmp_path)


@pytest.mark.needs("openssl")
def test_messages_over_tls(certificate: Path) -> None:
    context = server_context(certificate)
    with (
        ScriptedBroker(context) as broker,
        RunningTransport(broker.url, protocol="3.1.1", ca_file=str(certificate)) as running,
    ):
        peer = broker.accept()
        peer.let_in()
        payload = bytes(range(256)) * 1000
        peer.send(*(message("in", payload) for _ in range(20)))
        assert [peer.answer()[0] == payload for _ in range(20)] == [True] * 20
        running.transport.stop()
        leave(peer)


@pytest.mark.needs("openssl")
def test_a_broker_that_nobody_vouches_for_is_not_spoken_to(certificate: Path) -> None:
    context = server_context(certificate)
    with ScriptedBroker(context) as broker, RunningTransport(broker.url) as running:
        with pytest.raises(ssl.SSLError):
            broker.accept()
        assert "certificate verify failed" in running.wait_lost()
