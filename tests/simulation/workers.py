"""Workers by simulated time: they hash what they load, and behave as its bytes say.

They implement what the agent asks of workers, and start no process. A version takes the machine
down by the agent's death, as far as the agent can tell.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.contract.messages import SlotHealth
from edge_agent.errors import Superseded
from edge_agent.reconcile.trial import TrialRun
from edge_agent.reconcile.workers import WorkerRefused, WorkerSeen
from edge_agent.runtime.protocol import WorkerSpec, WorkerTrialPassed
from edge_agent.store.slots import Installed
from tests.simulation.fate import Fate
from tests.simulation.modules import ILL_AFTER_S, Character, Nature, nature_of
from tests.support.simulated_clock import SimulatedClock

PROVE_S: Final = 300.0
LOAD_S: Final = 120.0
MESSAGES_PER_S: Final = 10.0
SHY_ATTEMPTS: Final = 2


class Shyness:
    """How often each version was asked to prove itself. It outlives the agent."""

    def __init__(self) -> None:
        self.asked: Counter[int] = Counter()


@dataclass
class Worker:
    """One that was started.

    Attributes:
        nature: of its model; None if its files are not what they should be.
        since: when it began to answer, seconds, monotonic.
    """

    version: Installed
    nature: Nature | None
    since: float
    crashes: int = 0


class SimulatedWorkers:
    """Implements `Workers` and `Workforce`.

    Args:
        clock: of the device.
        fate: of its agent.
        shyness: of the versions.
    """

    def __init__(self, clock: SimulatedClock, fate: Fate, shyness: Shyness) -> None:
        self._clock = clock
        self._fate = fate
        self._shyness = shyness
        self._prepared: dict[str, Worker] = {}
        self.live: dict[str, Worker] = {}

    def seen(self) -> dict[str, WorkerSeen]:
        """Every slot for which a worker was started."""
        return {
            slot: WorkerSeen(
                version=worker.version, trial=self._run_of(worker), is_damaged=worker.nature is None
            )
            for slot, worker in self.live.items()
        }

    def run(self, slot: str, version: Installed, spec: WorkerSpec) -> None:
        """Start a worker; one whose files are not right says so."""
        self._fate.pass_by("before run")
        self.live[slot] = Worker(version, _read(spec), self._clock.monotonic())
        self._fate.pass_by("after run")

    def prove(self, spec: WorkerSpec, is_superseded: Callable[[], bool]) -> WorkerTrialPassed:
        """Run the golden cases."""
        self._fate.pass_by("before the proof")
        nature = self._load(spec)
        match nature.character:
            case Character.WRONG:
                raise WorkerRefused("case 1 is wrong", code="golden_failed", is_retryable=False)
            case Character.SLOW:
                self._clock.advance(PROVE_S)
                if is_superseded():
                    raise Superseded("not wanted any more")
                raise WorkerRefused("it never ends", code="trial_timeout", is_retryable=True)
            case Character.SHY:
                self._shyness.asked[nature.number] += 1
                if self._shyness.asked[nature.number] <= SHY_ATTEMPTS:
                    raise WorkerRefused("no memory", code="out_of_memory", is_retryable=True)
            case Character.DEADLY_PROOF:
                self._fate.die("proof")
        self._clock.advance(0.5)
        self._fate.pass_by("after the proof")
        return WorkerTrialPassed(cases=1, p99_ms=0.1, max_difference=0.0, peak_rss_mb=50.0)

    def prepare(
        self, slot: str, version: Installed, spec: WorkerSpec, is_superseded: Callable[[], bool]
    ) -> None:
        """Load a version beside the running one."""
        self._fate.pass_by("before the load")
        nature = self._load(spec)
        if is_superseded():
            raise Superseded("not wanted any more")
        if nature.character is Character.DEADLY_LOAD:
            self._fate.die("load")
        if nature.character is Character.UNLOADABLE:
            self._clock.advance(LOAD_S)
            raise WorkerRefused("it does not load", code="load_timeout", is_retryable=True)
        self._prepared[slot] = Worker(version, nature, 0.0)
        self._fate.pass_by("after the load")

    def hand_over(self, slot: str) -> None:
        """Let the prepared version answer."""
        self._fate.pass_by("before the change")
        worker = self._prepared.pop(slot)
        worker.since = self._clock.monotonic()
        self.live[slot] = worker
        self._fate.pass_by("after the change")

    def stop(self, slot: str) -> None:
        """End the slot's workers."""
        self._fate.pass_by("before the stop")
        self.live.pop(slot, None)
        self._prepared.pop(slot, None)

    def health(self) -> dict[str, SlotHealth]:
        """Counters of every slot's worker."""
        return {
            slot: SlotHealth(
                module=worker.version.module,
                version=worker.version.version,
                digest=worker.version.digest,
                state="crashed" if worker.nature is None else "running",
            )
            for slot, worker in self.live.items()
        }

    def pids(self) -> list[int]:
        """There are no processes."""
        return []

    def tick(self, now: float) -> float | None:
        """What is ill shows."""
        for worker in self.live.values():
            if worker.nature is None or now - worker.since < ILL_AFTER_S:
                continue
            if worker.nature.character is Character.DEADLY_LIVE:
                self._fate.die("live")
            if worker.nature.character is Character.CRASHING:
                worker.crashes += 1
                worker.since = now
        return None

    def stop_all(self) -> None:
        """End every worker."""
        self.live.clear()

    def _load(self, spec: WorkerSpec) -> Nature:
        nature = _read(spec)
        if nature is None:
            raise WorkerRefused("a file is wrong", code="blob_damaged", is_retryable=True)
        return nature

    def _run_of(self, worker: Worker) -> TrialRun:
        if worker.nature is None:
            return TrialRun(crashes=1, last_words="a file is wrong")
        seconds = self._clock.monotonic() - worker.since
        messages = int(seconds * MESSAGES_PER_S)
        errors = messages // 2 if worker.nature.character is Character.ERRING else 0
        return TrialRun(
            running_s=seconds,
            connected_s=seconds,
            answered=messages - errors,
            model_errors=errors,
            crashes=worker.crashes,
        )


def _read(spec: WorkerSpec) -> Nature | None:
    """Hash every file, as a worker does before it loads any; None if one is wrong."""
    files = {spec.digest: spec.manifest_file, **spec.blob_files}
    if len(files) < 2:
        return None
    found: dict[str, bytes] = {}
    for digest, file in files.items():
        try:
            found[digest] = Path(file).read_bytes()
        except OSError:
            return None
        if f"sha256:{hashlib.sha256(found[digest]).hexdigest()}" != digest:
            return None
    (model,) = (found[digest] for digest in spec.blob_files)
    return nature_of(model)
