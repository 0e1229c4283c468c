"""The listening socket and all connections: opened, looked after, closed."""

import asyncio
import contextlib
from typing import Final

from edge_agent.daemon.http.connection import Connection
from edge_agent.daemon.http.front import Front
from edge_agent.daemon.http.incoming import Held
from edge_agent.daemon.http.limits import Limits
from edge_agent.daemon.http.tally import Tally

LOOK_S: Final = 1.0
CLOSE_S: Final = 3.0


class Server:
    """Listens.

    Args:
        front: answers requests.
        limits: what clients may cost.
        tally: counts connections, and requests that the front is not asked.
    """

    def __init__(self, front: Front, limits: Limits, tally: Tally) -> None:
        self._front = front
        self._limits = limits
        self._tally = tally
        self._held = Held(limits.max_held_bytes)
        self._connections: set[Connection] = set()
        self._is_empty = asyncio.Event()
        self._is_used = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen.

        Returns:
            The address, with the port that was given if none was asked for.

        Raises:
            OSError: it cannot listen there.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port, backlog=128)
        self._looking = loop.create_task(self._look())
        address = self._server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def stop(self) -> None:
        """Listen no more, and let what was asked be answered."""
        if self._server is not None:
            self._server.close()
        for connection in [*self._connections]:
            connection.leave()
        if self._connections:
            self._is_empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._is_empty.wait()
        if self._looking is not None:
            self._looking.cancel()

    def _connection(self) -> Connection:
        return Connection(
            self._front.answer,
            limits=self._limits,
            held=self._held,
            on_open=self._opened,
            on_closed=self._closed,
            on_refused=lambda status: self._tally.count("unread", status, 0.0),
        )

    def _opened(self, connection: Connection) -> bool:
        self._connections.add(connection)
        self._tally.connections = len(self._connections)
        self._is_used.set()
        if len(self._connections) <= self._limits.max_connections:
            return True
        self._tally.refused_connections += 1
        return False

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._tally.connections = len(self._connections)
        if not self._connections:
            self._is_empty.set()
            self._is_used.clear()

    async def _look(self) -> None:
        """End what takes too long. Costs nothing while nobody is connected."""
        loop = asyncio.get_running_loop()
        while True:
            await self._is_used.wait()
            await asyncio.sleep(LOOK_S)
            now = loop.time()
            for connection in [*self._connections]:
                connection.look(now)
