"""An accelerator for tests: it computes on the CPU, says it is CUDA, and fails when told to."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import onnxruntime as ort

from edge_agent.contract.providers import CPU, SHORT_NAMES
from edge_agent.runtime.child import Child
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.session import Feed, Options, open_on

CUDA = SHORT_NAMES["cuda"]


class Accelerated:
    """A session on the CPU that says it is on CUDA, and fails its runs when it is told to."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._real = session
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs
        self.failure: Exception | None = None
        self.rows: list[int] = []

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def run(self, names: Sequence[str], feed: Feed, options: ort.RunOptions | None = None) -> Any:
        if self.failure is not None:
            raise self.failure
        self.rows.append(max(map(len, feed.values())))
        return self._real.run(names, feed, options)


class Accelerator:
    """Opens sessions: on CUDA one of ours, on the CPU a real one."""

    def __init__(self, *, is_there: bool = True) -> None:
        self.is_there = is_there
        self.opened: list[tuple[str, ...]] = []
        self.session: Accelerated | None = None

    def open(self, model: bytes, providers: Sequence[str], own: Options, threads: int) -> Any:
        self.opened.append(tuple(providers))
        if CUDA not in providers:
            return open_on(model, providers, own, threads)
        if not self.is_there:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        self.session = Accelerated(open_on(model, (CPU,), {}, threads))
        return self.session


# A worker as far as the agent sees it: its driver crashes once the model is loaded.
_FATAL = """
import json, os, signal, sys
spec = json.loads(sys.stdin.readline())["runs_on"]
providers = spec.get("providers", ["CPUExecutionProvider"])
def say(**event):
    print(json.dumps(event), flush=True)
say(type="ready", load_ms=1.0, rss_mb=1.0, providers=providers)
for note in spec.get("notes", ()):
    say(type="fell_back", text=note, providers=providers)
if providers[0] != "CPUExecutionProvider":
    os.kill(os.getpid(), signal.SIGSEGV)
sys.stdin.readline()
"""


class FatalAccelerator(Launcher):
    """Launches workers that run no model, and whose process ends on any provider but the CPU."""

    def launch(self, title: str, handles: Sequence[int]) -> Child:
        orders, events = handles[:2]
        process = subprocess.Popen([sys.executable, "-c", _FATAL], stdin=orders, stdout=events)
        child = Child(process.pid, os.pidfd_open(process.pid))
        threading.Thread(target=lambda: child.told(process.wait()), daemon=True).start()
        return child
