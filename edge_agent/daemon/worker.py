"""One slot's worker: its process, what it last said, and when it is started again.

The process's reader thread calls `_on_event` and `_on_exit`; the reconcile thread calls `tick`;
slot threads wait for states. One condition guards all of it, and nothing is called out of it but
the two callbacks, which must not block.
"""

import logging
import random
import threading
from collections.abc import Callable
from typing import Final, Literal

from msgspec.structs import replace

from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import SlotError
from edge_agent.daemon.crashes import Crashes
from edge_agent.daemon.machine import is_running
from edge_agent.daemon.vitals import Vitals, ended, model_errors, no_figures, since
from edge_agent.reconcile.fitness import CURES, LOAD_S, complaint
from edge_agent.reconcile.restart import Life
from edge_agent.reconcile.trial import TrialRun
from edge_agent.reconcile.workers import WorkerSeen
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.process import WorkerProcess
from edge_agent.runtime.protocol import (
    WorkerConnected,
    WorkerDisconnected,
    WorkerEvent,
    WorkerFailed,
    WorkerFellBack,
    WorkerOrder,
    WorkerReady,
    WorkerSpec,
    WorkerStats,
    WorkerTrialPassed,
    WorkerUplink,
)
from edge_agent.store.clock import Clock
from edge_agent.store.slots import Installed

log: Final = logging.getLogger("edge_agent.daemon")

State = Literal["starting", "ready", "running", "stopped", "crashed"]


