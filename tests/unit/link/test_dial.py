"""Opening connections: no name, address or handshake holds anybody up for longer than was said."""

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.link.dial import MOST_ADDRESSES, Address, Dialer, share_s

SOON_S = 0.3


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Accepts, by the kernel alone, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def silent_address() -> Iterator[tuple[str, int]]:
    """Nobody accepts, and its queue is full: a connection is neither made nor refused."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            waiting.append(client)
        yield server.getsockname()
        for client in waiting:
            client.close()


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_a_connection_is_tended(listener: socket.socket):
    with Dialer().connect("localhost", port_of(listener), timeout_s=10) as found:
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


def test_a_resolver_that_hangs_is_not_waited_for_and_never_asked_by_two_threads():
    may_answer = threading.Event()
    asked: list[str] = []

    def hang(host: str, port: int) -> list[Address]:
        asked.append(host)
        assert may_answer.wait(30)
        return [(socket.AF_INET, ("127.0.0.1", port))]

    dialer = Dialer(hang)
    for _ in range(3):
        with pytest.raises(TimeoutError, match="its resolver is silent"):
            dialer.connect("broker.example", 1, timeout_s=0.1)
    assert asked == ["broker.example"]
    may_answer.set()


def test_an_answer_that_comes_late_serves_whoever_asks_then(listener: socket.socket):
    may_answer = threading.Event()

    def slow(host: str, port: int) -> list[Address]:
        may_answer.wait(30)
        return [(socket.AF_INET, ("127.0.0.1", port))]

    dialer = Dialer(slow)
    with pytest.raises(TimeoutError):
        dialer.connect("broker.example", port_of(listener), timeout_s=0.1)
    may_answer.set()
    dialer.connect("broker.example", port_of(listener), timeout_s=10).close()


def test_a_name_that_nobody_knows_is_said_each_time():
    def unknown(host: str, port: int) -> list[Address]:
        raise socket.gaierror(-2, "Name or service not known")

    dialer = Dialer(unknown)
    for _ in range(2):
        with pytest.raises(OSError, match="not known"):
            dialer.connect("broker.example", 1, timeout_s=10)


def test_an_address_needs_no_resolver(listener: socket.socket):
    def never(host: str, port: int) -> list[Address]:
        raise AssertionError("asked")

    Dialer(never).connect("127.0.0.1", port_of(listener), timeout_s=10).close()


def test_many_addresses_that_swallow_everything_share_one_bound(silent_address: tuple[str, int]):
    tried: list[Address] = [(socket.AF_INET, silent_address)] * 100
    with pytest.raises(TimeoutError):
        Dialer(lambda host, port: tried).connect("broker.example", 1, timeout_s=SOON_S)


def test_a_dead_address_does_not_hide_the_one_that_lives(
    listener: socket.socket, silent_address: tuple[str, int]
):
    places: list[Address] = [
        (socket.AF_INET, silent_address),
        (socket.AF_INET, ("127.0.0.1", port_of(listener))),
    ]
    Dialer(lambda host, port: places).connect("broker.example", 1, timeout_s=2).close()


def test_a_handshake_that_stalls_ends_in_time_and_leaves_no_socket(listener: socket.socket):
    with pytest.raises(TimeoutError):
        Dialer().connect(
            "127.0.0.1", port_of(listener), timeout_s=SOON_S, tls=ssl.create_default_context()
        )
    client, _ = listener.accept()
    with client:
        client.settimeout(10)
        while client.recv(4096):
            pass  # the hello, and then the end


def test_a_port_without_tls_is_named_as_what_may_be_wrong(listener: socket.socket):
    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()

    server = threading.Thread(target=hang_up)
    server.start()
    with pytest.raises(ConnectionResetError, match="may be one without TLS"):
        Dialer().connect(*listener.getsockname(), timeout_s=10, tls=ssl.create_default_context())
    server.join(10)


@given(st.floats(-10, 1000), st.integers(0, 100))
def test_shares_of_the_time_never_add_up_to_more(left_s, addresses):
    assert 0 <= share_s(left_s, addresses) * max(1, addresses) <= max(0.0, left_s) * 1.0001
    assert MOST_ADDRESSES < 100
