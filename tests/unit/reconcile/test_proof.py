"""Proving a version: where it failed on an accelerator, it is tried on what is left."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.providers import CPU, SHORT_NAMES, choose
from edge_agent.reconcile.hardware import NONE_UNFIT
from edge_agent.reconcile.proof import prove
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.reconcile.workers import WorkerRefused, WorkerSeen
from edge_agent.runtime.protocol import BrokerAddress, RunsOn, WorkerSpec, WorkerTrialPassed
from edge_agent.store.blobs import BlobStore
from edge_agent.store.slots import Installed, SlotRecord
from tests.support.models import build_module

CUDA, TRT = SHORT_NAMES["cuda"], SHORT_NAMES["tensorrt"]
PASSED = WorkerTrialPassed(cases=1, p99_ms=1.0, max_difference=0.0, peak_rss_mb=50.0)


class Choice:
    """Hardware with TensorRT and CUDA; everybody wants both."""

    def __init__(self) -> None:
        self.kept_off: dict[str, str] = {}

    def runs_on(self, manifest: Manifest, *, unfit: Mapping[str, str] = NONE_UNFIT) -> RunsOn:
        choice = choose(("tensorrt", "cuda"), (), {TRT: "", CUDA: "", CPU: "", **unfit})
        return RunsOn(providers=choice.providers, notes=choice.notes)

    def keep_off(self, manifest: Manifest, unfit: Mapping[str, str]) -> None:
        self.kept_off |= unfit


class Trials:
    """Workers that pass trials on some providers only."""

    def __init__(self, passes_on: set[str], code: str = "crashed") -> None:
        self.passes_on = passes_on
        self.code = code
        self.tried: list[str] = []

    def prove(self, spec: WorkerSpec, is_superseded: Callable[[], bool]) -> WorkerTrialPassed:
        provider = spec.runs_on.providers[0]
        self.tried.append(provider)
        if provider not in self.passes_on:
            raise WorkerRefused(f"not on {provider}", code=self.code, is_retryable=False)
        return replace(PASSED, providers=spec.runs_on.providers)

    def seen(self) -> dict[str, WorkerSeen]:
        return {}

    def run(self, slot: str, version: Installed, spec: WorkerSpec) -> None:
        raise NotImplementedError

    def prepare(
        self, slot: str, version: Installed, spec: WorkerSpec, is_superseded: Callable[[], bool]
    ) -> None:
        raise NotImplementedError

    def hand_over(self, slot: str) -> None:
        raise NotImplementedError

    def stop(self, slot: str) -> None:
        raise NotImplementedError


class Bench:
    """One version, its files, and hardware to choose from."""

    def __init__(self, folder: Path) -> None:
        built = build_module(folder / "module")
        blobs = BlobStore(folder)
        path = blobs.path(built.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(built.manifest_file.read_bytes())
        self.version = Installed(module="probe", version=1, digest=built.digest)
        self.record = SlotRecord(slot="probe", target=self.version)
        self.choice = Choice()
        self.specs = WorkerSpecs(
            "line-1",
            BrokerAddress(url="mqtt://127.0.0.1:1"),
            is_shared=False,
            blobs=blobs,
            run_folder=folder / "run",
            hardware=self.choice,
        )

    def prove(self, trials: Trials) -> WorkerTrialPassed:
        return prove(trials, self.specs, self.record, self.version, lambda: False)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_passes_at_once_is_tried_once(bench: Bench) -> None:
    trials = Trials({TRT, CUDA, CPU})
    assert bench.prove(trials).providers == (TRT, CUDA, CPU)
    assert trials.tried == [TRT]
    assert bench.choice.kept_off == {}


def test_a_model_that_crashes_on_accelerators_is_proved_on_the_cpu_and_kept_off_them(
    bench: Bench,
) -> None:
    trials = Trials({CPU})
    assert bench.prove(trials).providers == (CPU,)
    assert trials.tried == [TRT, CUDA, CPU]
    assert list(bench.choice.kept_off) == [TRT, CUDA]
    assert "failed its trial on it: crashed: not on" in bench.choice.kept_off[CUDA]


def test_a_version_that_passes_nowhere_is_refused_and_no_provider_is_blamed(bench: Bench) -> None:
    trials = Trials(set(), code="golden_failed")
    with pytest.raises(WorkerRefused, match=f"not on {CPU}"):
        bench.prove(trials)
    assert trials.tried == [TRT, CUDA, CPU]
    assert bench.choice.kept_off == {}


def test_what_is_wrong_with_the_files_is_not_the_providers_fault(bench: Bench) -> None:
    trials = Trials({CPU}, code="not_onnx")
    with pytest.raises(WorkerRefused):
        bench.prove(trials)
    assert trials.tried == [TRT]
