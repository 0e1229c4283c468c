"""What a run costs above onnxruntime, and what the measurement at load costs and finds.

`python -m benchmarks.session`: one row through three models of rising cost, in turns with
onnxruntime's own `run`; then each model loaded with and without the measurement.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnxruntime as ort
from onnx import helper, numpy_helper

from benchmarks.report import Figure, finish, say
from edge_agent.contract.manifest import Manifest, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.cpus import allowed_cpus
from edge_agent.runtime.opening import open_session
from edge_agent.runtime.protocol import RunsOn
from edge_agent.runtime.session import CPU, ModelSession, open_on
from tests.support.models import manifest_of, onnx_model

MODELS = {"tiny": (9, 1), "small": (64, 3), "large": (1536, 6)}
"""Name to width and layers of a network."""


def network(width: int, layers: int) -> bytes:
    """float32 X [N, width] -> float32 score [N, width]: layers of `width` neurons."""
    rng = np.random.default_rng(7)
    names = ["X", *(f"h{n}" for n in range(layers - 1)), "score"]
    nodes, weights = [], []
    for layer in range(layers):
        matrix = rng.normal(0, width**-0.5, (width, width)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [names[layer], f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Tanh", [f"m{layer}"], [names[layer + 1]]))
    specs = [TensorSpec(name, "float32", (-1, width)) for name in ("X", "score")]
    return onnx_model(nodes, specs[:1], specs[1:], weights)


def module(model: bytes, width: int) -> Manifest:
    specs = [TensorSpec(name, "float32", (-1, width)) for name in ("X", "score")]
    return manifest_of(model, specs[:1], specs[1:], [Tensor(name="X", source="array")])


def run_us(run: Callable[[], object], seconds: float) -> float:
    """One call, microseconds, as many as fit into the time."""
    calls, began = 0, time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        for _ in range(20):
            run()
        calls += 20
    return (now - began) / calls * 1e6


def in_turns(runs: Sequence[Callable[[], object]], rounds: int, seconds: float) -> list[float]:
    """Each one's median over rounds in which all take their turn."""
    seen: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for times, run in zip(seen, runs, strict=True):
            times.append(run_us(run, seconds))
    return [statistics.median(times) for times in seen]


def load_ms(model: bytes, manifest: Manifest, runs_on: RunsOn, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        open_session(model, manifest, runs_on)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn")
    options = parser.parse_args()
    figures: dict[str, Figure] = {"allowed_cpus": allowed_cpus()}
    names = ["score"]
    for name, (width, layers) in MODELS.items():
        say(f"{name}: {layers} layers of {width}")
        model = network(width, layers)
        manifest = module(model, width)
        feed = {"X": np.zeros((1, width), np.float32)}
        ours, theirs = ModelSession(model), open_on(model, CPU, {}, 1)
        if name == "tiny":
            own_us, ort_us, told_us = in_turns(
                (
                    partial(ours.run, names, feed),
                    partial(theirs.run, names, feed),
                    partial(theirs.run, names, feed, ort.RunOptions()),
                ),
                options.rounds,
                options.seconds,
            )
            figures["run_us"] = round(own_us, 2)
            figures["onnxruntime_run_us"] = round(ort_us, 2)
            figures["onnxruntime_run_with_options_us"] = round(told_us, 2)
        opened = open_session(model, manifest, RunsOn(is_measuring=True))
        plain = load_ms(model, manifest, RunsOn(), options.rounds)
        measuring = load_ms(model, manifest, RunsOn(is_measuring=True), options.rounds)
        figures[f"{name}_load_ms"] = round(plain, 2)
        figures[f"{name}_measuring_adds_ms"] = round(measuring - plain, 1)
        if opened.measured is not None:
            figures[f"{name}_one_row_us"] = opened.measured.run_us
            figures[f"{name}_threads"] = opened.measured.threads
            figures[f"{name}_batch_gain"] = opened.measured.batch_gain
    finish("session", figures, ["onnxruntime", "numpy"])


if __name__ == "__main__":
    main()
