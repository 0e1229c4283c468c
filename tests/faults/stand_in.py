"""Workers for the walk: they read and hash every file as a worker does, and run nothing.

Real workers are killed elsewhere. These are as good as their files: whatever is started with a
file that is missing or wrong is remembered, because no worker may ever meet one.
"""

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

from edge_agent.errors import Superseded
from edge_agent.reconcile.trial import TrialRun
from edge_agent.reconcile.workers import WorkerRefused, WorkerSeen
from edge_agent.runtime.protocol import WorkerSpec, WorkerTrialPassed
from edge_agent.store.slots import Installed

_LOADING = TrialRun()
_GOOD = TrialRun(running_s=1e6, connected_s=1e6, answered=1000)
_CRASHED = TrialRun(running_s=1.0, connected_s=1.0, crashes=1, last_words="segmentation fault")


class StandInWorkers:
    """Implements `Workers`.

    Args:
        bad: digests of modules that crash on live messages.
        unproved: digests of modules whose golden cases fail.
    """

    def __init__(self, *, bad: Collection[str], unproved: Collection[str]) -> None:
        self._bad = bad
        self._unproved = unproved
        self._running: dict[str, tuple[Installed, bool]] = {}
        self._prepared: dict[str, Installed] = {}
        self.is_loading = False
        """Whether what is started stays on trial, for as long as this is set."""
        self.unfounded: list[str] = []
        """What was started without its files, for people."""

    def seen(self) -> dict[str, WorkerSeen]:
        """Every slot for which a worker was started."""
        return {
            slot: WorkerSeen(version=version, trial=self._trial(version), is_damaged=is_damaged)
            for slot, (version, is_damaged) in self._running.items()
        }

    def run(self, slot: str, version: Installed, spec: WorkerSpec) -> None:
        """Start a worker; one whose files are not right says so."""
        fault = _file_fault(spec)
        if fault:
            self.unfounded.append(f"slot {slot}: {fault}")
        self._running[slot] = (version, bool(fault))

    def prove(self, spec: WorkerSpec, is_superseded: Callable[[], bool]) -> WorkerTrialPassed:
        """Run the golden cases: those of most modules pass."""
        self._check(spec, is_superseded)
        if spec.digest in self._unproved:
            raise WorkerRefused("case 1 is wrong", code="golden_failed", is_retryable=False)
        return WorkerTrialPassed(cases=1, p99_ms=0.1, max_difference=0.0, peak_rss_mb=50.0)

    def prepare(
        self, slot: str, version: Installed, spec: WorkerSpec, is_superseded: Callable[[], bool]
    ) -> None:
        """Load a version beside the running one."""
        self._check(spec, is_superseded)
        self._prepared[slot] = version

    def hand_over(self, slot: str) -> None:
        """Let the prepared version answer."""
        self._running[slot] = (self._prepared.pop(slot), False)

    def stop(self, slot: str) -> None:
        """End the slot's workers."""
        self._running.pop(slot, None)
        self._prepared.pop(slot, None)

    def _check(self, spec: WorkerSpec, is_superseded: Callable[[], bool]) -> None:
        if is_superseded():
            raise Superseded("not wanted any more")
        fault = _file_fault(spec)
        if fault:
            raise WorkerRefused(fault, code="blob_damaged", is_retryable=True)

    def _trial(self, version: Installed) -> TrialRun:
        if self.is_loading:
            return _LOADING
        return _CRASHED if version.digest in self._bad else _GOOD


def _file_fault(spec: WorkerSpec) -> str:
    """What is wrong with the files that a worker is told to load; empty if nothing is."""
    if not spec.blob_files:
        return "no files listed"
    for digest, file in {spec.digest: spec.manifest_file, **spec.blob_files}.items():
        try:
            data = Path(file).read_bytes()
        except OSError as error:
            return f"{digest}: {error}"
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            return f"{digest}: other bytes"
    return ""
