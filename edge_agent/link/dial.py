"""Opening a connection to the cloud: name, TCP and TLS, all together within one bound.

The system's resolver can hang for as long as it likes, and a name can have many addresses that
swallow everything. Whoever dials waits no longer than it said, whatever the other side does.
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

MOST_ADDRESSES: Final = 8
UNANSWERED_S: Final = 20
"""Bytes that the other side has not confirmed for so long, or a silence of about so long without
an answer to the kernel's own questions, end a connection."""

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""Family, and what to connect to."""
Resolve = Callable[[str, int], list[Address]]


def look_up(host: str, port: int) -> list[Address]:
    """Ask the system's resolver. It may take for ever.

    Raises:
        OSError: it knows no such name, or cannot ask.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def share_s(left_s: float, addresses: int) -> float:
    """How long one of several addresses is tried.

    Args:
        left_s: for all of them together, seconds.
        addresses: that are left to try, this one included.
    """
    return max(0.0, left_s) / max(1, addresses)


class Dialer:
    """Opens connections. Any thread; each name is asked for by one thread at a time.

    Args:
        resolve: name and port to addresses; may hang.
    """

    def __init__(self, resolve: Resolve = look_up) -> None:
        self._resolve = resolve
        self._asking = threading.Lock()
        # A question that hangs is waited for again, so that threads never pile up.
        self._open: dict[tuple[str, int], _Question] = {}

    def connect(
        self,
        host: str,
        port: int,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
        receive_bytes: int = 0,
    ) -> socket.socket:
        """A connected socket, blocking.

        Args:
            host: name or address.
            port: of TCP.
            timeout_s: longest time for everything.
            tls: what a certificate is checked with; None for no TLS.
            receive_bytes: what the kernel may take in ahead of us; 0 for its own choice.

        Raises:
            OSError: no such name, nobody there, refused, no valid certificate, or not in time.
        """
        deadline = time.monotonic() + timeout_s
        addresses = self.look_up(host, port, timeout_s=timeout_s)
        failure: OSError = OSError(f"{host} has no address")
        for index, address in enumerate(addresses):
            left_s = share_s(deadline - time.monotonic(), len(addresses) - index)
            try:
                plain = _open(address, left_s, receive_bytes)
            except OSError as error:
                failure = error
                continue
            return plain if tls is None else self._encrypt(plain, host, tls, deadline)
        raise failure

    def look_up(self, host: str, port: int, *, timeout_s: float) -> list[Address]:
        """The addresses of a name, as a connection would try them.

        Args:
            host: name or address.
            port: of TCP.
            timeout_s: longest time.

        Raises:
            OSError: no such name, or not in time.
        """
        return self._addresses(host, port, time.monotonic() + timeout_s)[:MOST_ADDRESSES]

    def _encrypt(
        self, plain: socket.socket, host: str, tls: ssl.SSLContext, deadline: float
    ) -> socket.socket:
        try:
            # Of the whole handshake, not of each of its packets.
            plain.settimeout(max(0.001, deadline - time.monotonic()))
            return tls.wrap_socket(plain, server_hostname=host)
        except (ConnectionError, ssl.SSLEOFError) as error:
            plain.close()
            # Most servers that expect no TLS hang up at its first bytes.
            raise ConnectionResetError(
                f"the other side ended the TLS handshake ({error}): its port may be one without TLS"
            ) from error
        except BaseException:
            plain.close()
            raise

    def _addresses(self, host: str, port: int, deadline: float) -> list[Address]:
        with suppress(ValueError):
            version = ipaddress.ip_address(host).version
            return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]
        with self._asking:
            question = self._open.get((host, port))
            if question is None:
                question = self._open[host, port] = _Question()
                threading.Thread(
                    target=self._ask, args=(host, port, question), name="resolver", daemon=True
                ).start()
        if not question.is_answered.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError(f"the name {host} was not found in time: its resolver is silent")
        if question.failure is not None:
            raise question.failure
        return question.addresses

    def _ask(self, host: str, port: int, question: "_Question") -> None:
        try:
            question.addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
            question.failure = error if isinstance(error, OSError) else OSError(str(error))
        finally:
            with self._asking:
                del self._open[host, port]
            question.is_answered.set()


class _Question:
    """One name that the resolver was asked for."""

    def __init__(self) -> None:
        self.is_answered = threading.Event()
        self.addresses: list[Address] = []
        self.failure: OSError | None = None


def _open(address: Address, timeout_s: float, receive_bytes: int) -> socket.socket:
    family, place = address
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        if receive_bytes:  # before the connection is made, or the window is larger already
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.settimeout(max(0.001, timeout_s))
        plain.connect(place)
        _tend(plain)
    except BaseException:
        plain.close()
        raise
    return plain


def _tend(plain: socket.socket) -> None:
    """Send at once, and notice when the other side is gone without a word."""
    # Nagle's algorithm and delayed acknowledgements cost 40 ms a message otherwise.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Not every system has these.
    for name, value in (
        ("TCP_KEEPIDLE", UNANSWERED_S),
        ("TCP_KEEPINTVL", UNANSWERED_S // 4),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", UNANSWERED_S * 1000),
    ):
        if (option := getattr(socket, name, None)) is not None:
            plain.setsockopt(socket.IPPROTO_TCP, option, value)
