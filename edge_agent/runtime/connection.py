"""A connected socket on the loop: packets in, bytes out, many at once.

Reads what has arrived in one call and hands over all whole packets together; what is written is
kept until whoever wrote it says `flush`, and leaves in one call. Knows what a packet is, not what
it means.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Final

from edge_agent.errors import Unavailable
from edge_agent.runtime.loop import READ, WRITE, Loop
from edge_agent.runtime.mqtt.packets import Packet
from edge_agent.runtime.mqtt.reader import PacketReader

MAX_UNSENT_BYTES: Final = 2**20
"""More than this waits for the broker: nothing is read until it has taken some."""
CLOSED: Final = "the broker closed the connection"
"""Why a connection was lost that ended without a word."""

_READ_BYTES: Final = 65536


class Connection:
    """Packets of one connection.

    Args:
        loop: that watches the socket.
        sock: connected and non-blocking; closed by `close`.
        reader: makes packets of bytes.
        on_packets: takes all packets that have arrived.
        on_lost: takes the reason, once; the connection is closed by then.

    Attributes:
        out: pieces of what leaves with the next `flush`; append to it.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        reader: PacketReader,
        *,
        on_packets: Callable[[list[Packet]], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._reader = reader
        self._on_packets = on_packets
        self._on_lost = on_lost
        self._unsent = b""
        self._events = READ
        self._is_open = True
        self.out: list[bytes] = []
        loop.add(sock.fileno(), READ, self._ready)

    @property
    def is_quiet(self) -> bool:
        """Whether everything written has left."""
        return not self.out and not self._unsent

    def close(self) -> None:
        """End it without a word. `on_lost` is not called."""
        if self._is_open:
            self._is_open = False
            self._loop.remove(self._socket.fileno())
            self._socket.close()

    def flush(self) -> None:
        """Send what was written, as much as goes."""
        if not self._is_open or not (self.out or self._unsent):
            return
        data = b"".join(self.out) if not self._unsent else self._unsent + b"".join(self.out)
        self.out.clear()
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError as error:
            self._lose(CLOSED if isinstance(error, ConnectionError) else str(error))
            return
        self._unsent = data[sent:]
        self._watch()

    def _watch(self) -> None:
        """Read, unless too much waits to be sent; write, if anything does."""
        events = READ if len(self._unsent) < MAX_UNSENT_BYTES else 0
        if self._unsent:
            events |= WRITE
        if events != self._events:
            self._events = events
            self._loop.modify(self._socket.fileno(), events)

    def _ready(self, events: int) -> None:
        if events & READ:
            self._read()
        if events & WRITE:
            self.flush()

    def _read(self) -> None:
        try:
            # More than one record of TLS, so that nothing stays behind decrypted and unseen.
            data = self._socket.recv(_READ_BYTES)
            packets = self._reader.feed(data) if data else []
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, Unavailable) as error:
            self._lose(CLOSED if isinstance(error, ConnectionError) else str(error))
            return
        if packets:
            self._on_packets(packets)
        if not data and self._is_open:
            self._lose(CLOSED)

    def _lose(self, reason: str) -> None:
        self.close()
        self._on_lost(reason)
