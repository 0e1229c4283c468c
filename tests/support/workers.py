"""Worker processes in tests: started, listened to, and ended for sure."""

import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.process import WorkerProcess
from edge_agent.runtime.protocol import (
    WorkerEvent,
    WorkerFailed,
    WorkerOrder,
    WorkerSpec,
    WorkerTrialPassed,
)

E = TypeVar("E")


class Worker:
    """A worker process whose events can be waited for.

    Args:
        spec: what it is to do.
        launcher: starts it; one of its own if None.
        options: of `WorkerProcess`.
    """

    def __init__(
        self, spec: WorkerSpec, launcher: Launcher | None = None, **options: int | None
    ) -> None:
        self.events: list[WorkerEvent] = []
        self.returncode: int | None = None
        self._changed = threading.Condition()
        self._own = Launcher() if launcher is None else None
        self.process = WorkerProcess(
            spec,
            launcher=launcher or self._own or Launcher(),
            on_event=self._on_event,
            on_exit=self._on_exit,
            **options,
        )

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        if self._own is not None:
            self._own.close()

    def connect(self) -> None:
        self.process.send(WorkerOrder(order="connect"))

    def wait_event(
        self,
        kind: type[E],
        matches: Callable[[E], bool] = lambda _: True,
        timeout_s: float = 20,
    ) -> E:
        """The newest event of a kind that matches; waits for one."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for event in reversed(self.events):
                    if isinstance(event, kind) and matches(event):
                        return event
                left = deadline - time.monotonic()
                assert left > 0, f"no {kind.__name__} in {self.events[-5:]}"
                assert self.returncode is None, f"ended with {self.returncode}: {self.events[-5:]}"
                self._changed.wait(left)

    def wait_exit(self, timeout_s: float = 15) -> int:
        with self._changed:
            assert self._changed.wait_for(lambda: self.returncode is not None, timeout_s)
        assert self.returncode is not None
        return self.returncode

    def _on_event(self, event: WorkerEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def _on_exit(self, returncode: int) -> None:
        with self._changed:
            self.returncode = returncode
            self._changed.notify_all()


def run_trial(
    spec: WorkerSpec, launcher: Launcher | None = None
) -> WorkerTrialPassed | WorkerFailed:
    """The last word of a worker that checks the golden cases."""
    with Worker(spec, launcher) as worker:
        worker.wait_exit(60)
    word = worker.events[-1]
    assert isinstance(word, WorkerTrialPassed | WorkerFailed)
    return word
