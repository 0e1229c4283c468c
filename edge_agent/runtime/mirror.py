"""The live worker's side of a shadow: what was asked and answered goes into a datagram socket.

Called between two batches, when the answers are out. It never waits, never raises and keeps
little: what neither the shadow's socket nor a small backlog has room for is left out and counted,
and a shadow that is gone is looked for again now and then.
"""

import errno
import itertools
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Final

from msgspec import Raw, Struct

from edge_agent.runtime.mirrored import MirrorPacket, Run, encode_message, encode_packet
from edge_agent.runtime.socket_path import short_address

PACKET_BYTES: Final = 16 * 1024
"""Messages are put together up to this size: the kernel holds few datagrams, however small."""

BACKLOG_BYTES: Final = 256 * 1024
"""What may wait here for room in the socket."""

SEND_BUFFER_BYTES: Final = 4 * 2**20
HOLD_OFF_S: Final = 0.002
"""A socket that was full is not tried again for this long."""

LOOK_AGAIN_S: Final = 0.5
_TOO_LARGE: Final = frozenset({errno.EMSGSIZE})
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})


class _Sent(Enum):
    """What became of a datagram."""

    YES = 1
    FULL = 2
    TOO_LARGE = 3


class _Encoded(Struct, frozen=True, gc=False):
    """A message as it stands in a packet, its number, and whether it got an answer."""

    number: int
    data: bytes
    is_answered: bool


class _Pending(Struct, frozen=True, gc=False):
    """A message whose answer is on its way out."""

    number: int
    topic: str
    payload: bytes
    content_type: str
    received_s: float
    code: str
    runs: Sequence[Run] | None

    @property
    def is_answered(self) -> bool:
        """Whether it got a result or an error; else it filled a window."""
        return self.runs is not None or bool(self.code)


