"""The connection of one download: every wait on it is short, counted, and can be called off.

Imported only when something is downloaded: what it stands on costs memory, and an agent that has
all its files never needs it.
"""

# ruff: noqa: ARG002  # arguments that httpcore's interface has and we do not need

import ssl
import threading
from collections.abc import Callable, Iterable
from socket import socket
from typing import Any, Final

import httpcore

from edge_agent.errors import Superseded, Unavailable
from edge_agent.link.dial import Dialer
from edge_agent.link.pace import Pace
from edge_agent.store.clock import Clock

CONNECT_S: Final = 10.0
LOOK_S: Final = 0.25
"""While it waits for bytes, it looks so often whether they are still wanted."""
PACED_WINDOW_BYTES: Final = 64 * 1024
"""With a bound on the rate, the kernel takes in no more than this ahead of us."""


class Patience:
    """What a download may still wait for. Used by one thread.

    Args:
        what: is downloaded, for errors.
        clock: of the agent.
        deadline: when to give this attempt up, seconds, monotonic.
        stall_s: longest silence of the other side, seconds.
        pace: of all downloads of this device; its pauses do not count towards the deadline.
        is_superseded: whether it is not wanted any more.
    """

    def __init__(
        self,
        what: str,
        *,
        clock: Clock,
        deadline: float,
        stall_s: float,
        pace: Pace,
        is_superseded: Callable[[], bool],
    ) -> None:
        self._what = what
        self._clock = clock
        self._deadline = deadline
        self._stall_s = stall_s
        self._is_superseded = is_superseded
        self._nothing = threading.Event()
        self.pace = pace
        self.received = 0

    def check(self) -> None:
        """Look whether to go on.

        Raises:
            Superseded: it is not wanted any more.
            Unavailable: the time is over (`download_too_slow`).
        """
        if self._is_superseded():
            raise Superseded(f"download of {self._what} is not wanted any more")
        if self._clock.monotonic() > self._deadline:
            raise Unavailable(
                f"download of {self._what} expected to end in time, found "
                f"{self.received} bytes by the deadline",
                hint="the connection is slow; it goes on from here by itself",
                code="download_too_slow",
            )

    def left_s(self, at_most_s: float) -> float:
        """How long one step may take."""
        return max(0.001, min(at_most_s, self._deadline - self._clock.monotonic()))

    def until(self) -> float:
        """By when the other side has to say something, seconds, monotonic."""
        return self._clock.monotonic() + self._stall_s

    def is_over(self, until: float) -> bool:
        """Whether that moment has passed."""
        return self._clock.monotonic() >= until

    def paid(self, size: int) -> None:
        """Wait until bytes that came are due. This is our own doing, and costs no patience."""
        self.received += size
        began = self._clock.monotonic()
        until = began + self.pace.wait_s(began, size)
        while (left_s := until - self._clock.monotonic()) > 0:
            if self._is_superseded():
                raise Superseded(f"download of {self._what} is not wanted any more")
            self._nothing.wait(min(left_s, LOOK_S))
        self._deadline += self._clock.monotonic() - began


class Line(httpcore.NetworkStream):
    """A socket that httpcore reads and writes.

    Args:
        sock: connected.
        patience: what its waits take from.
    """

    def __init__(self, sock: socket, patience: Patience) -> None:
        self._socket = sock
        self._patience = patience

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, none at the end. `timeout` is not asked: the patience knows better."""
        until = self._patience.until()
        size = min(max_bytes, self._patience.pace.read_bytes)
        while True:
            self._patience.check()
            try:
                self._socket.settimeout(LOOK_S)
                data = self._socket.recv(size)
            except TimeoutError as error:
                if self._patience.is_over(until):
                    raise httpcore.ReadTimeout("no bytes came") from error
            except OSError as error:
                raise httpcore.ReadError(str(error)) from error
            else:
                self._patience.paid(len(data))
                return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        self._patience.check()
        try:
            self._socket.settimeout(self._patience.left_s(CONNECT_S))
            self._socket.sendall(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout("nothing was taken") from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The same line, encrypted."""
        try:
            self._socket.settimeout(self._patience.left_s(CONNECT_S))
            encrypted = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError as error:
            self.close()
            raise httpcore.ConnectTimeout("no TLS in time") from error
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        return Line(encrypted, self._patience)

    def get_extra_info(self, info: str) -> Any:  # Any: as httpcore has it
        """What httpcore asks about a connection: whether it has something to say."""
        return self._socket if info == "socket" else None


class Lines(httpcore.NetworkBackend):
    """Opens the line of a download.

    Args:
        dialer: opens connections.
        patience: what their waits take from.
    """

    def __init__(self, dialer: Dialer, patience: Patience) -> None:
        self._dialer = dialer
        self._patience = patience

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # Any: as httpcore has it; there are none
    ) -> httpcore.NetworkStream:
        """Connect."""
        self._patience.check()
        try:
            sock = self._dialer.connect(
                host,
                port,
                timeout_s=self._patience.left_s(CONNECT_S),
                receive_bytes=PACED_WINDOW_BYTES if self._patience.pace.is_bounded else 0,
            )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error) or "no connection in time") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return Line(sock, self._patience)
