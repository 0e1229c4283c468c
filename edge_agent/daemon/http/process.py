"""The HTTP server's process, seen from the agent: started, and started again when it ends.

It costs nobody else anything when it ends. The agent imports this file, and nothing else of this
folder but what the process is told.
"""

import contextlib
import logging
import random
import selectors
import subprocess
import sys
import threading
import time
from typing import IO, Final

import msgspec

from edge_agent.daemon.http.protocol import BEAT_S, HttpStatus, ServerSaid, ServerSpec, said_decoder

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 60.0
HEALTHY_S: Final = 600.0
STOP_S: Final = 4.0
SILENT_S: Final = 8 * BEAT_S
"""A server that says nothing for so long hangs: it is ended, and another one is started."""
_MAX_LINE_BYTES: Final = 2**16

log: Final = logging.getLogger("edge_agent.daemon")


def restart_delay_s(ends: int, chance: float) -> float:
    """How long it stays down: 0.5 s, 1 s ... 60 s, up to half of it left off.

    Args:
        ends: in a row, from 1.
        chance: a random number from 0 to 1.
    """
    bound = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(max(ends, 1) - 1, 16))
    return bound * (1.0 - chance / 2)


class HttpProcess:
    """The server's process, kept running on a thread of its own until `stop`.

    Args:
        spec: what it is told.
        silent_s: longest silence of a process, seconds.
    """

    def __init__(self, spec: ServerSpec, *, silent_s: float = SILENT_S) -> None:
        self._spec = spec
        self._silent_s = silent_s
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._said = ServerSaid()
        self._url = ""
        self._starts = 0
        self._thread = threading.Thread(target=self._keep, name="http", daemon=True)

    def start(self) -> None:
        """Start the process, and keep one running."""
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether nobody keeps the process running any more, though nobody said `stop`."""
        is_started = self._thread.ident is not None
        return is_started and not self._thread.is_alive() and not self._stop.is_set()

    def status(self) -> HttpStatus:
        """What it does now. Any thread."""
        with self._lock:
            process = self._process
            return HttpStatus(
                url=self._said.url,
                error=self._said.error,
                pid=process.pid if process is not None else 0,
                restarts=max(0, self._starts - 1),
            )

    def stop(self) -> None:
        """End it: politely, then for sure. Blocks for a few seconds at most."""
        self._stop.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _keep(self) -> None:
        ends = 0
        while not self._stop.is_set():
            began = time.monotonic()
            text = self._run()
            if self._stop.is_set():
                return
            ends = 1 if time.monotonic() - began > HEALTHY_S else ends + 1
            delay_s = restart_delay_s(ends, random.random())  # noqa: S311  # jitter, no secret
            log.error("event=http_ended reason=%r retry_s=%.1f", text, delay_s)
            self._stop.wait(delay_s)

    def _run(self) -> str:
        """Run one process to its end; why it ended."""
        try:
            process = subprocess.Popen(
                # -P: never import a module that happens to lie in the working directory.
                [sys.executable, "-P", "-m", "edge_agent.daemon.http"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            return self._ended(f"its process cannot be started: {error}")
        with self._lock:
            self._process = process
            self._starts += 1
            # Until it listens, what ended the one before is what there is to say.
            self._said = ServerSaid(error=self._said.error)
        if self._stop.is_set():
            process.terminate()  # `stop` came between the start and the note of it
        self._tell(process)
        assert process.stdout is not None  # noqa: S101  # by its arguments
        said = ServerSaid()
        with process.stdout as words:
            while line := self._next_line(process, words):
                said = self._heard(line)
        code = process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        return self._ended(said.error or f"its process ended with status {code}")

    def _next_line(self, process: subprocess.Popen[bytes], words: IO[bytes]) -> bytes:
        """What the process says next; nothing once it has ended, or is ended for its silence."""
        with selectors.PollSelector() as selector:
            selector.register(words, selectors.EVENT_READ)
            if not selector.select(self._silent_s):
                log.error("event=http_hangs pid=%d silent_s=%g", process.pid, self._silent_s)
                process.kill()
        return words.readline(_MAX_LINE_BYTES)

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # it ended already: that is seen
                process.stdin.write(msgspec.json.encode(self._spec) + b"\n")
                process.stdin.flush()

    def _heard(self, line: bytes) -> ServerSaid:
        try:
            said = said_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            said = ServerSaid(error=f"it said something that is not understood: {error}")
        with self._lock:
            self._said = said
            is_news = said.url != self._url
            self._url = said.url
        if said.url and is_news:
            log.info("event=http_listening url=%s", said.url)
        return said

    def _ended(self, text: str) -> str:
        with self._lock:
            self._process = None
            self._url = ""
            self._said = ServerSaid(error=text)
        return text
