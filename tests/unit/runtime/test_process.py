"""Worker processes as the agent sees them: trials, failures, crashes, ends."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from edge_agent.contract.manifest import Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.probe import probe
from edge_agent.runtime.process import WorkerProcess, crash
from edge_agent.runtime.protocol import (
    BrokerAddress,
    WorkerFailed,
    WorkerReady,
    WorkerTrialPassed,
)
from tests.support.models import (
    BuiltModule,
    build_module,
    hungry_model,
    manifest_of,
    write_module,
)
from tests.support.workers import Worker, run_trial

TIMEOUT_S = 60


def trial_error(module: BuiltModule) -> WorkerFailed:
    found = run_trial(module.spec("trial"))
    assert isinstance(found, WorkerFailed)
    return found


def test_a_good_module_passes_its_trial(tmp_path: Path) -> None:
    passed = run_trial(build_module(tmp_path).spec("trial"))
    assert isinstance(passed, WorkerTrialPassed)
    assert passed.cases == 1
    assert passed.max_difference == 0
    assert passed.p99_ms > 0
    assert passed.peak_rss_mb > 10


def test_a_wrong_answer_fails_the_trial(tmp_path: Path) -> None:
    golden = {"payload": {"a": 1, "b": 1, "c": 1}, "outputs": {"score": [99]}}
    error = trial_error(build_module(tmp_path, golden=golden))
    assert error.kind == "model"
    assert error.code == "golden_failed"
    assert "expected 99, found 6.5" in error.text


def test_a_changed_model_file_fails_the_trial(tmp_path: Path) -> None:
    module = build_module(tmp_path)
    path = Path(module.blob_files[module.manifest.model.blob.digest])
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    assert trial_error(module).kind == "integrity"
    path.write_bytes(path.read_bytes() + b"more")
    assert trial_error(module).kind == "integrity"
    path.unlink()
    assert trial_error(module).kind == "storage"


def test_a_file_that_is_no_model_is_unsupported(tmp_path: Path) -> None:
    junk = b"no model at all"
    manifest = manifest_of(
        junk,
        [TensorSpec("X", "float32", (-1, 1))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="array")],
    )
    error = trial_error(write_module(tmp_path, manifest, {}, junk))
    assert error.kind == "unsupported"
    assert error.code == "not_onnx"


def test_a_manifest_of_another_digest_is_refused(tmp_path: Path) -> None:
    spec = build_module(tmp_path).spec("trial")
    found = run_trial(msgspec.structs.replace(spec, digest="sha256:" + "0" * 64))
    assert isinstance(found, WorkerFailed)
    assert found.kind == "integrity"


def hungry(folder: Path, count: int) -> BuiltModule:
    """A module whose one golden case asks for `count` floats within 128 MB."""
    model = hungry_model()
    spec, out = TensorSpec("count", "int64", (1,)), TensorSpec("out", "float32", (1,))
    golden = {"payload": [count], "outputs": {"out": [count]}}
    built = build_module(folder / "golden", golden=golden)
    manifest = msgspec.structs.replace(
        manifest_of(
            model,
            [spec],
            [out],
            [Tensor(name="count", source="array")],
            runtime=Runtime(memory_mb=128),
        ),
        health=built.manifest.health,
    )
    cases = {b.digest: msgspec.json.encode(golden) for b in built.manifest.health.golden}
    return write_module(folder, manifest, cases, model)


def test_memory_is_bounded_and_running_out_of_it_is_an_error_not_a_crash(tmp_path: Path) -> None:
    passed = run_trial(hungry(tmp_path / "a", 1000).spec("trial"))
    assert isinstance(passed, WorkerTrialPassed)
    error = trial_error(hungry(tmp_path / "b", 2**30))
    assert error.kind == "model"
    assert "out_of_memory" in error.text


def test_a_live_worker_without_a_broker_says_so(tmp_path: Path) -> None:
    with Worker(build_module(tmp_path).spec("live")) as worker:
        failed = worker.wait_event(WorkerFailed)
        assert (failed.kind, failed.code, failed.retryable) == ("invalid", "spec_invalid", False)
        assert worker.wait_exit() == 1


def test_stop_ends_a_worker_that_was_never_connected(tmp_path: Path) -> None:
    spec = build_module(tmp_path).spec("live", broker=BrokerAddress(url="mqtt://127.0.0.1:1"))
    with Worker(spec) as worker:
        assert worker.process.stop() == 0
        assert worker.wait_exit() == 0


def test_a_worker_that_does_not_obey_is_killed(tmp_path: Path) -> None:
    spec = build_module(tmp_path).spec("live", broker=BrokerAddress(url="mqtt://127.0.0.1:1"))
    with Worker(spec) as worker:
        worker.wait_event(WorkerReady)
        os.kill(worker.process.pid, signal.SIGSTOP)
        assert worker.process.stop(timeout_s=0.1) == -signal.SIGKILL


def test_a_crash_is_a_model_error_with_the_signals_name() -> None:
    assert "SIGSEGV" in crash(-signal.SIGSEGV).text
    assert "status 3" in crash(3).text


def test_a_failing_callback_does_not_end_the_reading(tmp_path: Path, launcher: Launcher) -> None:
    ended = threading.Event()

    def broken(_event: object) -> None:
        raise RuntimeError("the agent's fault")

    worker = WorkerProcess(
        build_module(tmp_path).spec("trial"),
        launcher=launcher,
        on_event=broken,
        on_exit=lambda _: ended.set(),
    )
    worker.start()
    assert ended.wait(TIMEOUT_S)


def test_probe_says_what_is_installed() -> None:
    facts = probe()
    assert "CPUExecutionProvider" in facts.providers
    assert facts.onnxruntime


def test_the_agents_side_imports_nothing_heavy() -> None:
    script = (
        "import sys, edge_agent.runtime.process, edge_agent.runtime.probe\n"
        "print([m for m in ('numpy', 'onnxruntime', 'paho', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, timeout=TIMEOUT_S
    )
    assert done.stdout.strip() == b"[]"


def test_invalid_input_is_not_retried(tmp_path: Path) -> None:
    error = trial_error(build_module(tmp_path, golden={"payload": 1, "outputs": {}}))
    assert (error.kind, error.retryable) == ("invalid", False)
    assert error.code == "golden_invalid"
