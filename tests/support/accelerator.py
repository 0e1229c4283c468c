"""An accelerator for tests: it computes on the CPU, says it is CUDA, and fails when told to."""

from collections.abc import Sequence
from typing import Any

import onnxruntime as ort

from edge_agent.contract.providers import CPU, SHORT_NAMES
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
