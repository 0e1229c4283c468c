"""One HTTP/1.1 connection: bytes to requests, responses to bytes, and a bound on everything.

The parser is httptools; this file decides how long, how much and how many. It knows no path and no
model: a request is handed to a function that answers it. One request of a connection is answered
at a time; what a client sends ahead is read when its turn comes.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

import httptools

from edge_agent.daemon.http.incoming import Held, Incoming
from edge_agent.daemon.http.limits import (
    HEAD_S,
    IDLE_S,
    LINGER_S,
    MAX_AHEAD,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    WRITE_AHEAD_BYTES,
    Limits,
)
from edge_agent.daemon.http.packing import too_large, unpacked
from edge_agent.daemon.http.request import Refused, Request, Response, as_error, head_of

log: Final = logging.getLogger("shoal.http")


class _Phase(Enum):
    IDLE = "waits for a request"
    HEAD = "reads a head"
    BODY = "reads a body"
    ANSWER = "waits for an answer"
    LINGER = "reads the rest of a refused request away"


class Connection(asyncio.Protocol):
    """A client.

    Args:
        answer: answers a request; raises `Refused` or returns.
        limits: what it may cost.
        held: shared by all connections.
        on_open: told of this connection when it is there; returns whether it may stay.
        on_closed: told of it when it is gone.
        on_refused: told the status of each answer that `answer` was not asked for.
    """

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Response]],
        *,
        limits: Limits,
        held: Held,
        on_open: Callable[["Connection"], bool],
        on_closed: Callable[["Connection"], None],
        on_refused: Callable[[int], None],
    ) -> None:
        self._answer = answer
        self._limits = limits
        self._held = held
        self._on_open = on_open
        self._on_closed = on_closed
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._phase = _Phase.IDLE
        self._due: float | None = self._loop.time() + IDLE_S
        self._write_due: float | None = None
        self._incoming: Incoming | None = None
        self._ready: deque[Incoming] = deque()
        self._unparsed_head = 0
        self._ahead = b""
        self._is_at_end = False
        self._task: asyncio.Task[None] | None = None
        self._is_leaving = False

    # -- what the event loop calls -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a TCP server's
        self._transport = transport
        connection = transport.get_extra_info("socket")
        # Without it an answer waits for the client's delayed acknowledgement: 40 ms.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        if not self._on_open(self):
            crowded = Refused(
                503,
                f"expected at most {self._limits.max_connections} connections at a time",
                code="busy",
                headers=(("retry-after", "1"),),
                closes=True,
            )
            self._write(self._refused(crowded), closes=True)

    def connection_lost(self, _error: Exception | None) -> None:
        """The client is gone: what it asked is of no interest any more."""
        if self._task is not None:
            self._task.cancel()
        for request in [*self._ready, *([self._incoming] if self._incoming else [])]:
            request.let_go(self._held)
        self._ready.clear()
        self._incoming = None
        self._on_closed(self)

    def pause_writing(self) -> None:
        """The client does not take its answer as fast as it is written."""
        self._write_due = self._loop.time() + self._limits.timeout_s

    def resume_writing(self) -> None:
        """It does again."""
        self._write_due = None
        self._next()

    def eof_received(self) -> bool:
        """The client sends no more; what it asked is still answered."""
        self._is_at_end = True
        return self._phase is _Phase.ANSWER or bool(self._ready)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._phase is _Phase.LINGER:
            return
        if self._phase is _Phase.ANSWER:
            # One chunk is kept, and no more is read before its turn comes.
            self._ahead += data
            self._transport.pause_reading()
            return
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEAD, min(HEAD_S, self._limits.timeout_s))
        is_in_head = self._phase is _Phase.HEAD
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Another protocol is offered, not asked for: this one goes on, for one more answer.
            self._is_leaving = True
        except httptools.HttpParserError as error:
            self._refuse_incoming(Refused(400, f"this is not HTTP/1.1: {error}", code="not_http"))
        if is_in_head and self._phase is _Phase.HEAD:
            self._unparsed_head += len(data)
            if self._unparsed_head > MAX_HEAD_BYTES:
                self._refuse_incoming(_head_too_large())
        incoming = self._incoming
        if incoming is not None and incoming.refusal is not None:
            self._ready.append(incoming)
            self._incoming = None
            self._is_leaving = True
        self._next()

    # -- what the parser calls ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._incoming = Incoming()
        self._unparsed_head = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        if (incoming := self._incoming) is not None:
            incoming.url += url
            self._count_head(incoming, len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a chunked body, which is read away."""
        incoming = self._incoming
        if incoming is None:
            return
        incoming.header_count += 1
        self._count_head(incoming, len(name) + len(value) + 4)
        if not incoming.method and incoming.refusal is None:
            incoming.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there: refuse what can be refused before its body is read."""
        incoming = self._incoming
        if incoming is None:
            return
        incoming.method = self._parser.get_method().decode("latin-1")
        incoming.keeps_alive = bool(self._parser.should_keep_alive())
        if incoming.refusal is not None:
            return
        self._enter(_Phase.BODY, self._limits.timeout_s)
        try:
            self._expect_body(incoming)
        except Refused as refusal:
            incoming.refusal = refusal

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        incoming = self._incoming
        if incoming is None or incoming.refusal is not None:
            return
        try:
            size = len(incoming.body) + len(data)
            if size > self._limits.max_body_bytes:
                raise too_large(self._limits.max_body_bytes, closes=True)
            incoming.hold(size, self._held)
        except Refused as refusal:
            incoming.refusal = refusal
            return
        incoming.body += data

    def on_message_complete(self) -> None:
        """The request is whole."""
        if (incoming := self._incoming) is not None:
            self._incoming = None
            self._ready.append(incoming)
            if len(self._ready) > MAX_AHEAD:
                incoming.refusal = Refused(
                    400,
                    f"expected at most {MAX_AHEAD} requests sent ahead",
                    code="too_many_ahead",
                    closes=True,
                )

    # -- what the server calls ---------------------------------------------------------------

    def look(self, now: float) -> None:
        """End what takes too long.

        Args:
            now: seconds, of the event loop's clock.
        """
        if self._write_due is not None and now > self._write_due:
            self._transport.abort()
        elif self._due is not None and now > self._due:
            if self._phase in (_Phase.HEAD, _Phase.BODY):
                text = f"the client {self._phase.value.replace('reads', 'sends')} too slowly"
                self._refuse_incoming(Refused(408, text, code="slow_client", closes=True))
                self._next()
            else:
                self._transport.close()

    def leave(self) -> None:
        """Answer what was asked, then close."""
        self._is_leaving = True
        if self._phase is not _Phase.ANSWER:
            self._transport.close()

    # -- from request to response ------------------------------------------------------------

    def _next(self) -> None:
        """Begin with the next request, if there is one and nothing is in its way."""
        if self._phase is _Phase.ANSWER or self._phase is _Phase.LINGER:
            return
        if self._write_due is not None or not self._ready:
            return
        incoming = self._ready.popleft()
        self._phase = _Phase.ANSWER
        self._due = None
        self._task = self._loop.create_task(self._respond(incoming))

    async def _respond(self, incoming: Incoming) -> None:
        try:
            response = await self._response(incoming)
        finally:
            incoming.let_go(self._held)
            self._task = None
        is_last = self._is_at_end and not self._ready and not self._ahead
        closes = response.closes or self._is_leaving or is_last or not incoming.keeps_alive
        if incoming.method == "HEAD":
            self._transport.write(head_of(response, closes=closes))
            self._after_write(closes=closes)
        else:
            self._write(response, closes=closes)

    async def _response(self, incoming: Incoming) -> Response:
        try:
            if incoming.refusal is not None:
                raise incoming.refusal
            body = bytes(incoming.body)
            encoding = incoming.headers.get("content-encoding", "")
            if encoding:
                body = unpacked(body, encoding, self._limits.max_body_bytes)
                incoming.hold(len(body), self._held)
            return await self._answer(
                Request(
                    method=incoming.method,
                    path=incoming.url.partition(b"?")[0].decode("latin-1"),
                    headers=incoming.headers,
                    body=body,
                    expires_s=self._loop.time() + self._limits.timeout_s,
                )
            )
        except Refused as refusal:
            return self._refused(refusal)
        except Exception:  # a fault of ours in one request must not end the others
            log.exception("event=request_failed path=%r", incoming.url[:200])
            fault = Refused(500, "internal error; see the agent's log", code="internal")
            return self._refused(fault)

    def _refused(self, refusal: Refused) -> Response:
        self._on_refused(refusal.status)
        return as_error(refusal)

    def _write(self, response: Response, *, closes: bool) -> None:
        self._transport.write(head_of(response, closes=closes) + response.body)
        self._after_write(closes=closes)

    def _after_write(self, *, closes: bool) -> None:
        if self._transport.is_closing():
            return
        ahead, self._ahead = self._ahead, b""
        if ahead or closes:
            self._transport.resume_reading()
        if closes and self._is_at_end:
            self._transport.close()
            return
        if closes:
            self._enter(_Phase.LINGER, LINGER_S)
            # The client sees the end now; we read on until it has seen it, or has had its time.
            self._transport.write_eof()
            return
        incoming = self._incoming
        if incoming is None:
            self._enter(_Phase.IDLE, IDLE_S)
        elif incoming.method:
            self._enter(_Phase.BODY, self._limits.timeout_s)
        else:
            self._enter(_Phase.HEAD, min(HEAD_S, self._limits.timeout_s))
        if ahead:
            self.data_received(ahead)
        else:
            self._next()

    def _refuse_incoming(self, refusal: Refused) -> None:
        """Answer with an error after what was asked before, and read no further."""
        self._is_leaving = True
        incoming = self._incoming or Incoming()
        self._incoming = None
        incoming.refusal = refusal
        self._ready.append(incoming)

    def _expect_body(self, incoming: Incoming) -> None:
        length = incoming.headers.get("content-length", "")
        if length:
            size = int(length)  # the parser lets nothing but digits pass
            if size > self._limits.max_body_bytes:
                raise too_large(self._limits.max_body_bytes, closes=True)
            incoming.hold(size, self._held)
        if incoming.headers.get("expect", "").lower() == "100-continue" and not self._ready:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _count_head(self, incoming: Incoming, count: int) -> None:
        incoming.head_bytes += count
        if incoming.head_bytes > MAX_HEAD_BYTES or incoming.header_count > MAX_HEADERS:
            incoming.refusal = _head_too_large()

    def _enter(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self._due = self._loop.time() + seconds


def _head_too_large() -> Refused:
    return Refused(
        431,
        f"a head expected at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers",
        code="head_too_large",
        closes=True,
    )
