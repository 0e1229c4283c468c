"""The door of a worker: a Unix socket on which the local HTTP server has tensors run.

A second source on the worker's one thread, beside its broker: it reads one question, has it
answered, and returns to the loop, so that neither keeps the other waiting for longer than a run.
What cannot be written at once is kept, and nothing more is read from that peer until it is out.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_agent.errors import ContractError
from edge_agent.runtime.door_wire import (
    DoorAsk,
    DoorHello,
    DoorReply,
    FrameReader,
    ask_decoder,
    frame_start,
)
from edge_agent.runtime.loop import READ, WRITE, Loop
from edge_agent.runtime.socket_path import short_address

MAX_PEERS: Final = 4
"""One HTTP server, and what a restart of it left behind."""

FAREWELL_S: Final = 0.5
_READ_BYTES: Final = 2**20
_BACKLOG: Final = 8
_log: Final = logging.getLogger("shoal.worker.door")

Answer = tuple[DoorReply, bytes]


class Door:
    """Listens, and answers one question at a time.

    Args:
        path: of the socket. What lies there is replaced.
        hello: what every peer is told first.
        answer: runs a question's tensors; must not raise.
        loop: the worker's.
    """

    def __init__(
        self,
        path: str,
        hello: DoorHello,
        answer: Callable[[DoorAsk, bytes], Answer],
        loop: Loop,
    ) -> None:
        self._path = Path(path)
        self._hello = frame_start(hello)
        self._max_bytes = hello.max_bytes
        self._answer = answer
        self._loop = loop
        self._listener: socket.socket | None = None
        self._inode = 0
        self._peers: dict[int, _Peer] = {}

    def open(self) -> None:
        """Listen. From now on, questions come here and not to a predecessor.

        Where that cannot be, the worker goes on without: its broker's messages do not need it.
        """
        try:
            self._listen()
        except OSError as error:
            _log.error("door_failed path=%s reason=%s", self._path, error)

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        made = Path(f"{self._path}.{os.getpid()}")
        try:
            made.unlink(missing_ok=True)
            with short_address(str(made)) as address:
                listener.bind(address)
            made.chmod(0o600)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            self._inode = made.stat().st_ino
            # In one step, so that there is never a moment without a door.
            made.replace(self._path)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._loop.add(listener.fileno(), READ, self._accept)

    def close(self) -> None:
        """Say that what is not answered yet should be asked elsewhere, and listen no more."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._loop.remove(listener.fileno())
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # and not a successor's
                self._path.unlink()
        listener.close()
        deadline = time.monotonic() + FAREWELL_S
        for peer in [*self._peers.values()]:
            self._loop.remove(peer.fd)
            peer.farewell(deadline)
        self._peers.clear()

    def _accept(self, _events: int) -> None:
        listener = self._listener
        if listener is None:
            return
        try:
            connection, _ = listener.accept()
        except OSError as error:
            _log.warning("door_not_opened reason=%s", error)
            return
        if len(self._peers) >= MAX_PEERS:
            connection.close()
            return
        peer = _Peer(connection, self._max_bytes, self._hello)
        self._peers[peer.fd] = peer
        self._loop.add(peer.fd, peer.events, lambda ready: self._serve(peer, ready))
        self._serve(peer, WRITE)

    def _watch(self, peer: "_Peer") -> None:
        events = WRITE if peer.has_unsent else READ
        if events != peer.events:
            peer.events = events
            self._loop.modify(peer.fd, events)

    def _serve(self, peer: "_Peer", ready: int) -> None:
        try:
            if ready & WRITE:
                peer.write_on()
            elif (asked := peer.read()) is not None:
                reply, body = self._answer(*asked)
                peer.write(frame_start(reply, len(body)) + body)
        except (OSError, ContractError, _Gone) as error:
            if not isinstance(error, _Gone):
                _log.warning("door_peer_lost reason=%s", error)
            self._loop.remove(peer.fd)
            del self._peers[peer.fd]
            peer.close()
            return
        self._watch(peer)


class _Gone(Exception):
    """The peer has closed."""


class _Peer:
    """One connection."""

    def __init__(self, connection: socket.socket, max_bytes: int, greeting: bytes) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._reader = FrameReader(max_bytes)
        self._unsent = memoryview(greeting)
        self.fd = connection.fileno()
        self.events = WRITE

    @property
    def has_unsent(self) -> bool:
        return len(self._unsent) > 0

    def read(self) -> tuple[DoorAsk, bytes] | None:
        """A question, if it is whole. Reads nothing of the next one."""
        while True:
            try:
                data = self._connection.recv(min(self._reader.missing, _READ_BYTES))
            except BlockingIOError:
                return None
            if not data:
                raise _Gone
            self._reader.feed(data)
            if (found := self._reader.next(ask_decoder)) is not None:
                return found

    def write(self, data: bytes) -> None:
        """Begin to write; what was said before is out."""
        self._unsent = memoryview(data)
        self.write_on()

    def write_on(self) -> None:
        """Write what can be written, and keep the rest."""
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self._connection.send(self._unsent) :]

    def farewell(self, deadline: float) -> None:
        """Write the rest and the last word, and let the peer close.

        Args:
            deadline: for all of it, seconds, monotonic.
        """
        last_word = frame_start(DoorReply(outcome="leaving"))
        with contextlib.suppress(OSError):
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            self._connection.sendall(self._unsent)
            self._connection.sendall(last_word)
            # To close on what was not read would cost the peer what was said last.
            while time.monotonic() < deadline and self._connection.recv(_READ_BYTES):
                pass
        self.close()

    def close(self) -> None:
        self._connection.close()