class SlotWorker:
    """A live worker of a slot, restarted for as long as it is not told to stop.

    Args:
        version: what it runs.
        spec: what its process is told.
        launcher: starts its processes.
        clock: for everything that waits.
        take_state: gives the descriptor of the slot's windows and states, which outlive the
            process; None if there is none to give.
        on_change: told after each change of state; called on any thread, must not block.
        on_uplink: told of results that the cloud wants; called on the process's reader thread.
        on_heard: told of everything else that its process says, on the same thread.
    """

    def __init__(
        self,
        version: Installed,
        spec: WorkerSpec,
        *,
        launcher: Launcher,
        clock: Clock,
        take_state: Callable[[], int | None] = lambda: None,
        on_change: Callable[["SlotWorker", str], None],
        on_uplink: Callable[[str, WorkerUplink], None],
        on_heard: Callable[[WorkerSpec, WorkerEvent], None] = lambda _spec, _event: None,
    ) -> None:
        self.version = version
        self.spec = spec
        self._launcher = launcher
        self._clock = clock
        self._take_state = take_state
        self._on_change = on_change
        self._on_uplink = on_uplink
        self._on_heard = on_heard
        self._changed = threading.Condition()
        self._process: WorkerProcess | None = None
        self._wants_connection = False
        self._mirror_path = ""
        self._is_stopping = False
        self._is_restarting = False
        self._is_damaged = False
        self._said: SlotError | None = None
        self._spawned = 0.0
        self._running_since: float | None = None
        self._connected_since: float | None = None
        self._restart_due: float | None = None
        self._provider = spec.runs_on.providers[0]
        self._vitals = Vitals()
        self._complaint: SlotError | None = None
        self._complained = 0.0
        self._stats: SlotHealth | None = None
        self.state: State = "starting"
        self.is_connected = False
        self._broker_error = ""
        self._crashes = Crashes()
        self.restarts = 0
        self.failure: SlotError | None = None
        """Why its process ended the last time, if it did by itself."""
        self.failure_is_final = False
        """Whether the process said that trying again cannot help."""

    @property
    def pid(self) -> int:
        """Process id, 0 if there is none."""
        process = self._process
        return process.pid if process is not None and self.state != "crashed" else 0

    @property
    def crashes(self) -> int:
        """How often its process ended by itself, or had to be ended."""
        return self._crashes.count

    def spawn(self) -> None:
        """Start the process. A failure to start counts as a crash and is tried again."""
        with self._changed:
            if self._is_stopping:
                return
            self.state = "starting"
            self.is_connected = False
            self._spawned = self._clock.monotonic()
            self._running_since = self._connected_since = None
            self._restart_due = None
            self._stats = None
            self._said = None
            self._complaint = None
            self._vitals.begin(self._spawned)
            self._broker_error = ""
            self._is_damaged = False
            self._provider = self.spec.runs_on.providers[0]
            state = self._take_state() if self.spec.has_state else None
            self._process = WorkerProcess(
                replace(self.spec, has_state=state is not None),
                launcher=self._launcher,
                on_event=self._on_event,
                on_exit=self._on_exit,
                run_mark=self._vitals.page,
                state=state,
            )
            self._process.start()
        self._on_change(self, self.state)

    def connect(self) -> None:
        """Answer messages from now on, or as soon as the model is loaded."""
        with self._changed:
            self._wants_connection = True
            if self.state == "ready":
                self._order_connection()

    def mirror_to(self, path: str) -> None:
        """Let a shadow hear what is answered, from now on; an empty path ends it."""
        with self._changed:
            if path == self._mirror_path:
                return
            self._mirror_path = path
            if self._process is not None and self.state in ("ready", "running"):
                self._process.send(WorkerOrder(order="mirror", path=path))

    def await_ready(self, is_superseded: Callable[[], bool]) -> bool:
        """Wait until the model is loaded. Returns False if the process ended or was too slow."""
        return self._await(lambda: self.state in ("ready", "running"), LOAD_S, or_if=is_superseded)

    def await_connected(self, timeout_s: float) -> bool:
        """Wait until messages are answered."""
        return self._await(lambda: self.is_connected, timeout_s)

    def ask_to_stop(self) -> None:
        """Let it finish what it received and leave. It is not started again."""
        with self._changed:
            self._is_stopping = True
            self._restart_due = None
            if self._process is not None and self.state in ("ready", "running", "starting"):
                self._process.send(WorkerOrder(order="stop"))
            else:
                self._stopped()

    def await_stopped(self, timeout_s: float) -> None:
        """Wait until it has left, and end it if it does not."""
        if not self._await(lambda: self.state == "stopped", timeout_s, is_ending=True):
            log.warning("event=worker_killed slot=%s pid=%d", self.spec.slot, self.pid)
            if self._process is not None:
                self._process.kill_soon()
            self._await(lambda: self.state == "stopped", 2.0, is_ending=True)

    def tick(self, now: float, *, is_broker_there: bool = False) -> float | None:
        """Start it again when that is due; end its process if that is not well.

        Args:
            now: seconds, monotonic.
            is_broker_there: whether any worker of this device is connected.

        Returns:
            When there is something to do next, seconds, monotonic, or None.
        """
        with self._changed:
            is_due = self._restart_due is not None and now >= self._restart_due
            due = self._restart_due
            self._check(now, is_broker_there)
        if is_due:
            self.restarts += 1
            self.spawn()
            return None
        return due

    def _check(self, now: float, is_broker_there: bool) -> None:
        """End the process if there is something wrong with it. The lock is held."""
        process = self._process
        if process is None or self.state not in ("starting", "ready", "running"):
            return
        found = complaint(
            self._vitals.look(
                now,
                is_loading=self.state == "starting",
                # One that waits for its turn has not been told to connect.
                is_connected=self.is_connected or self.state == "ready",
                is_broker_there=is_broker_there,
            )
        )
        if found is not None and self._complaint is None:
            self._complaint, self._complained = found, now
            if found.code in CURES:
                self._vitals.restarted_as_a_cure()
            log.error(
                "event=worker_unfit slot=%s pid=%d code=%s text=%r",
                *(self.spec.slot, process.pid, found.code, found.text),
            )
            process.kill_soon()

    def owed_since(self) -> float | None:
        """Since when something is due for it, seconds, monotonic; None while nothing will be."""
        with self._changed:
            if self._is_stopping:
                return None
            if self.state == "crashed":
                return self._restart_due
            if self._complaint is not None:
                # What the kernel does not end, though it was told to, is nobody's debt.
                return None if is_running(self.pid) else self._complained
            return self._spawned + LOAD_S if self.state == "starting" else None

    def restart(self) -> None:
        """End the process and start another at once. Never waits; not counted as a crash."""
        with self._changed:
            process = self._process if self.state != "crashed" else None
            self._is_restarting = process is not None
            if process is None:
                self._restart_due = self._clock.monotonic()
            else:
                process.kill_soon()

    def seen(self, now: float) -> WorkerSeen:
        """What the planner is told."""
        with self._changed:
            stats = self._stats
            failure = self.failure
            is_down = self.state == "crashed"
            return WorkerSeen(
                version=self.version,
                trial=TrialRun(
                    running_s=since(self._running_since, now),
                    connected_s=since(self._connected_since, now),
                    answered=stats.messages_out if stats else 0,
                    model_errors=model_errors(stats) if stats else 0,
                    model_error=self._vitals.model_error,
                    crashes=self.crashes,
                    last_words=f"{failure.code}: {failure.text}" if failure else "",
                ),
                is_damaged=is_down and self._is_damaged,
            )

    def health(self) -> SlotHealth:
        """What is reported about it."""
        with self._changed:
            state = "running" if self.state == "ready" else self.state
            stats = self._stats or no_figures(self.version)
            last = f"{self.failure.code}: {self.failure.text}" if self.failure else ""
            ended = self.failure if self.state == "crashed" else None
            return replace(
                stats,
                crashes=dict(self._crashes.by_code),
                last_crash=last,
                state=state,
                pid=self.pid,
                restarts=self.restarts,
                connected=self.is_connected,
                error=last if ended else self._broker_error,
            )

    def _await(
        self,
        is_done: Callable[[], bool],
        timeout_s: float,
        *,
        or_if: Callable[[], bool] = lambda: False,
        is_ending: bool = False,
    ) -> bool:
        deadline = self._clock.monotonic() + timeout_s
        with self._changed:
            while not is_done():
                left = deadline - self._clock.monotonic()
                ended = self.state in ("crashed", "stopped") and not is_ending
                if left <= 0 or ended or or_if():
                    return False
                self._changed.wait(min(left, 0.25))
        return True

    def _order_connection(self) -> None:
        self.state = "running"
        self._running_since = self._clock.monotonic()
        if self._process is not None:
            if self._mirror_path:
                self._process.send(WorkerOrder(order="mirror", path=self._mirror_path))
            self._process.send(WorkerOrder(order="connect"))

    def _on_event(self, event: WorkerEvent) -> None:
        self._vitals.heard()
        if isinstance(event, WorkerUplink):
            self._on_uplink(self.spec.slot, event)
            return
        self._on_heard(self.spec, event)
        with self._changed:
            before = self.state
            match event:
                case WorkerFellBack(providers=providers):
                    self._provider = providers[0]
                case WorkerReady(providers=providers):
                    self._provider = providers[0]
                    self.state = "ready"
                    if self._wants_connection:
                        self._order_connection()
                case WorkerConnected():
                    self.is_connected = True
                    self._broker_error = ""
                    if self._connected_since is None:
                        self._connected_since = self._clock.monotonic()
                case WorkerDisconnected(text=text):
                    self.is_connected = False
                    self._broker_error = text
                    log.warning("event=worker_offline slot=%s text=%r", self.spec.slot, text)
                case WorkerStats(health=health, failures=failures):
                    self._stats = health
                    self._vitals.count(health, failures)
                case WorkerFailed():
                    self._said = SlotError(code=event.code, text=event.text, step="run")
                    self.failure_is_final = not event.retryable
                    # Files that are not what they were, or not there: fetching them again helps.
                    self._is_damaged = event.kind == "integrity" or event.code == "unreadable"
                case WorkerTrialPassed():
                    log.warning("event=unexpected_worker_event slot=%s", self.spec.slot)
            self._changed.notify_all()
            after = self.state
        if before != after:
            self._on_change(self, after)

    def _on_exit(self, code: int) -> None:
        with self._changed:
            now = self._clock.monotonic()
            life = Life(
                lived_s=now - self._spawned,
                connected_s=since(self._connected_since, now),
                runs=self._vitals.runs,
            )
            self.is_connected = False
            self._running_since = self._connected_since = None
            if self._is_stopping:
                self._stopped()
            elif self._is_restarting:
                self._is_restarting = False
                self.state = "crashed"
                self._restart_due = now
            else:
                self.failure = self._said or self._complaint or ended(code)
                self._crashed(life, code, now)
            self._changed.notify_all()
            after = self.state
        self._on_change(self, after)

    def _crashed(self, life: Life, returncode: int, now: float) -> None:
        self.state = "crashed"
        code = self.failure.code if self.failure is not None else ""
        chance = random.random()  # noqa: S311  # jitter, no secret
        delay_s = self._crashes.add(code, life, returncode, self._provider, chance)
        runs_on = self._crashes.retreat(self.spec.runs_on)
        if runs_on is not None:
            # Its next process says so, as of every provider that is not used.
            self.spec = replace(self.spec, runs_on=runs_on)
        self._restart_due = now + delay_s

    def _stopped(self) -> None:
        self.state = "stopped"
        self._vitals.close()