class Mirror:
    """Sends to one shadow, or to nobody. `note` and `send` are for the thread that answers.

    Args:
        version: of the module that answers.
        digest: of its manifest.

    Attributes:
        names: of its outputs, in order; set before the first `note`.
    """

    def __init__(self, *, version: int, digest: str) -> None:
        self._version = version
        self._digest = digest
        self.names: tuple[str, ...] = ()
        self._path = ""
        self._pending: list[_Pending] = []
        self._backlog: deque[_Encoded] = deque()
        self._backlog_bytes = 0
        self._socket: socket.socket | None = None
        self._connected_to = ""
        self._connections = 0
        self._shed: dict[str, int] = {}
        self._noted = 0
        self._largest = 0
        self._has_news = False
        self._full_until = 0.0
        self._look_at = 0.0
        # Held for a few microseconds: the counters are told from another thread.
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether there is a shadow to tell."""
        return bool(self._path)

    @property
    def has_room(self) -> bool:
        """Whether a message would be sent or wait; else `skip` says the same for less."""
        return self._backlog_bytes < BACKLOG_BYTES

    def aim(self, path: str) -> None:
        """Tell the shadow at this socket from now on; an empty path tells nobody. Any thread."""
        self._path = path

    def note(
        self,
        topic: str,
        payload: bytes,
        content_type: str,
        received_s: float,
        *,
        code: str = "",
        runs: Sequence[Run] | None = None,
    ) -> None:
        """Remember a message until `send`.

        Args:
            topic: prefix included.
            payload: of the message.
            content_type: of MQTT 5, or empty.
            received_s: seconds since 1970.
            code: of the error that answers it; empty without one.
            runs: the outputs of each run; None if there is no result.
        """
        number, self._noted = self._noted, self._noted + 1
        self._pending.append(_Pending(number, topic, payload, content_type, received_s, code, runs))

    def skip(self, *, is_answered: bool) -> None:
        """Count a message that there is no room for.

        Args:
            is_answered: whether it got a result or an error; else it filled a window.
        """
        self._noted += 1
        self._leave_out(is_answered, "full")

    def miss(self, reason: str) -> None:
        """Count a message that the slot itself did not run, so that a shadow cannot have seen it.

        It has no number: nothing of it went into a window or a state, so there is no gap.
        """
        self._leave_out(True, reason)

    def send(self) -> None:
        """Send what was noted. Never waits."""
        if not self._pending and not self._backlog:
            return
        pending, self._pending = self._pending, []
        now = time.monotonic()
        with self._lock:
            if not self._has_connection(now):
                return
            for message in pending:
                self._queue(message)
            if now >= self._full_until:
                self._flush(now)

    def catch_up(self) -> None:
        """Send what waits for room, and tell what was left out. Any thread, now and then."""
        now = time.monotonic()
        with self._lock:
            if self._socket is None:
                return
            self._flush(now)
            if self._has_news and not self._backlog:
                self._transmit([], now)

    def close(self) -> None:
        """Tell nobody any more."""
        self._path = ""
        with self._lock:
            self._end()

    def _has_connection(self, now: float) -> bool:
        path = self._path
        if self._socket is not None and path == self._connected_to:
            return True
        self._end()
        if not path or (now < self._look_at and path == self._connected_to):
            return False
        self._look_at = now + LOOK_AGAIN_S
        self._connected_to = path
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            with short_address(path) as address:
                client.connect(address)
        except OSError:  # it is not there (yet)
            client.close()
            return False
        self._socket = client
        self._connections += 1
        self._shed, self._has_news = {}, False
        self._largest = client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
        self._full_until = 0.0
        return True

    def _end(self) -> None:
        self._backlog.clear()
        self._backlog_bytes = 0
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _queue(self, message: _Pending) -> None:
        """Put a message behind those that wait; without room it is not even encoded."""
        if not self.has_room:
            self._leave_out(message.is_answered, "full")
            return
        if len(message.payload) > self._largest:
            self._leave_out(message.is_answered, "too_large")
            return
        encoded = encode_message(
            message.topic,
            message.payload,
            message.content_type,
            message.received_s,
            message.code,
            message.runs,
        )
        if len(encoded) > self._largest:
            self._leave_out(message.is_answered, "too_large")
            return
        self._backlog.append(_Encoded(message.number, encoded, message.is_answered))
        self._backlog_bytes += len(encoded)

    def _flush(self, now: float) -> None:
        """Send datagrams until nothing waits or the socket is full."""
        while self._backlog and self._socket is not None:
            group = [self._backlog[0]]
            size = len(group[0].data)
            for message in itertools.islice(self._backlog, 1, None):
                is_next = message.number == group[-1].number + 1
                if not is_next or size + len(message.data) > PACKET_BYTES:
                    break
                group.append(message)
                size += len(message.data)
            sent = self._transmit(group, now)
            if sent is _Sent.FULL or self._socket is None:
                return
            for message in group:
                self._backlog.popleft()
                if sent is _Sent.TOO_LARGE:
                    self._leave_out(message.is_answered, "too_large")
            self._backlog_bytes -= size

    def _transmit(self, group: Sequence[_Encoded], now: float) -> _Sent:
        """Send one datagram. A shadow that is gone ends the connection, and nothing is counted."""
        if self._socket is None:
            return _Sent.YES
        packet = MirrorPacket(
            f"{os.getpid()}-{id(self)}-{self._connections}",
            self._version,
            self._digest,
            self.names,
            self._shed,
            group[0].number if group else self._noted,
            [Raw(message.data) for message in group],
        )
        try:
            self._socket.send(encode_packet(packet))
        except OSError as error:
            if error.errno in _TOO_LARGE:
                return _Sent.TOO_LARGE
            if error.errno in _NO_ROOM:
                self._full_until = now + HOLD_OFF_S
                return _Sent.FULL
            self._end()
            return _Sent.YES
        self._has_news = False
        return _Sent.YES

    def _leave_out(self, is_counted: bool, reason: str) -> None:
        if is_counted:
            self._has_news = True
            self._shed[reason] = self._shed.get(reason, 0) + 1
