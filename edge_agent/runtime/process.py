"""A worker process, seen from the agent: start it, send orders, hear events, end it for sure.

The agent's control process imports this file, so it imports no numpy, onnxruntime or MQTT.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Final

import msgspec

from edge_agent.errors import ModelError, StorageError
from edge_agent.runtime.protocol import (
    WorkerEvent,
    WorkerOrder,
    WorkerSpec,
    event_decoder,
    line,
)

_MAX_EVENT_BYTES: Final = 64 * 2**20
_TERM_WAIT_S: Final = 2.0
_KILL_WAIT_S: Final = 5.0
_log = logging.getLogger("shoal.worker")


class WorkerProcess:
    """One worker process. `start` may be called once.

    Args:
        spec: what it is to do.
        on_event: called for each event, in order, from a thread of this object.
        on_exit: called once, from the same thread, after the last event, with the return code
            (negative: the signal that ended it).
        stderr: where its log goes; ours if None.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        on_event: Callable[[WorkerEvent], None],
        on_exit: Callable[[int], None],
        stderr: IO[bytes] | int | None = None,
    ) -> None:
        self.spec = spec
        self._on_event = on_event
        self._on_exit = on_exit
        self._stderr = stderr
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._write_lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Process id, 0 before the start."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the process and give it its spec.

        Raises:
            StorageError: it cannot be started (no memory, too many processes).
        """
        try:
            self._process = subprocess.Popen(
                # -P: never import a module that happens to lie in the working directory.
                [sys.executable, "-P", "-m", "edge_agent.runtime.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                # A group of its own: what the terminal or the agent's group is sent is not for it.
                start_new_session=True,
            )
        except OSError as error:
            raise StorageError(
                f"a worker process cannot be started: {error}", code="spawn_failed"
            ) from error
        self._write(line(self.spec))
        self._reader = threading.Thread(
            target=self._read, args=(self._process,), name=f"worker-{self.pid}", daemon=True
        )
        self._reader.start()

    def send(self, order: WorkerOrder) -> bool:
        """Send an order; returns whether the process took it."""
        return self._write(line(order))

    def stop(self, timeout_s: float = 5.0) -> int:
        """End the process: by order, then by SIGTERM, then by SIGKILL. Blocks.

        Args:
            timeout_s: how long the order may take; the rest is at most 7 seconds more.

        Returns:
            The return code; 0 if it was never started.
        """
        process = self._process
        if process is None:
            return 0
        self.send(WorkerOrder(order="stop"))
        for ask, wait_s in (
            (None, timeout_s),
            (signal.SIGTERM, _TERM_WAIT_S),
            (signal.SIGKILL, _KILL_WAIT_S),
        ):
            if ask is not None:
                self._signal_group(process, ask)
            try:
                process.wait(wait_s)
                break
            except subprocess.TimeoutExpired:
                _log.warning("worker_slow_to_stop pid=%d", process.pid)
        self._join()
        return process.poll() or 0

    def kill_soon(self) -> None:
        """End the process without asking, and do not wait: `on_exit` tells when it is gone."""
        if self._process is not None:
            self._signal_group(self._process, signal.SIGKILL)

    def kill(self) -> None:
        """End the process at once, without asking. Blocks until it is gone."""
        self.kill_soon()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILL_WAIT_S)
        self._join()

    def _signal_group(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        if process.poll() is None:  # a pid that was waited for may be another program's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)

    def _join(self) -> None:
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(_KILL_WAIT_S)

    def _write(self, data: bytes) -> bool:
        process = self._process
        if process is None or process.stdin is None:
            return False
        try:
            with self._write_lock:
                process.stdin.write(data)
                process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        stdout = process.stdout
        if stdout is not None:
            with stdout:
                while text := stdout.readline(_MAX_EVENT_BYTES):
                    self._pass_on(text)
        returncode = process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()
        try:
            self._on_exit(returncode)
        except Exception:  # noqa: BLE001 -- the agent's fault, not the worker's
            _log.exception("worker_exit_callback_failed pid=%d", process.pid)

    def _pass_on(self, text: bytes) -> None:
        try:
            event = event_decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("worker_event_unreadable pid=%d reason=%s", self.pid, error)
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 -- the next event is still to be read
            _log.exception("worker_event_callback_failed pid=%d", self.pid)


def crash(returncode: int) -> ModelError:
    """The error for a process that ended without a word.

    Args:
        returncode: as of `subprocess`: negative for a signal.
    """
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return ModelError(
            f"the model ended its process by {name}",
            hint="this model crashes onnxruntime on this machine; try another version of it",
            code="crashed",
        )
    return ModelError(
        f"the worker process ended with status {returncode} without a reason; see its log",
        code="crashed",
    )
