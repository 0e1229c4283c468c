"""A TCP proxy that does to connections what networks do; switchable while it runs.

proxy = FaultProxy(broker.port)            # talk to 127.0.0.1:proxy.port instead
proxy.set(Fault.BLACK_HOLE)                # nothing passes, for old connections and new ones
proxy.set(Fault.RESET, after_bytes=1000)   # each connection, after so many bytes to the client
proxy.heal()
proxy.close()

It runs on a thread of its own and forwards bytes; it knows no protocol.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

HOST: Final = "127.0.0.1"
_CHUNK: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)


class Fault(Enum):
    """What happens to what passes."""

    NONE = "none"
    DELAY = "delay"
    """Everything comes late, by `delay_s` for each piece."""
    BLACK_HOLE = "black hole"
    """Connections are accepted and nothing passes; when it is over, what waited goes on."""
    SWALLOW = "swallow"
    """What is sent is taken and lost. A connection that lost something stays dead for good."""
    HALF_OPEN = "half-open"
    """The server's side is gone and the client is never told; for good, too."""
    RESET = "reset"
    """RST to both sides, after `after_bytes` to the client."""
    TRUNCATE = "truncate"
    """An orderly end, after `after_bytes` to the client."""
    DRIP = "drip"
    """`bytes_per_s` to the client."""
    REFUSED = "refused"
    """Nobody listens, and old connections are reset."""


@dataclass(frozen=True)
class Weather:
    """A fault and its figures."""

    fault: Fault = Fault.NONE
    after_bytes: int = 0
    delay_s: float = 0.2
    bytes_per_s: float = 1.0


@dataclass(eq=False)
class _Pair:
    client: socket.socket
    server: socket.socket | None = None
    passed: int = 0
    is_dead: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self, *, is_reset: bool) -> None:
        for task in self.tasks:
            task.cancel()
        for sock in filter(None, (self.client, self.server)):
            with suppress(OSError):
                if is_reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.close()


class FaultProxy:
    """Listens from the start.

    Args:
        port: of the server behind it, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._weather = Weather()
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._listener: socket.socket | None = None
        self.accepted = 0
        """Connections that were ever accepted."""
        self.port = 0
        """Where it listens."""
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._pairs)

    def set(self, fault: Fault, **figures: Any) -> None:  # Any: the fields of Weather
        """From now on, for old connections and new ones."""
        self._do(self._set(Weather(fault, **figures)))

    def heal(self) -> None:
        """No fault any more. What is dead stays dead, what waited goes on."""
        self._do(self._set(Weather()))

    def close(self) -> None:
        """End all connections, and the thread."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set(self, weather: Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()
        if weather.fault is Fault.REFUSED:
            self._deafen()
        elif self._listener is None:
            await self._listen()
        for pair in list(self._pairs):
            match weather.fault:
                case Fault.REFUSED:
                    self._cut(pair, is_reset=True)
                case Fault.RESET | Fault.TRUNCATE if not weather.after_bytes:
                    self._cut(pair, is_reset=weather.fault is Fault.RESET)
                case Fault.HALF_OPEN:
                    self._forget_server(pair)

    async def _listen(self) -> None:
        self._listener = socket.create_server((HOST, self.port), backlog=128)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _deafen(self) -> None:
        if self._listener is not None:
            self._accept(self._listener)  # who is let in already is cut off with the others
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _end(self) -> None:
        self._deafen()
        for pair in list(self._pairs):
            self._cut(pair, is_reset=True)
        await asyncio.sleep(0)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            pair = _Pair(client)
            self._pairs.add(pair)
            pair.tasks.append(self._loop.create_task(self._serve(pair)))

    async def _serve(self, pair: _Pair) -> None:
        await self._pass_the_hole()
        if self._weather.fault in (Fault.SWALLOW, Fault.HALF_OPEN):
            pair.is_dead = True
        else:
            server = socket.socket()
            server.setblocking(False)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair.server = server
            try:
                await self._loop.sock_connect(server, (HOST, self._target))
            except OSError:
                self._cut(pair, is_reset=True)
                return
            pair.tasks.append(asyncio.create_task(self._pump(pair, is_down=True)))
        await self._pump(pair, is_down=False)

    async def _pump(self, pair: _Pair, *, is_down: bool) -> None:
        source = pair.server if is_down else pair.client
        assert source is not None
        try:
            while data := await self._loop.sock_recv(source, _CHUNK):
                await self._forward(pair, data, is_down=is_down)
            await self._pass_the_hole()
        except OSError:
            self._cut(pair, is_reset=True)
            return
        if not is_down:
            self._cut(pair, is_reset=False)
        elif not pair.is_dead and self._weather.fault is not Fault.SWALLOW:
            with suppress(OSError):
                pair.client.shutdown(socket.SHUT_WR)

    async def _forward(self, pair: _Pair, data: bytes, *, is_down: bool) -> None:
        await self._pass_the_hole()
        weather = self._weather
        sink = pair.client if is_down else pair.server
        if pair.is_dead or sink is None or weather.fault is Fault.SWALLOW:
            pair.is_dead = True
            return
        if weather.fault is Fault.DELAY:
            await asyncio.sleep(weather.delay_s)
        elif is_down and weather.fault is Fault.DRIP:
            data = await self._drip(sink, data, weather)
        elif is_down and weather.fault in (Fault.RESET, Fault.TRUNCATE):
            allowed = max(0, weather.after_bytes - pair.passed)
            if len(data) >= allowed:
                await self._loop.sock_sendall(sink, data[:allowed])
                self._cut(pair, is_reset=weather.fault is Fault.RESET)
                return
        if is_down:
            pair.passed += len(data)
        await self._loop.sock_sendall(sink, data)

    async def _drip(self, sink: socket.socket, data: bytes, weather: Weather) -> bytes:
        """Send byte by byte until that is over; what is left."""
        for index in range(len(data)):
            if self._weather is not weather:
                return data[index:]
            await self._loop.sock_sendall(sink, data[index : index + 1])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 1 / weather.bytes_per_s)
        return b""

    async def _pass_the_hole(self) -> None:
        while self._weather.fault is Fault.BLACK_HOLE:
            await self._changed.wait()

    def _forget_server(self, pair: _Pair) -> None:
        pair.is_dead = True
        for task in pair.tasks[1:]:
            task.cancel()
        if pair.server is not None:
            pair.server.close()
            pair.server = None

    def _cut(self, pair: _Pair, *, is_reset: bool) -> None:
        self._pairs.discard(pair)
        pair.cut(is_reset=is_reset)
