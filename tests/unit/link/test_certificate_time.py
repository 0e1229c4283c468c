"""A certificate that is not valid now: people are told that it may be the device's clock."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge_agent.errors import Unavailable
from edge_agent.link.broker import BrokerLink
from edge_agent.link.dial import Dialer
from edge_agent.link.probe import visit
from edge_agent.link.reach import reach_cloud
from tests.support.certificates import self_signed, server_context

DAYS = {"certificate_not_yet_valid": "+10d", "certificate_expired": "-10d"}


@contextmanager
def served(certificate: Path) -> Iterator[int]:
    """A server that shows it to everybody, and says no more; its port."""
    context = server_context(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer, suppress(OSError, ssl.SSLError):
                        context.wrap_socket(peer, server_side=True).close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.needs("openssl")
@pytest.mark.needs("faketime")
@pytest.mark.parametrize("code", DAYS)
def test_a_certificate_of_another_time_is_blamed_on_the_clock(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    with monkeypatch.context() as then:
        then.setitem(os.environ, "LD_PRELOAD", str(library))
        then.setitem(os.environ, "FAKETIME", DAYS[code])
        certificate = self_signed(tmp_path)
    with served(certificate) as port:
        with pytest.raises(Unavailable) as by_http:
            reach_cloud(f"https://127.0.0.1:{port}", ca_file=str(certificate))
        link = BrokerLink(url=f"mqtts://127.0.0.1:{port}", ca_file=str(certificate))
        with pytest.raises(Unavailable) as by_mqtt:
            visit(link, "line-1", dialer=Dialer())
    for caught in (by_http, by_mqtt):
        assert caught.value.code == code
        assert "this device's clock" in caught.value.text
        assert "edge-agent check" in caught.value.hint
