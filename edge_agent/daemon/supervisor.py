"""The workers of all slots: started, replaced, proved, stopped. Implements reconcile's `Workers`.

Slot threads call `run`, `prove`, `prepare`, `hand_over` and `stop`, one thread a slot; the
reconcile thread calls `seen` and `tick`; any thread may ask for health.
"""

import logging
import signal
import threading
from collections.abc import Callable
from typing import Final

from edge_agent.contract.messages import SlotHealth
from edge_agent.daemon.worker import SlotWorker
from edge_agent.errors import NotFound, Superseded
from edge_agent.reconcile.workers import WorkerRefused, WorkerSeen
from edge_agent.runtime.launch import UNSEEN
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.process import WorkerProcess, crash
from edge_agent.runtime.protocol import (
    WorkerEvent,
    WorkerFailed,
    WorkerSpec,
    WorkerTrialPassed,
    WorkerUplink,
)
from edge_agent.runtime.region_files import RegionFiles
from edge_agent.store.clock import Clock
from edge_agent.store.slots import Installed

log: Final = logging.getLogger("edge_agent.daemon")

PROVE_S: Final = 300.0
DRAIN_S: Final = 5.0
CONNECT_S: Final = 5.0


class Supervisor:
    """All workers of a device.

    Args:
        launcher: starts the processes.
        clock: for everything that waits.
        on_change: told slot and new state whenever a worker's state changes; must not block.
        on_uplink: told of results that the cloud wants; must not block.
        on_heard: told of everything else that a process says; must not block.
        prove_s: longest time that the golden cases may take, seconds.
    """

    def __init__(
        self,
        *,
        launcher: Launcher,
        clock: Clock,
        on_change: Callable[[str, SlotWorker, str], None],
        on_uplink: Callable[[str, WorkerUplink], None],
        on_heard: Callable[[WorkerSpec, WorkerEvent], None] = lambda _spec, _event: None,
        prove_s: float = PROVE_S,
    ) -> None:
        self._launcher = launcher
        self._clock = clock
        self._on_change = on_change
        self._on_uplink = on_uplink
        self._on_heard = on_heard
        self._prove_s = prove_s
        self._regions = RegionFiles()
        self._lock = threading.Lock()
        self._live: dict[str, SlotWorker] = {}
        self._prepared: dict[str, SlotWorker] = {}
        self._proving: set[WorkerProcess] = set()
        self._is_closed = False

    def seen(self) -> dict[str, WorkerSeen]:
        """Every slot for which a worker was started."""
        now = self._clock.monotonic()
        return {slot: worker.seen(now) for slot, worker in self._workers().items()}

    def health(self) -> dict[str, SlotHealth]:
        """Counters of every slot's worker."""
        return {slot: worker.health() for slot, worker in self._workers().items()}

    def owed(self) -> dict[str, float]:
        """Slots for which something is due: since when, seconds, monotonic; see `owed_since`."""
        found = {slot: worker.owed_since() for slot, worker in self._workers().items()}
        return {slot: since for slot, since in found.items() if since is not None}

    def pids(self) -> list[int]:
        """Process ids of all workers."""
        return [worker.pid for worker in self._workers().values() if worker.pid]

    def run(self, slot: str, version: Installed, spec: WorkerSpec) -> None:
        """Start a worker and keep one running; whatever ran in the slot is stopped first."""
        self._stop(slot)
        if not spec.has_state:
            self._regions.drop(slot)
        worker = self._make(slot, version, spec)
        with self._lock:
            if self._is_closed:
                return
            self._live[slot] = worker
        self._aim_mirrors()
        worker.connect()
        worker.spawn()

    def prove(self, spec: WorkerSpec, is_superseded: Callable[[], bool]) -> WorkerTrialPassed:
        """Run the golden cases in a process of their own.

        Raises:
            WorkerRefused: they did not pass, or the process could not do it in time.
            Superseded: `is_superseded` said so.
        """
        done = threading.Event()
        said: list[WorkerEvent] = []
        codes: list[int] = []

        def on_exit(code: int) -> None:
            codes.append(code)
            done.set()

        process = WorkerProcess(
            spec, launcher=self._launcher, on_event=said.append, on_exit=on_exit
        )
        with self._lock:
            self._proving.add(process)
        deadline = self._clock.monotonic() + self._prove_s
        try:
            process.start()
            while not done.wait(0.1):
                if is_superseded():
                    raise Superseded(f"the trial of {spec.slot} is not wanted any more")
                if self._clock.monotonic() > deadline:
                    raise WorkerRefused(
                        f"the golden cases expected to end within {self._prove_s:g} s, did not",
                        code="trial_timeout",
                        is_retryable=True,
                    )
        finally:
            process.kill()
            with self._lock:
                self._proving.discard(process)
        for event in said:
            self._on_heard(spec, event)
            if isinstance(event, WorkerTrialPassed):
                return event
            if isinstance(event, WorkerFailed):
                raise WorkerRefused(event.text, code=event.code, is_retryable=event.retryable)
        # The kernel kills with SIGKILL when memory is short: that can pass. Any other end is the
        # model's doing, and it would do it again.
        error = crash(codes[0])
        raise WorkerRefused(
            error.text, code=error.code, is_retryable=codes[0] in (-signal.SIGKILL, UNSEEN)
        )

    def prepare(
        self, slot: str, version: Installed, spec: WorkerSpec, is_superseded: Callable[[], bool]
    ) -> None:
        """Load a version beside the running one, without connecting it.

        Raises:
            WorkerRefused: it did not load.
            Superseded: `is_superseded` said so; it is gone again.
        """
        worker = self._make(slot, version, spec)
        with self._lock:
            self._prepared[slot] = worker
        worker.spawn()
        if worker.await_ready(is_superseded):
            return
        with self._lock:
            self._prepared.pop(slot, None)
        failure, is_final = worker.failure, worker.failure_is_final
        worker.ask_to_stop()
        worker.await_stopped(DRAIN_S)
        if is_superseded():
            raise Superseded(f"loading of {slot} is not wanted any more")
        raise WorkerRefused(
            failure.text if failure else "the model did not load in time",
            code=failure.code if failure else "load_timeout",
            is_retryable=not is_final,
        )

    def hand_over(self, slot: str) -> None:
        """Let the running version finish and leave, then connect the prepared one.

        Raises:
            WorkerRefused: the prepared one is not there any more.
        """
        with self._lock:
            successor = self._prepared.pop(slot, None)
        if successor is None or successor.state != "ready":
            if successor is not None:
                successor.ask_to_stop()
                successor.await_stopped(DRAIN_S)
            raise WorkerRefused(
                "the new version ended before it could take over",
                code="worker_crashed",
                is_retryable=True,
            )
        self._stop(slot)
        if not successor.spec.has_state:
            self._regions.drop(slot)
        with self._lock:
            self._live[slot] = successor
        self._aim_mirrors()
        successor.connect()
        # A broker that is away is no fault of the version: it connects when the broker is back.
        if not successor.await_connected(CONNECT_S):
            log.warning("event=not_connected_yet slot=%s", slot)

    def stop(self, slot: str) -> None:
        """Let the slot's worker finish, end it, and forget the slot's windows and states."""
        self._stop(slot)
        self._regions.drop(slot)

    def _stop(self, slot: str) -> None:
        with self._lock:
            worker = self._live.pop(slot, None)
        if worker is not None:
            self._aim_mirrors()
            worker.ask_to_stop()
            worker.await_stopped(DRAIN_S)

    def restart(self, slot: str) -> None:
        """End a slot's process and start another at once.

        Raises:
            NotFound: nothing runs in this slot.
        """
        worker = self._workers().get(slot)
        if worker is None:
            raise NotFound(
                f"slot {slot!r} has no worker on this device",
                hint="wait until it is installed; `edge-agent status` says how far it is",
            )
        worker.restart()

    def tick(self, now: float) -> float | None:
        """Do what is due. Returns when something is due next, seconds, monotonic, or None."""
        workers = self._workers().values()
        is_broker_there = any(w.is_connected and w.spec.mode == "live" for w in workers)
        dues = [w.tick(now, is_broker_there=is_broker_there) for w in workers]
        return min((due for due in dues if due is not None), default=None)

    def close(self, timeout_s: float) -> None:
        """End everything, all at once, the live ones politely. Nothing can be started any more.

        Args:
            timeout_s: how long the live ones get to finish what they received.
        """
        with self._lock:
            self._is_closed = True
            workers = [*self._live.values(), *self._prepared.values()]
            self._live.clear()
            self._prepared.clear()
            proving = list(self._proving)
        for process in proving:
            process.kill_soon()
        _end(workers, timeout_s, self._clock)
        self._regions.close()

    def stop_all(self) -> None:
        """End every worker, all at once and politely; they may be started again."""
        with self._lock:
            workers = list(self._live.values())
            self._live.clear()
        _end(workers, DRAIN_S, self._clock)

    def _aim_mirrors(self) -> None:
        """Tell every worker which shadow hears what it answers, if any does."""
        workers = self._workers()
        paths = {w.spec.shadows: w.spec.mirror_path for w in workers.values() if w.spec.shadows}
        for slot, worker in workers.items():
            worker.mirror_to(paths.get(slot, ""))

    def _workers(self) -> dict[str, SlotWorker]:
        with self._lock:
            return dict(self._live)

    def _make(self, slot: str, version: Installed, spec: WorkerSpec) -> SlotWorker:
        return SlotWorker(
            version,
            spec,
            launcher=self._launcher,
            clock=self._clock,
            take_state=lambda: self._regions.take(slot),
            on_change=lambda worker, state: self._on_change(slot, worker, state),
            on_uplink=self._on_uplink,
            on_heard=self._on_heard,
        )


def _end(workers: list[SlotWorker], timeout_s: float, clock: Clock) -> None:
    """Ask all, then wait for all: however many they are, it takes no longer than one."""
    deadline = clock.monotonic() + timeout_s
    for worker in workers:
        worker.ask_to_stop()
    for worker in workers:
        worker.await_stopped(max(0.0, deadline - clock.monotonic()))
