"""A worker process, seen from the agent: start it, send orders, hear events, end it for sure.

The agent's control process imports this file, so it imports no numpy, onnxruntime or MQTT.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from edge_agent.errors import ModelError, ShoalError, StorageError
from edge_agent.runtime.child import Child
from edge_agent.runtime.exit_status import ExitStatus
from edge_agent.runtime.launch import UNSEEN
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import (
    WorkerEvent,
    WorkerFailed,
    WorkerOrder,
    WorkerSpec,
    event_decoder,
    line,
)
from edge_agent.runtime.run_mark import make_run_mark

_MAX_EVENT_BYTES: Final = 64 * 2**20
_TERM_WAIT_S: Final = 2.0
_KILL_WAIT_S: Final = 5.0
_STDERR: Final = 2
_log = logging.getLogger("shoal.worker")


class WorkerProcess:
    """One worker process. `start` may be called once.

    Args:
        spec: what it is to do.
        launcher: starts it.
        on_event: called for each event, in order, from a thread of this object.
        on_exit: called once, from the same thread, after the last event, with the return code
            (negative: the signal that ended it; `UNSEEN`: nobody knows). A process that could
            not be started has said `WorkerFailed`, too.
        run_mark: descriptor of the page in which it notes what it runs; stays the caller's. One
            of its own if None.
        state: descriptor of the memory of windows and states; stays the caller's.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        launcher: Launcher,
        on_event: Callable[[WorkerEvent], None],
        on_exit: Callable[[int], None],
        run_mark: int | None = None,
        state: int | None = None,
    ) -> None:
        self.spec = spec
        self._launcher = launcher
        self._on_event = on_event
        self._on_exit = on_exit
        self._run_mark = run_mark
        self._state = state
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._orders: int | None = None
        self._unsent = line(spec)
        self._signal: signal.Signals | None = None
        self._returncode: int | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        child = self._child
        return child.pid if child is not None else 0

    def start(self) -> None:
        """Have the process started, and given its spec, by this object's thread. Never waits."""
        self._thread = threading.Thread(
            target=self._live, name=f"worker-{self.spec.slot}", daemon=True
        )
        self._thread.start()

    def send(self, order: WorkerOrder) -> bool:
        """Send an order; returns whether the process took it, or will once it is there."""
        with self._lock:
            if self._ended.is_set():
                return False
            self._unsent += line(order)
            return self._child is None or self._flush()

    def hang_up(self) -> None:
        """Send no more orders; the process takes it for the end of the agent, and leaves."""
        with self._lock:
            if self._orders is not None:
                os.close(self._orders)
                self._orders = None

    def stop(self, timeout_s: float = 5.0) -> int:
        """End the process: by order, then by SIGTERM, then by SIGKILL. Blocks.

        Args:
            timeout_s: how long the order may take; the rest is at most 7 seconds more.

        Returns:
            The return code; 0 if it was never started.
        """
        if self._thread is None:
            return 0
        self.send(WorkerOrder(order="stop"))
        for ask, wait_s in (
            (None, timeout_s),
            (signal.SIGTERM, _TERM_WAIT_S),
            (signal.SIGKILL, _KILL_WAIT_S),
        ):
            if ask is not None:
                self._send_signal(ask)
            if self._ended.wait(wait_s):
                break
            _log.warning("worker_slow_to_stop pid=%d", self.pid)
        self._join()
        return self._returncode or 0

    def kill_soon(self) -> None:
        """End the process without asking, and do not wait: `on_exit` tells when it is gone."""
        self._send_signal(signal.SIGKILL)

    def kill(self) -> None:
        """End the process at once, without asking. Blocks until it is gone."""
        if self._thread is not None:
            self.kill_soon()
            self._ended.wait(_KILL_WAIT_S)
            self._join()

    def _send_signal(self, number: signal.Signals) -> None:
        with self._lock:
            self._signal = number
            if self._child is not None:
                self._child.send_signal(number)

    def _join(self) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_KILL_WAIT_S)

    # -- the thread -------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            events = self._launch()
        except (ShoalError, OSError) as error:
            self._pass_on(_not_started(error))
            self._end(ExitStatus.FAILED)
            return
        with os.fdopen(events, "rb") as stream:
            while text := stream.readline(_MAX_EVENT_BYTES):
                self._read(text)
        self._end(self._await_end())

    def _launch(self) -> int:
        """Start the process with its files; returns the descriptor that its events come from."""
        ours: list[int] = []
        theirs: list[int] = []
        try:
            orders, ours_orders = os.pipe()
            theirs.append(orders)
            ours.append(ours_orders)
            events, theirs_events = os.pipe()
            ours.append(events)
            theirs.append(theirs_events)
            mark = self._run_mark
            if mark is None:
                theirs.append(mark := make_run_mark())
            handles = [orders, theirs_events, _STDERR, mark]
            if self._state is not None:
                handles.append(self._state)
            child = self._launcher.launch(self.spec.slot, handles)
        except BaseException:
            for handle in ours:
                os.close(handle)
            raise
        finally:
            for handle in theirs:
                os.close(handle)
        with self._lock:
            self._child = child
            self._orders = ours_orders
            # What was asked for while there was no process to ask.
            self._flush()
            if self._signal is not None:
                child.send_signal(self._signal)
        return events

    def _flush(self) -> bool:
        """Write what is to be sent. The lock is held."""
        orders = self._orders
        if orders is None:
            return False
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(orders, self._unsent) :]
        except OSError:
            return False
        return True

    def _await_end(self) -> int:
        """The process has closed its events; it has ended, or will be made to."""
        child = self._child
        if child is None:
            return UNSEEN
        returncode = child.wait(_TERM_WAIT_S)
        while returncode is None:
            _log.warning("worker_slow_to_end pid=%d", child.pid)
            child.send_signal(signal.SIGKILL)
            returncode = child.wait(_KILL_WAIT_S)
        return returncode

    def _end(self, returncode: int) -> None:
        with self._lock:
            self._returncode = returncode
            self._ended.set()
            if self._child is not None:
                self._child.close()
        self.hang_up()
        try:
            self._on_exit(returncode)
        except Exception:  # noqa: BLE001 -- the agent's fault, not the worker's
            _log.exception("worker_exit_callback_failed pid=%d", self.pid)

    def _read(self, text: bytes) -> None:
        try:
            event = event_decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("worker_event_unreadable pid=%d reason=%s", self.pid, error)
            return
        self._pass_on(event)

    def _pass_on(self, event: WorkerEvent) -> None:
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 -- the next event is still to be read
            _log.exception("worker_event_callback_failed pid=%d", self.pid)


