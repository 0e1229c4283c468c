import logging
import socket
import threading
import time
from pathlib import Path

import pytest

from cloud_sync.broker.embedded import EmbeddedBroker, free_port
from cloud_sync.errors import Conflict


def test_broker_listens_where_its_url_says_and_is_gone_after_stop(tmp_path: Path):
    broker = EmbeddedBroker(tmp_path)
    broker.start()
    address = ("127.0.0.1", broker.port)
    socket.create_connection(address, timeout=2).close()
    assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
    broker.stop()
    broker.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=2)


def test_taken_port_is_named_in_the_error(tmp_path: Path):
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(Conflict, match=str(port)) as caught:
            EmbeddedBroker(tmp_path, port=port).start()
    assert caught.value.code == "port_taken"
    assert "--broker-port" in caught.value.hint


def test_the_server_chooses_the_port_that_nobody_uses_by_itself(tmp_path: Path):
    # Chosen by us, it could be taken by the time that the server starts.
    broker = EmbeddedBroker(tmp_path)
    broker.start()
    broker.stop()
    assert 'listen: "127.0.0.1:-1"' in (tmp_path / "nats.conf").read_text()
    assert "Listening for client connections on 127.0.0.1:" in (tmp_path / "nats.log").read_text()


def test_a_broker_that_an_earlier_service_left_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = EmbeddedBroker(tmp_path)
    old.start()
    new = EmbeddedBroker(tmp_path, port=old.port, old_broker_s=60.0)
    said = f"event=old_broker_ends pid={old.pid}"
    is_over = threading.Event()

    def end_the_old_one() -> None:
        deadline = time.monotonic() + 30
        while said not in caplog.text and time.monotonic() < deadline:
            if is_over.wait(0.05):
                break
        old.stop()

    # The new one is started here: a broker ends with the thread that started it.
    ending = threading.Thread(target=end_the_old_one)
    with caplog.at_level(logging.WARNING):
        ending.start()
        try:
            new.start()
            assert said in caplog.text
            socket.create_connection(("127.0.0.1", new.port), timeout=2).close()
        finally:
            is_over.set()
            ending.join(60)
            new.stop()


def test_a_broker_that_an_earlier_service_left_and_that_stays_is_named(tmp_path: Path) -> None:
    old = EmbeddedBroker(tmp_path)
    old.start()
    try:
        with pytest.raises(Conflict, match=f"process {old.pid}") as caught:
            EmbeddedBroker(tmp_path, old_broker_s=0.2).start()
    finally:
        old.stop()
    assert caught.value.code == "old_broker_runs"
