"""The zygote: what it shares, what it does not, and that it may die."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge_agent.errors import Unavailable
from edge_agent.runtime import zygote_process
from edge_agent.runtime.launch import UNSEEN
from edge_agent.runtime.launcher import Launcher, pause_s
from edge_agent.runtime.process import crash
from edge_agent.runtime.protocol import BrokerAddress, WorkerFailed, WorkerReady, WorkerSpec
from tests.support.models import build_module
from tests.support.waiting import wait_for
from tests.support.workers import Worker, run_trial

NOBODY = BrokerAddress(url="mqtt://127.0.0.1:1")


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    return build_module(tmp_path).spec("live", broker=NOBODY)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_gone(pid: int) -> bool:
    """Ended; its entry may wait for somebody to look at it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_workers_are_forked_from_one_process_that_has_one_thread(
    spec: WorkerSpec, launcher: Launcher
) -> None:
    with Worker(spec, launcher) as one, Worker(spec, launcher) as other:
        one.wait_event(WorkerReady)
        other.wait_event(WorkerReady)
        zygote = launcher.zygote_pid
        assert (parent(one.process.pid), parent(other.process.pid)) == (zygote, zygote)
        assert len(list(Path(f"/proc/{zygote}/task").iterdir())) == 1
        assert Path(f"/proc/{one.process.pid}/comm").read_text().strip() == spec.slot


def files(worker: Worker) -> set[str]:
    return {str(entry.readlink()) for entry in Path(f"/proc/{worker.process.pid}/fd").iterdir()}


def test_a_worker_has_its_own_files_and_group_and_none_of_its_siblings(
    spec: WorkerSpec, launcher: Launcher
) -> None:
    with Worker(spec, launcher) as one, Worker(spec, launcher) as other:
        one.wait_event(WorkerReady)
        other.wait_event(WorkerReady)
        assert os.getpgid(one.process.pid) == one.process.pid
        assert os.getsid(one.process.pid) == one.process.pid
        shared = files(one) & files(other)
        stderr = str(Path("/proc/self/fd/2").readlink())
        # Each page of its own has the same name.
        named = {name for name in shared if name != stderr and "memfd" not in name}
        assert not {name for name in named if not name.startswith("anon_inode:")}, named


TAKES_OVER = """
import os, resource, sys
from edge_agent.runtime.zygote import take_over
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
low, high = os.pipe()
os.dup2(low, 200)
os.dup2(high, 3)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
out = os.dup(1)
take_over([0, 3, out])
os.write(2, " ".join(sorted(os.listdir("/proc/self/fd"), key=int)).encode())
"""


def test_what_is_open_is_closed_whatever_number_it_has_and_nothing_else_is_tried() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAKES_OVER], capture_output=True, check=True, timeout=30
    )
    # The last one is the listing itself.
    assert done.stdout == b"0 1 2 3"


def test_a_killed_worker_is_reported_by_its_signal(spec: WorkerSpec, launcher: Launcher) -> None:
    with Worker(spec, launcher) as worker:
        worker.wait_event(WorkerReady)
        os.kill(worker.process.pid, signal.SIGSEGV)
        assert worker.wait_exit() == -signal.SIGSEGV


def test_a_zygote_that_is_killed_is_replaced_and_its_workers_live_on(
    spec: WorkerSpec, launcher: Launcher
) -> None:
    with Worker(spec, launcher) as old:
        old.wait_event(WorkerReady)
        first = launcher.zygote_pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: launcher.zygote_pid not in (0, first), 30)
        with Worker(spec, launcher) as new:
            new.wait_event(WorkerReady)
            assert not is_gone(old.process.pid)
            assert parent(new.process.pid) != parent(old.process.pid)
        # Nobody sees how an orphan ends, but that it did is noticed at once, and said.
        os.kill(old.process.pid, signal.SIGKILL)
        assert old.wait_exit() == UNSEEN
        assert "nobody saw how" in crash(UNSEEN).text


def test_an_orphan_is_stopped_as_any_other(spec: WorkerSpec, launcher: Launcher) -> None:
    with Worker(spec, launcher) as worker:
        worker.wait_event(WorkerReady)
        os.kill(launcher.zygote_pid, signal.SIGKILL)
        worker.process.stop()
        assert is_gone(worker.process.pid)


def test_the_zygote_ends_with_its_agent_and_leaves_its_workers_to_themselves(
    spec: WorkerSpec,
) -> None:
    launcher = Launcher()
    with Worker(spec, launcher) as worker:
        worker.wait_event(WorkerReady)
        zygote = launcher.zygote_pid
        launcher.close()
        wait_for(lambda: is_gone(zygote))
        assert not is_gone(worker.process.pid)
    with pytest.raises(Unavailable, match="stopping"):
        launcher.launch("late", [0, 1, 2])


def broken_python(folder: Path, last_words: str) -> str:
    """An interpreter that ends as one does that cannot load onnxruntime."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{last_words}\n")
    path.chmod(0o755)
    return str(path)


def test_a_machine_that_cannot_load_onnxruntime_is_an_error_of_the_slot_that_may_pass(
    spec: WorkerSpec, launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interpreter = broken_python(tmp_path, "kill -ILL $$")
        patch.setattr(zygote_process.sys, "executable", interpreter)
        with Worker(spec, launcher) as worker:
            assert worker.wait_exit(30) == 1
        failed = worker.events[-1]
        assert isinstance(failed, WorkerFailed)
        assert failed.code == "runtime_broken"
        assert failed.retryable
        assert "cannot be loaded on this machine: the import ended by SIGILL" in failed.text
        # Not tried again at once, and the reason is still said.
        again = run_trial(msgspec.structs.replace(spec, mode="trial"), launcher)
        assert isinstance(again, WorkerFailed)
        assert again.text == failed.text

    # Repaired (as after the installation of a build that fits): it is found out by itself.
    wait_for(lambda: launched(spec, launcher), 30)


def launched(spec: WorkerSpec, launcher: Launcher) -> bool:
    with Worker(spec, launcher) as worker:
        wait_for(lambda: worker.events, 30)
        return isinstance(worker.events[0], WorkerReady)


def test_a_module_that_raises_on_import_is_quoted(
    spec: WorkerSpec, launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "onnxruntime.py").write_text("raise ImportError('libonnx.so: bad ELF class')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with Worker(spec, launcher) as worker:
        worker.wait_exit(30)
    failed = worker.events[-1]
    assert isinstance(failed, WorkerFailed)
    assert "bad ELF class" in failed.text


def test_pauses_between_attempts_double_to_a_minute() -> None:
    assert [pause_s(n) for n in (1, 2, 3, 8, 9, 1000)] == [0.5, 1.0, 2.0, 60.0, 60.0, 60.0]
