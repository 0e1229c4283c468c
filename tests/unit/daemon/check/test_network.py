"""What `edge-agent check` says about names and about what servers show."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.config import AgentSection, CloudSection, Settings
from edge_agent.daemon.check import network
from edge_agent.daemon.check.finding import Finding, finding_lines
from edge_agent.daemon.check.network import check_name, check_network
from edge_agent.link.dial import Address, Dialer
from edge_agent.store.clock import ClockState
from tests.support.dated_certificates import DAY_S, Issued, issue


def resolving(host: str, _port: int) -> list[Address]:
    if host != "cloud.example":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [
        (socket.AF_INET, ("192.0.2.7", 0)),
        (socket.AF_INET6, ("2001:db8::7", 0, 0, 0)),
    ]


def test_the_addresses_of_a_name_are_told() -> None:
    found = check_name("cloud.example", Dialer(resolving))
    assert found.state == "ok"
    assert "cloud.example is 192.0.2.7, 2001:db8::7" in found.text


def test_a_name_that_is_not_known_is_warned_about() -> None:
    found = check_name("cloud.exampel", Dialer(resolving))
    assert (found.state, "cloud.exampel" in found.text) == ("warn", True)
    assert "name servers" in found.hint


def test_an_address_needs_no_name() -> None:
    assert "is an address" in check_name("127.0.0.1", Dialer(resolving)).text


def test_a_resolver_that_is_silent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LOOK_UP_S", 0.05)
    may_end = threading.Event()

    def silent(_host: str, _port: int) -> list[Address]:
        may_end.wait(60)
        raise OSError("late")

    try:
        found = check_name("cloud.example", Dialer(silent))
    finally:
        may_end.set()
    assert (found.state, "resolver is silent" in found.text) == ("warn", True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Issued]]:
    """Shakes hands by TLS, and says nothing more; its certificate ends in ten days."""
    now = time.time()
    own = issue(tmp_path, "server", not_before=now - DAY_S, not_after=now + 10.5 * DAY_S)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own.cert_file, own.key_file)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                try:
                    tls.wrap_socket(plain, server_side=True).close()
                except OSError:
                    plain.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], own
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(30)


def found_at(port: int, ca_file: str) -> dict[str, Finding]:
    settings = Settings(
        agent=AgentSection(device="line-1"),
        cloud=CloudSection(
            url=f"https://127.0.0.1:{port}", broker=f"mqtts://127.0.0.1:{port}", ca_file=ca_file
        ),
    )
    clock = ClockState(is_synced=True, system=time.time())
    return {one.name: one for one in check_network(settings, clock, Dialer())}


def test_a_servers_certificate_that_ends_soon_is_warned_about(server: tuple[int, Issued]) -> None:
    port, own = server
    found = found_at(port, str(own.cert_file))
    assert found["cloud TLS"].state == "warn"
    assert "(10 days)" in found["cloud TLS"].text
    assert found["cloud broker TLS"].state == "warn"
    assert found["cloud"].state == found["cloud broker"].state == "warn", "it is neither"


def test_a_server_that_is_not_trusted_is_told_by_the_connection(
    server: tuple[int, Issued], tmp_path: Path
) -> None:
    port, _ = server
    other = issue(tmp_path, "other", not_before=1.0, not_after=time.time() + DAY_S)
    found = found_at(port, str(other.cert_file))
    assert "certificate verify failed" in found["cloud"].text
    assert "cloud TLS" not in found


def test_a_finding_is_shown_aligned_and_no_wider_than_a_screen() -> None:
    finding = Finding(name="disk", state="warn", text="word " * 60, hint="do " * 60)
    shown = "\n".join(finding_lines(finding)).splitlines()
    assert max(map(len, shown)) <= 100
    assert shown[0].startswith("warn  disk")
    column = shown[0].index("word")
    assert all(line[:column].strip() == "" for line in shown[1:])
    fine = Finding(name="disk", state="ok", text="x", hint="not shown")
    assert list(finding_lines(fine)) == ["ok    disk              x"]
