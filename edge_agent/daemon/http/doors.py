"""The ways to the workers: one connection a slot, opened when first asked, kept while it lasts.

A worker answers the questions of a connection in their order. A version that takes over listens
under the same name, so a question that its predecessor did not look at is asked again; a question
that a worker died over is not.
"""

import asyncio
from collections import deque
from pathlib import Path
from typing import Final

from edge_agent.daemon.http.request import Refused
from edge_agent.errors import ContractError
from edge_agent.runtime.door_wire import (
    DoorAsk,
    DoorHello,
    DoorReply,
    FrameReader,
    door_file,
    frame_start,
    hello_decoder,
    reply_decoder,
)
from edge_agent.runtime.socket_path import short_address

MAX_IN_FLIGHT: Final = 32
"""Questions that wait for one worker, those that nobody waits for any more included."""

MAX_UNSENT_BYTES: Final = 64 * 2**20
CONNECT_S: Final = 2.0

Answer = tuple[DoorReply, bytes]
_LEAVING: Final[Answer] = (DoorReply(outcome="leaving"), b"")


class NoDoor(Exception):
    """Nobody listens for this slot now."""


class Door(asyncio.Protocol):
    """A connection to one worker."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._asked: deque[asyncio.Future[Answer]] = deque()
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[DoorHello] = self._loop.create_future()
        self.is_open = True

    async def hello(self) -> DoorHello:
        """Who answers here.

        Raises:
            NoDoor: it left without a word.
        """
        if self._hello.done():
            return self._hello.result()
        try:
            async with asyncio.timeout(CONNECT_S):
                return await asyncio.shield(self._hello)
        except TimeoutError as error:
            raise NoDoor from error

    async def ask(self, question: DoorAsk, body: bytes) -> Answer:
        """Have a question answered.

        Raises:
            Refused: too many wait already; the worker died over it; nobody answered in time.
        """
        if not self.is_open:
            return _LEAVING
        unsent = self._transport.get_write_buffer_size()
        if len(self._asked) >= MAX_IN_FLIGHT or unsent > MAX_UNSENT_BYTES:
            raise Refused(
                503,
                f"{len(self._asked)} requests wait for {question.name!r} already",
                code="busy",
                headers=(("retry-after", "1"),),
            )
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._asked.append(answer)
        self._transport.writelines((frame_start(question, len(body)), body))
        try:
            async with asyncio.timeout_at(question.expires_s):
                return await answer
        except TimeoutError as error:
            raise Refused(
                504,
                f"{question.name!r} did not answer in time",
                hint="a run may take longer than http.timeout_s, or many requests wait",
                code="deadline",
            ) from error

    def close(self) -> None:
        """End the connection."""
        self.is_open = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected; the worker speaks first."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a stream socket's
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand out the answers that are whole."""
        self._reader.feed(data)
        try:
            if not self._hello.done():
                greeted = self._reader.next(hello_decoder)
                if greeted is None:
                    return
                self._hello.set_result(greeted[0])
            while (found := self._reader.next(reply_decoder)) is not None:
                if found[0].outcome == "leaving":
                    self._left()
                    return
                if not self._asked:
                    raise ContractError("an answer to nothing", code="frame_unasked")
                waiting = self._asked.popleft()
                if not waiting.done():  # its client may have left
                    waiting.set_result(found)
        except ContractError:
            self._transport.abort()

    def _left(self) -> None:
        """The worker ends, and has not looked at anything that it has not answered."""
        for waiting in self._asked:
            if not waiting.done():
                waiting.set_result(_LEAVING)
        self._asked.clear()
        self.is_open = False
        self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """The worker ended. It had begun with the first question at most."""
        self.is_open = False
        if not self._hello.done():
            self._hello.set_exception(NoDoor())
            self._hello.exception()  # seen, also if nobody waits
        for index, waiting in enumerate(self._asked):
            if waiting.done():
                continue
            if index:
                waiting.set_result(_LEAVING)
                continue
            waiting.set_exception(
                Refused(
                    503,
                    "the worker ended while it answered this request",
                    hint="see 'edge-agent status'; it is started again",
                    code="worker_ended",
                    headers=(("retry-after", "1"),),
                )
            )
        self._asked.clear()


class Doors:
    """The doors of all slots.

    Args:
        folder: where the workers listen.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Door] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    def known(self, slot: str) -> Door | None:
        """The door of a slot, if it is open."""
        door = self._open.get(slot)
        return door if door is not None and door.is_open else None

    async def open(self, slot: str) -> tuple[Door, DoorHello]:
        """The door of a slot, opened if it is not.

        Args:
            slot: a checked name.

        Raises:
            NoDoor: nobody listens there.
        """
        door = self.known(slot)
        if door is None:
            async with self._opening.setdefault(slot, asyncio.Lock()):
                door = self.known(slot) or await self._connect(slot)
        return door, await door.hello()

    def close(self) -> None:
        """End all connections."""
        for door in self._open.values():
            door.close()
        self._open.clear()

    async def _connect(self, slot: str) -> Door:
        loop = asyncio.get_running_loop()
        try:
            with short_address(str(self._folder / door_file(slot))) as address:
                async with asyncio.timeout(CONNECT_S):
                    _, door = await loop.create_unix_connection(Door, address)
        except (OSError, TimeoutError) as error:
            raise NoDoor from error
        self._open[slot] = door
        return door
