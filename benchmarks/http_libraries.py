"""What do libraries for an HTTP server cost? `python -m benchmarks.http_libraries`

Each answers the same small JSON to the same request, one at a time on one kept connection, in a
process of its own that imports no other of them; nothing is behind it. Keys: `NAME_p50_ms`,
`NAME_cpu_us` (of one request), `NAME_pss_mb`; and `prometheus_client_mb`, what the metrics library
weighs beside asyncio. Decision 0015 was made by it.
"""

import argparse
import asyncio
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.report import Figure, finish, say

NAMES: Final = ("uvicorn_h11", "uvicorn_httptools", "h11", "httptools")
PACKAGES: Final = ("uvicorn", "h11", "httptools", "prometheus-client")
ASKED: Final = json.dumps(
    {"inputs": [{"name": "X", "shape": [1, 9], "datatype": "FP32", "data": [0.5] * 9}]}
).encode()
ANSWER: Final = json.dumps(
    {"outputs": [{"name": "label", "shape": [1], "datatype": "INT64", "data": [1]}]}
).encode()
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class WithHttptools(asyncio.Protocol):
    """As little as answers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        import httptools

        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_body(self, data: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        self._transport.write(HEAD % len(ANSWER) + ANSWER)


class WithH11(asyncio.Protocol):
    """As little as answers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        import h11

        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._http = h11.Connection(h11.SERVER)

    def data_received(self, data: bytes) -> None:
        import h11

        self._http.receive_data(data)
        while (event := self._http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.ConnectionClosed):
                return
            if isinstance(event, h11.EndOfMessage):
                headers = [("content-length", str(len(ANSWER)))]
                parts = (
                    self._http.send(h11.Response(status_code=200, headers=headers)),
                    self._http.send(h11.Data(data=ANSWER)),
                    self._http.send(h11.EndOfMessage()),
                )
                self._transport.write(b"".join(part or b"" for part in parts))
                self._http.start_next_cycle()


async def asgi(_scope: Any, receive: Any, send: Any) -> None:  # Any: the types of ASGI
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


async def _listen(protocol: type[asyncio.Protocol], port: int) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()


def serve(name: str, port: int) -> None:
    """Answer until killed."""
    if name.startswith("uvicorn"):
        import uvicorn

        uvicorn.run(
            asgi,
            port=port,
            http="h11" if name == "uvicorn_h11" else "httptools",
            loop="asyncio",
            lifespan="off",
            ws="none",
            access_log=False,
            log_level="warning",
        )
    else:
        asyncio.run(_listen(WithH11 if name == "h11" else WithHttptools, port))


@contextmanager
def _running(name: str) -> Iterator[tuple[psutil.Process, http.client.HTTPConnection]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"import benchmarks.http_libraries as b; b.serve({name!r}, {port})"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            try:
                client.connect()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended") from None
                time.sleep(0.05)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield psutil.Process(process.pid), client
        client.close()
    finally:
        process.kill()
        process.wait()


def _measure(name: str, requests: int) -> dict[str, Figure]:
    with _running(name) as (process, client):
        times: list[float] = []
        before = process.cpu_times()
        for number in range(requests + requests // 5):
            if number == requests // 5:  # the first are for warming up
                times.clear()
                before = process.cpu_times()
            began = time.perf_counter()
            client.request("POST", "/v2/models/m/infer", ASKED)
            client.getresponse().read()
            times.append((time.perf_counter() - began) * 1e3)
        after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        return {
            f"{name}_p50_ms": round(statistics.median(times), 3),
            f"{name}_cpu_us": round(cpu_s / requests * 1e6),
            f"{name}_pss_mb": round(process.memory_full_info().pss / 1e6, 1),
        }


def _metrics_mb() -> float:
    """PSS that prometheus_client adds to a process with asyncio and msgspec."""
    code = (
        "import asyncio, msgspec, os, psutil; p = psutil.Process(); "
        "a = p.memory_full_info().pss; import prometheus_client; "
        "print((p.memory_full_info().pss - a) / 1e6)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return round(float(done.stdout), 1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Latency and memory of libraries for HTTP.")
    parser.add_argument("--requests", type=int, default=5000)
    options = parser.parse_args()
    os.chdir(Path(__file__).parents[1])  # where the children import this file
    figures: dict[str, Figure] = {"requests": options.requests}
    for name in NAMES:
        say(name)
        figures |= _measure(name, options.requests)
    figures["prometheus_client_mb"] = _metrics_mb()
    finish("http_libraries", figures, PACKAGES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
