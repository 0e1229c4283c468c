"""What a device knows about its providers, and what it tells a worker."""

import threading
from pathlib import Path

import msgspec
import pytest

from edge_agent.config import HardwareSection
from edge_agent.contract.manifest import Manifest, Runtime, Tensor
from edge_agent.contract.providers import CPU, SHORT_NAMES
from edge_agent.contract.signature import TensorSpec
from edge_agent.daemon.hardware import FILE, DeviceHardware
from edge_agent.errors import Unsupported
from edge_agent.runtime.protocol import (
    Measured,
    RunsOn,
    WorkerFellBack,
    WorkerReady,
    WorkerSpec,
    WorkerTrialPassed,
)
from edge_agent.runtime.provider_probe import FoundProviders
from tests.support.models import linear_model, manifest_of

CUDA, TRT = SHORT_NAMES["cuda"], SHORT_NAMES["tensorrt"]
FOUND = FoundProviders(onnxruntime="1.31.1", providers={TRT: "no libraries", CUDA: "", CPU: ""})


class Device:
    """A device whose providers are tried when it is told to."""

    def __init__(self, folder: Path, section: HardwareSection | None = None) -> None:
        self.tries = 0
        self.is_known = threading.Event()
        self.may_answer = threading.Event()
        self.failure: Unsupported | None = None
        self.hardware = DeviceHardware(
            section or HardwareSection(),
            folder,
            onnxruntime="1.31.1",
            on_known=self.is_known.set,
            look=self.look,
        )

    def look(self, _options: dict[str, dict[str, str]]) -> FoundProviders:
        self.tries += 1
        assert self.may_answer.wait(30)
        if self.failure is not None:
            raise self.failure
        return FOUND

    def know(self) -> DeviceHardware:
        self.may_answer.set()
        self.hardware.start()
        assert self.hardware.await_known(30)
        return self.hardware


def module(*providers: str, threads: int = 0) -> Manifest:
    return manifest_of(
        linear_model(),
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="array")],
        runtime=Runtime(providers=providers, threads=threads),
    )


def test_what_was_found_is_kept_until_something_changes(tmp_path: Path) -> None:
    first = Device(tmp_path)
    hardware = first.know()
    assert hardware.providers == (CUDA, CPU)
    assert hardware.unusable == {TRT: "no libraries"}

    again = Device(tmp_path)
    again.hardware.start()
    assert again.hardware.providers == (CUDA, CPU)
    assert again.tries == 0

    other = Device(tmp_path, HardwareSection(options=("cuda.device_id=1",)))
    other.know()
    assert other.tries == 1


@pytest.mark.parametrize("text", [b"", b"[]", b'{"v": 9}'])
def test_a_damaged_file_is_found_out_again(tmp_path: Path, text: bytes) -> None:
    (tmp_path / FILE).write_bytes(text)
    device = Device(tmp_path)
    device.know()
    assert device.tries == 1


