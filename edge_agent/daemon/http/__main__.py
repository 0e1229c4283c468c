"""The HTTP server's process: `python -m edge_agent.daemon.http`, started by the agent.

Reads a `ServerSpec` line from standard input, says on standard output whether it listens, and
ends when it is told to (SIGTERM) or when its input ends: it never outlives its agent.

Exit status: 0 stopped as asked; 1 it cannot listen; 2 the first line was no spec.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.daemon.http.agent_view import AgentView
from edge_agent.daemon.http.doors import Doors
from edge_agent.daemon.http.front import Front
from edge_agent.daemon.http.protocol import BEAT_S, ServerSaid, ServerSpec, spec_decoder
from edge_agent.daemon.http.server import Server
from edge_agent.daemon.http.tally import Tally
from edge_agent.daemon.logs import start_logging

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_BAD_SPEC: Final = 2
_MAX_SPEC_BYTES: Final = 2**20


def main() -> int:
    """Run the server; returns the exit status."""
    start_logging("info")
    # Ctrl-C in a terminal reaches the whole group; the agent decides when its processes end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        spec = spec_decoder.decode(sys.stdin.buffer.readline(_MAX_SPEC_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        sys.stderr.write(f"the first line of standard input is no ServerSpec: {error}\n")
        return EXIT_BAD_SPEC
    return asyncio.run(_serve(spec))


async def _serve(spec: ServerSpec) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    os.set_blocking(0, False)
    loop.add_reader(0, lambda: _hear(stop))
    tally = Tally()
    doors = Doors(Path(spec.run_folder))
    front = Front(doors, AgentView(Path(spec.state_dir)), tally, version=spec.version)
    server = Server(front, spec.limits, tally)
    try:
        host, port = await server.start(spec.host, spec.port)
    except OSError as error:
        _say(ServerSaid(error=f"cannot listen on {spec.host} port {spec.port}: {error.strerror}"))
        return EXIT_FAILED
    said = ServerSaid(url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
    _say(said)
    beating = asyncio.create_task(_beat(said))
    # What is imported stays; without this, every full collection looks at all of it again.
    gc.collect()
    gc.freeze()
    await stop.wait()
    beating.cancel()
    await server.stop()
    doors.close()
    return EXIT_OK


async def _beat(said: ServerSaid) -> None:
    """Say again and again that the server listens. An agent that reads nothing holds nobody up."""
    os.set_blocking(sys.stdout.fileno(), False)
    while True:
        await asyncio.sleep(BEAT_S)
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), msgspec.json.encode(said) + b"\n")


def _hear(stop: asyncio.Event) -> None:
    """Nothing is said after the spec; the end of the pipe is the end of the agent."""
    try:
        if os.read(0, 4096):
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    asyncio.get_running_loop().remove_reader(0)
    stop.set()


def _say(said: ServerSaid) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
