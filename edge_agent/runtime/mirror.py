"""The live worker's side of a shadow: what was asked and answered goes into a datagram socket.

Called between two batches, when the answers are out. It never waits, never raises and keeps
nothing: what the shadow's socket has no room for is left out and counted, and a shadow that is
gone is looked for again now and then.
"""

import errno
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Final

from msgspec import Raw

from edge_agent.runtime.mirrored import MirrorPacket, Run, encode_message, encode_packet
from edge_agent.runtime.socket_path import short_address

PACKET_BYTES: Final = 16 * 1024
"""Messages are put together up to this size: the kernel holds few datagrams, however small."""

SEND_BUFFER_BYTES: Final = 4 * 2**20
HOLD_OFF_S: Final = 0.002
"""While the shadow's socket is full, messages are only counted for this long."""

LOOK_AGAIN_S: Final = 0.5
_TOO_LARGE: Final = frozenset({errno.EMSGSIZE})
_NO_ROOM: Final = frozenset({errno.ENOBUFS, errno.ENOMEM})


class _Pending:
    """A message whose answer is on its way out."""

    __slots__ = ("code", "content_type", "payload", "received_s", "runs", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        content_type: str,
        received_s: float,
        code: str,
        runs: Sequence[Run] | None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.content_type = content_type
        self.received_s = received_s
        self.code = code
        self.runs = runs

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
        self._socket: socket.socket | None = None
        self._connected_to = ""
        self._connections = 0
        self._shed: dict[str, int] = {}
        self._gaps = 0
        self._has_news = False
        self._full_until = 0.0
        self._look_at = 0.0
        # Held for a few microseconds: the counters are told from another thread.
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether there is a shadow to tell."""
        return bool(self._path)

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
        self._pending.append(_Pending(topic, payload, content_type, received_s, code, runs))

    def send(self) -> None:
        """Send what was noted. Never waits."""
        if not self._pending:
            return
        now = time.monotonic()
        pending, self._pending = self._pending, []
        with self._lock:
            if not self._has_connection(now):
                return
            if now < self._full_until:
                self._leave_out(pending, "full")
                return
            self._send_all(pending, now)

    def tell_counts(self) -> None:
        """Tell what was left out, if no message did that since. Any thread."""
        with self._lock:
            if self._has_news and self._socket is not None:
                self._transmit([], 0.0)

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
        self._shed, self._gaps, self._has_news = {}, 0, False
        self._full_until = 0.0
        return True

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send_all(self, pending: Sequence[_Pending], now: float) -> None:
        group: list[_Pending] = []
        encoded: list[Raw] = []
        size = 0
        for message in pending:
            raw = encode_message(
                message.topic,
                message.payload,
                message.content_type,
                message.received_s,
                message.code,
                message.runs,
            )
            length = len(memoryview(raw))
            if group and size + length > PACKET_BYTES:
                self._send_group(group, encoded, now)
                group, encoded, size = [], [], 0
            group.append(message)
            encoded.append(raw)
            size += length
        self._send_group(group, encoded, now)

    def _send_group(self, group: Sequence[_Pending], encoded: list[Raw], now: float) -> None:
        if self._socket is None:
            return  # the shadow went while the groups before were sent
        if now < self._full_until:
            self._leave_out(group, "full")
            return
        reason = self._transmit(encoded, now)
        if reason:
            self._leave_out(group, reason)

    def _transmit(self, encoded: list[Raw], now: float) -> str:
        """Send one datagram; returns why it was left out, or nothing."""
        if self._socket is None:
            return ""
        packet = MirrorPacket(
            f"{os.getpid()}-{id(self)}-{self._connections}",
            self._version,
            self._digest,
            self.names,
            self._shed,
            self._gaps,
            encoded,
        )
        try:
            self._socket.send(encode_packet(packet))
        except BlockingIOError:
            self._full_until = now + HOLD_OFF_S
            return "full"
        except OSError as error:
            if error.errno in _TOO_LARGE:
                return "too_large"
            if error.errno in _NO_ROOM:
                self._full_until = now + HOLD_OFF_S
                return "full"
            self._end()  # the shadow is gone; what it did not see it does not count
            return ""
        self._has_news = False
        return ""

    def _leave_out(self, messages: Sequence[_Pending], reason: str) -> None:
        self._gaps += 1
        answered = sum(message.is_answered for message in messages)
        if answered:
            self._shed[reason] = self._shed.get(reason, 0) + answered
        self._has_news = True