def test_who_wants_the_cpu_never_waits(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.hardware.start()
    for manifest in (module(), module("cpu"), module(CPU)):
        runs_on = device.hardware.runs_on(manifest)
        assert (runs_on.providers, runs_on.notes) == ((CPU,), ())
        assert runs_on.is_measuring
    device.may_answer.set()
    assert device.is_known.wait(30)


def test_who_waits_in_vain_runs_on_the_cpu_and_says_so(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.hardware.start()
    runs_on = device.hardware.runs_on(module("cuda"), wait_s=0.0)
    assert runs_on.providers == (CPU,)
    assert runs_on.notes == (
        "cuda is not used: the device is still trying its providers; it runs on cpu",
    )
    device.may_answer.set()
    assert device.hardware.runs_on(module("cuda")).providers == (CUDA, CPU)


def test_module_then_device_choose_and_options_go_with_it(tmp_path: Path) -> None:
    section = HardwareSection(
        providers=("cuda",), options=("cuda.device_id=1", "openvino.device_type=GPU"), max_threads=2
    )
    hardware = Device(tmp_path, section).know()
    runs_on = hardware.runs_on(module("tensorrt"))
    assert runs_on.providers == (CUDA, CPU)
    assert runs_on.options == {CUDA: {"device_id": "1"}}
    assert runs_on.notes == ("tensorrt is not used: no libraries; it runs on cuda",)
    assert runs_on.max_threads == 2
    assert hardware.runs_on(module("cpu")).providers == (CPU,)


def test_a_broken_onnxruntime_leaves_the_cpu_and_its_reason(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.failure = Unsupported("illegal instruction", code="runtime_broken")
    hardware = device.know()
    assert hardware.providers == ()
    runs_on = hardware.runs_on(module("cuda"))
    assert runs_on.providers == (CPU,)
    assert "illegal instruction" in runs_on.notes[0]
    assert not (tmp_path / FILE).exists()


def test_a_measurement_comes_back_for_the_same_model_on_the_same_hardware(tmp_path: Path) -> None:
    hardware = Device(tmp_path).know()
    fresh = hardware.runs_on(module())
    assert fresh.measured is None
    learned = Measured(threads=1, run_us=3.0, batch_rows=32, batch_gain=9.0)
    hardware.learn(fresh, learned)
    assert hardware.runs_on(module()).measured == learned
    assert Device(tmp_path).know().runs_on(module()).measured == learned
    assert hardware.runs_on(module("cuda")).measured is None
    assert hardware.runs_on(module(threads=2)).measured is None
    limited = Device(tmp_path, HardwareSection(max_threads=1)).know()
    assert limited.runs_on(module()).measured is None


def test_a_measurement_without_a_key_is_nobodys(tmp_path: Path) -> None:
    hardware = Device(tmp_path).know()
    hardware.learn(msgspec.structs.replace(hardware.runs_on(module()), key=""), Measured())
    assert hardware.runs_on(module()).measured is None


def worker(digest: str, runs_on: RunsOn | None = None) -> WorkerSpec:
    return WorkerSpec(
        mode="live",
        device="d",
        slot="s",
        version=3,
        digest=digest,
        manifest_file="",
        blob_files={},
        runs_on=runs_on or RunsOn(),
    )


def test_trials_and_first_loads_are_learned_from(tmp_path: Path) -> None:
    hardware = Device(tmp_path).know()
    spec = worker("a", hardware.runs_on(module()))
    passed = WorkerTrialPassed(cases=1, p99_ms=1.0, max_difference=0.0, peak_rss_mb=50.0)
    assert hardware.heard(spec, passed) is None
    assert hardware.runs_on(module()).measured is None
    measured = msgspec.structs.replace(passed, measured=Measured(threads=1))
    assert hardware.heard(spec, measured) is None
    assert hardware.runs_on(module()).measured == Measured(threads=1)
    loaded = WorkerReady(load_ms=1, rss_mb=50, providers=(CPU,), measured=Measured(threads=2))
    assert hardware.heard(spec, loaded) is None
    assert hardware.runs_on(module()).measured == Measured(threads=2)


def test_a_fall_back_is_told_once_for_each_version_and_reason(tmp_path: Path) -> None:
    hardware = Device(tmp_path).know()
    event = WorkerFellBack(text="cuda is not used: no; it runs on cpu", providers=(CPU,))
    told = hardware.heard(worker("a"), event)
    assert told is not None
    assert (told.name, told.level, told.text) == ("provider_fallback", "warning", event.text)
    assert told.detail == {"version": "3", "runs_on": "cpu"}
    assert hardware.heard(worker("a"), event) is None
    assert hardware.heard(worker("a"), WorkerFellBack(text="other", providers=(CPU,))) is not None
    assert hardware.heard(worker("a"), event) is None
    assert hardware.heard(worker("b"), event) is not None


def test_a_model_is_kept_off_a_provider_that_it_failed_on_also_after_a_restart(
    tmp_path: Path,
) -> None:
    hardware = Device(tmp_path).know()
    manifest = module("cuda")
    assert hardware.runs_on(manifest).providers == (CUDA, CPU)
    assert hardware.runs_on(manifest, unfit={CUDA: "it crashed"}).providers == (CPU,)
    assert hardware.runs_on(manifest).providers == (CUDA, CPU)
    hardware.keep_off(manifest, {CUDA: "it crashed"})
    for device in (hardware, Device(tmp_path).know()):
        runs_on = device.runs_on(manifest)
        assert runs_on.providers == (CPU,)
        assert runs_on.notes == ("cuda is not used: it crashed; it runs on cpu",)
        assert runs_on.measured is None


def test_nothing_is_kept_off_the_cpu(tmp_path: Path) -> None:
    hardware = Device(tmp_path).know()
    hardware.keep_off(module(), {CPU: "no", CUDA: "no"})
    assert hardware.runs_on(module()).measured is None
    assert hardware.runs_on(module("cuda")).providers == (CUDA, CPU)
