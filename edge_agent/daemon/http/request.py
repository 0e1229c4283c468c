"""A request and a response as values, and how a response is written. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.errors import ShoalError

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"


class Request(Struct, frozen=True, kw_only=True):
    """What a client asked.

    Attributes:
        method: in capitals.
        path: as it was sent, without the query.
        headers: by lower-case name; of a repeated one, the last.
        body: unpacked.
        expires_s: when the client is told that it took too long, seconds, monotonic.
    """

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    expires_s: float = 0.0


class Response(Struct, frozen=True, kw_only=True):
    """What it is told.

    Attributes:
        headers: besides type and length.
        closes: whether the connection ends with it.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False


class Refused(ShoalError):
    """A request that gets an error instead of an answer.

    Args:
        status: of HTTP.
        text: for the client.
        headers: of the response.
        closes: whether the rest of what the client sends is not read any more.
    """

    default_code = "http_refused"

    def __init__(
        self,
        status: int,
        text: str,
        *,
        hint: str = "",
        code: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        closes: bool = False,
    ) -> None:
        super().__init__(text, hint=hint, code=code)
        self.status = status
        self.headers = headers
        self.closes = closes


def as_json(value: object, status: int = 200) -> Response:
    """A response that is a JSON document."""
    return Response(status=status, body=msgspec.json.encode(value))


def as_error(error: Refused) -> Response:
    """A refusal, as the protocol words it: `{"error": text}`."""
    text = f"{error.text} ({error.hint})" if error.hint else error.text
    body = msgspec.json.encode({"error": text, **({"code": error.code} if error.code else {})})
    return Response(status=error.status, body=body, headers=error.headers, closes=error.closes)


def head_of(response: Response, *, closes: bool) -> bytes:
    """The status line and the headers, with the empty line behind them.

    Args:
        response: to be written.
        closes: whether the connection ends with it.
    """
    lines = [
        _status_line(response.status),
        f"content-type: {response.content_type}",
        f"content-length: {len(response.body)}",
    ]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if closes:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