def _not_started(error: Exception) -> WorkerFailed:
    """The word of a process that never was. Whatever it is, it may pass."""
    if not isinstance(error, ShoalError):
        error = StorageError(
            f"a worker process cannot be started: {error}",
            code="spawn_failed",
            hint="free memory, processes or file descriptors of the machine",
        )
    return WorkerFailed(
        code=error.code, text=error.text, hint=error.hint, kind="storage", retryable=True
    )


_ENDED_BY: Final[dict[int, str]] = {
    signal.SIGKILL: "somebody killed it, or the system was short of memory: see the kernel's log",
    signal.SIGSEGV: "the model crashes onnxruntime on this machine; try another version of it",
    signal.SIGILL: "onnxruntime needs a processor that this machine does not have",
}


def crash(returncode: int) -> ModelError:
    """The error for a process that ended without a word.

    Args:
        returncode: as of `subprocess`: negative for a signal; or `UNSEEN`.
    """
    if returncode == UNSEEN:
        return ModelError(
            "the worker process ended while the process that starts workers was gone, "
            "so nobody saw how",
            code="crashed",
            hint="nothing, once: it is started again; look at the agent's log if it comes back",
        )
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return ModelError(
            f"its process was ended by {name}",
            hint=_ENDED_BY.get(-returncode, "see its log, and try another version of the model"),
            code="crashed",
        )
    return ModelError(
        f"the worker process ended with status {returncode} without a reason; see its log",
        code="crashed",
        hint="look at the agent's log around it, and report it with what `edge-agent bundle` "
        "writes",
    )
