"""The local door: a unix socket in the state directory that answers `edge-agent status` and `lock`.

One request and one answer a connection, each a line of JSON. Only who may enter the state
directory can connect. One thread, one client at a time, each with a deadline.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from edge_agent.daemon.lock_desk import LockAnswer, LockDesk
from edge_agent.daemon.status import AgentStatus
from edge_agent.errors import ShoalError, Unavailable
from edge_agent.store.files import storage_error

log: Final = logging.getLogger("edge_agent.daemon")

SOCKET_FILE: Final = "agent.sock"
AGENT_NOT_RUNNING: Final = "agent_not_running"
"""Code of the error where nobody listens."""
AGENT_SILENT: Final = "agent_silent"
"""Code of the error where an agent runs that does not answer."""
CLIENT_S: Final = 3.0
"""For a whole request, and for the whole of its answer."""
ROUND_S: Final = 1.0
MAX_REQUEST_BYTES: Final = 4096
MAX_ANSWER_BYTES: Final = 16 * 2**20


class Request(Struct, frozen=True, kw_only=True):
    """What may be asked.

    Attributes:
        slot: of what is about a lock; `*` for all.
        for_s: how long to lock it, seconds.
        reason: for people.
    """

    ask: Literal["status", "lock", "unlock", "locked"]
    slot: str = ""
    for_s: float = 0.0
    reason: str = ""


@contextmanager
def _address(state_dir: Path) -> Iterator[str]:
    """The socket's path, short: a unix socket's is at most 107 bytes, a folder's may be longer."""
    handle = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET_FILE}"
    finally:
        os.close(handle)


class LocalServer:
    """Answers on the socket.

    Args:
        state_dir: where the socket is; its lock is held, so an old socket there is a dead one.
        status: makes the answer; called on the server's thread.
        locks: takes and releases locks; None where none can be taken.
    """

    def __init__(
        self,
        state_dir: Path,
        status: Callable[[], AgentStatus],
        locks: LockDesk | None = None,
    ) -> None:
        self._state_dir = state_dir
        self._status = status
        self._locks = locks
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._stop = threading.Event()
        self.progress: float | None = None
        """When its thread last went round, seconds, monotonic; None if it has none, because it
        could not listen. For the watchdog."""

    def start(self) -> None:
        """Listen, on a thread of its own.

        Raises:
            StorageError: the socket cannot be made.
        """
        path = self._state_dir / SOCKET_FILE
        try:
            path.unlink(missing_ok=True)
            with _address(self._state_dir) as address:
                self._socket.bind(address)
            path.chmod(0o600)
            self._socket.listen(4)
            self._socket.settimeout(ROUND_S)
        except OSError as error:
            raise storage_error("cannot listen on", path, error) from error
        self.progress = time.monotonic()
        threading.Thread(target=self._run, name="local", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and remove the socket."""
        self._stop.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with suppress(OSError):  # what stays is replaced at the next start
            (self._state_dir / SOCKET_FILE).unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.progress = time.monotonic()
            try:
                client, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._stop.is_set():
                    return
                # No descriptor left, say. It may pass, and a loop without a pause helps nobody.
                log.error("event=local_socket_refused text=%r", str(error))
                self._stop.wait(ROUND_S)
                continue
            with client:
                client.settimeout(CLIENT_S)
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        # A client that goes away or sends nonsense is no concern of the agent's.
        with suppress(OSError, msgspec.DecodeError):
            line = _read_line(client, MAX_REQUEST_BYTES)
            request = msgspec.json.decode(line, type=Request)
            try:
                answer = self._answer_to(request)
            except ShoalError as error:
                log.error("event=status_failed code=%s text=%r", error.code, error.text)
                return
            client.settimeout(CLIENT_S)
            client.sendall(msgspec.json.encode(answer) + b"\n")

    def _answer_to(self, request: Request) -> AgentStatus | LockAnswer:
        desk = self._locks
        if request.ask == "status" or desk is None:
            return self._status()
        match request.ask:
            case "lock":
                return desk.lock(request.slot, request.for_s, request.reason)
            case "unlock":
                return desk.unlock(request.slot)
            case _:
                return desk.ask(request.slot)


def ask_status(state_dir: Path) -> AgentStatus:
    """Ask the agent that runs on a state directory.

    Raises:
        Unavailable: no agent runs there (`agent_not_running`), or it does not answer
            (`agent_silent`).
    """
    return _ask(state_dir, Request(ask="status"), AgentStatus)


def ask_lock(state_dir: Path, request: Request) -> LockAnswer:
    """Ask it about a lock.

    Raises:
        Unavailable: as `ask_status`.
    """
    return _ask(state_dir, request, LockAnswer)


_A = TypeVar("_A", AgentStatus, LockAnswer)


def _ask(state_dir: Path, request: Request, kind: type[_A]) -> _A:
    try:
        with (
            _address(state_dir) as address,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client,
        ):
            client.settimeout(CLIENT_S)
            client.connect(address)
            client.sendall(msgspec.json.encode(request) + b"\n")
            line = _read_line(client, MAX_ANSWER_BYTES)
            return msgspec.json.decode(line, type=kind)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(
            f"no agent runs on {state_dir}",
            hint="start it with 'edge-agent run', or name its settings with --config",
            code=AGENT_NOT_RUNNING,
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise Unavailable(
            f"the agent on {state_dir} does not answer: {error}",
            hint="see its log; the watchdog restarts an agent that hangs",
            code=AGENT_SILENT,
        ) from error


def _read_line(peer: socket.socket, limit: int) -> bytes:
    # A byte now and then must not take longer than none at all.
    deadline = time.monotonic() + CLIENT_S
    data = bytearray()
    while not data.endswith(b"\n"):
        peer.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = peer.recv(65_536)
        if not chunk or len(data) + len(chunk) > limit:
            break
        data += chunk
    return bytes(data)
