"""An HTTP server on loopback that sends exactly the bytes a test tells it to, and when."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress


class MisbehavingServer:
    """Each connection gets one request read and is then given to `behave`.

    Args:
        behave: told the request's headers (lower-case names; the path is under "") and the socket.
        tls: what it shows; None for no TLS.
    """

    def __init__(
        self,
        behave: Callable[[dict[str, str], socket.socket], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._behave = behave
        self._tls = tls
        self.requests: list[dict[str, str]] = []
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(client,), daemon=True).start()

    def _meet(self, client: socket.socket) -> None:
        if self._tls is None:
            self._serve(client)
            return
        with suppress(OSError), client:  # the client may not trust us
            self._serve(self._tls.wrap_socket(client, server_side=True))

    def _serve(self, client: socket.socket) -> None:
        with client:
            text = b""
            while b"\r\n\r\n" not in text:
                chunk = client.recv(4096)
                if not chunk:
                    return
                text += chunk
            lines = text.decode().split("\r\n")
            headers = {"": lines[0].split(" ")[1]}
            for line in lines[1:]:
                name, _, value = line.partition(": ")
                if name:
                    headers[name.lower()] = value
            self.requests.append(headers)
            try:
                self._behave(headers, client)
            except OSError:  # the client has had enough
                return


def head(status: str, **headers: object) -> bytes:
    """A status line and headers; '_' in a name becomes '-'."""
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
