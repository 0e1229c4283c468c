"""The proxy that all network tests rely on does what it says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.fault_proxy import HOST, Fault, FaultProxy
from tests.support.waiting import wait_for

DATA = bytes(range(256)) * 40


@pytest.fixture
def echo() -> Iterator[int]:
    """Sends back what comes; its port."""
    listener = socket.create_server((HOST, 0))

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client:
            while data := client.recv(4096):
                client.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.fixture
def proxy(echo: int) -> Iterator[FaultProxy]:
    one = FaultProxy(echo)
    yield one
    one.close()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=20)


def take(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := client.recv(size - len(found))):
        found += data
    return found


def is_silent(client: socket.socket, for_s: float = 0.2) -> bool:
    client.settimeout(for_s)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(20)
    return False


def test_without_a_fault_everything_passes_and_ends_are_told(proxy: FaultProxy):
    with connect(proxy) as client:
        client.sendall(DATA)
        assert take(client, len(DATA)) == DATA
        client.close()
    wait_for(lambda: proxy.open == 0)


def test_a_black_hole_holds_old_and_new_connections_and_then_lets_go(proxy: FaultProxy):
    with connect(proxy) as old:
        old.sendall(b"a")
        assert take(old, 1) == b"a"
        proxy.set(Fault.BLACK_HOLE)
        with connect(proxy) as new:
            old.sendall(b"b")
            new.sendall(b"c")
            assert is_silent(old)
            assert is_silent(new)
            proxy.heal()
            assert (take(old, 1), take(new, 1)) == (b"b", b"c")


def test_what_is_swallowed_is_lost_and_the_connection_stays_dead(proxy: FaultProxy):
    with connect(proxy) as client:
        client.sendall(b"a")
        assert take(client, 1) == b"a"
        proxy.set(Fault.SWALLOW)
        client.sendall(b"b")
        assert is_silent(client)
        proxy.heal()
        client.sendall(b"c")
        assert is_silent(client)
    with connect(proxy) as client:
        client.sendall(b"d")
        assert take(client, 1) == b"d"


def test_a_half_open_connection_is_never_told(proxy: FaultProxy):
    with connect(proxy) as client:
        client.sendall(b"a")
        assert take(client, 1) == b"a"
        proxy.set(Fault.HALF_OPEN)
        proxy.heal()
        client.sendall(b"b")
        assert is_silent(client)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.TRUNCATE])
def test_a_connection_ends_after_so_many_bytes(proxy: FaultProxy, fault: Fault):
    proxy.set(fault, after_bytes=1000)
    with connect(proxy) as client:
        client.sendall(DATA)
        found = 0
        is_reset = False
        try:
            while data := client.recv(4096):
                found += len(data)
        except ConnectionResetError:
            is_reset = True
    # What a reset overtakes is lost.
    assert found <= 1000
    assert is_reset or (fault is Fault.TRUNCATE and found == 1000)


def test_a_drip_is_a_drip_until_it_is_over(proxy: FaultProxy):
    proxy.set(Fault.DRIP, bytes_per_s=1)
    with connect(proxy) as client:
        client.sendall(DATA)
        assert len(client.recv(4096)) <= 3
        proxy.heal()
        assert len(take(client, len(DATA) - 3)) == len(DATA) - 3


def test_a_delay_delays_and_loses_nothing(proxy: FaultProxy):
    proxy.set(Fault.DELAY, delay_s=0.3)
    with connect(proxy) as client:
        client.sendall(b"a")
        assert is_silent(client, 0.1)
        assert take(client, 1) == b"a"


def test_who_is_refused_is_let_in_on_the_same_port_later(proxy: FaultProxy):
    with connect(proxy) as old:
        proxy.set(Fault.REFUSED)
        with pytest.raises(ConnectionResetError):
            old.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        proxy.heal()
        with connect(proxy) as client:
            client.sendall(b"a")
            assert take(client, 1) == b"a"
