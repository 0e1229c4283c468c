"""The gate that simulated devices come through: so many at once, so many a second."""

import asyncio
from types import TracebackType
from typing import Self


class Gate:
    """An asynchronous context manager around one attempt to connect.

    Args:
        per_s: attempts a second.
        at_once: attempts that are under way at a time.
    """

    def __init__(self, per_s: float, at_once: int) -> None:
        self._every_s = 1.0 / per_s
        self._places = asyncio.Semaphore(at_once)
        self._next = 0.0

    async def __aenter__(self) -> Self:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        at = max(loop.time(), self._next)
        self._next = at + self._every_s
        try:
            await asyncio.sleep(at - loop.time())
        except asyncio.CancelledError:
            self._places.release()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._places.release()
