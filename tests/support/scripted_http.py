"""A real HTTP server that answers what a test tells it to, also what no honest service would."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec


@dataclass(frozen=True)
class Answer:
    """`cut_after`: announce the whole body, send so many bytes of it, and hang up."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


def answer(resource: object, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(resource))


def problem(status: int, code: str, text: str = "text", hint: str = "hint") -> Answer:
    return Answer(status, json.dumps({"code": code, "text": text, "hint": hint}).encode())


class ScriptedService:
    """Use as a context manager. Each (method, path) gives its answers in turn, then the last."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self._answers[method, path] = list(answers)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _next(self, method: str, path: str) -> Answer:
        answers = self._answers.get((method, path))
        if not answers:
            return problem(404, "not_found", f"nothing scripted for {method} {path}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                url = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                path = unquote(url.path)
                service.requests.append(
                    Request(
                        self.command,
                        path,
                        parse_qs(url.query),
                        {name.lower(): value for name, value in self.headers.items()},
                        self.rfile.read(length),
                    )
                )
                found = service._next(self.command, path)
                self.send_response(found.status)
                for name, value in found.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(found.body)))
                self.end_headers()
                if found.cut_after is None:
                    self.wfile.write(found.body)
                else:
                    self.wfile.write(found.body[: found.cut_after])
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    """The client hung up in the middle, which some tests are about."""

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests are quiet."""

        return Handler
