"""A broker that lets clients in and never confirms a message."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

CONNACK = b"\x20\x02\x00\x00"
CONNECT, SUBSCRIBE = 0x10, 0x82


def _length(read: Callable[[int], bytes]) -> int:
    """The length that follows a packet's first byte: seven bits a byte, the lowest first."""
    length = shift = 0
    while byte := read(1):
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    return length


class SilentBroker:
    """Answers CONNECT and SUBSCRIBE, reads the rest, and can drop everybody."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        self._thread.join(5)

    def drop(self) -> None:
        """End all connections."""
        clients, self._clients = self._clients, []
        for client in clients:
            with suppress(OSError):  # it has left by itself
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, client.makefile("rb") as stream:
            while kind := stream.read(1):
                body = stream.read(_length(stream.read))
                if kind[0] == CONNECT:
                    client.sendall(CONNACK)
                elif kind[0] == SUBSCRIBE:
                    client.sendall(b"\x90\x03" + body[:2] + b"\x01")
