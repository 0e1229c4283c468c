"""A small recurrent model, its module, and the same cell as a numpy loop."""

from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from onnx import helper, numpy_helper

from edge_agent.contract.manifest import Input, Manifest, Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from tests.support.models import BuiltModule, fields, manifest_of, onnx_model, write_module

INPUTS = 2
HIDDEN = 3

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Cell:
    """A gated recurrent unit: h' = (1 - z) * n + z * h; score = h' @ out.

    Args:
        seed: of the weights.
        hidden: width of the state.
    """

    def __init__(self, seed: int = 1, hidden: int = HIDDEN) -> None:
        noise = np.random.default_rng(seed)

        def weights(rows: int, columns: int) -> Floats:
            return noise.normal(0, 0.6, (rows, columns)).astype(np.float32)

        self.hidden = hidden
        self.weights = {
            name: weights(rows, hidden)
            for name, rows in (
                ("Wr", INPUTS), ("Wz", INPUTS), ("Wn", INPUTS),
                ("Ur", hidden), ("Uz", hidden), ("Un", hidden),
            )
        }  # fmt: skip
        self.weights["out"] = weights(hidden, 1)

    def step(self, row: Floats, state: Floats) -> tuple[Floats, Floats]:
        """Score [1] and state [H] after a row [INPUTS]."""
        w = self.weights
        reset = _sigmoid(row @ w["Wr"] + state @ w["Ur"])
        update = _sigmoid(row @ w["Wz"] + state @ w["Uz"])
        new = np.tanh(row @ w["Wn"] + (reset * state) @ w["Un"])
        after = (1 - update) * new + update * state
        return after @ w["out"], after

    def run(self, rows: list[tuple[float, float]], state: Floats) -> tuple[list[float], Floats]:
        """The score after each row, and the state after the last."""
        found = []
        for row in rows:
            score, state = self.step(np.array(row, np.float32), state)
            found.append(float(score[0]))
        return found, state

    def scores(self, rows: list[tuple[float, float]], start: float = 0.0) -> list[float]:
        """The score after each row, from a state that is `start` everywhere."""
        return self.run(rows, np.full(self.hidden, start, np.float32))[0]

    def model(self, *, batch: int = -1) -> bytes:
        """float32 X [N, 2], h [N, H] -> score [N, 1], h_next [N, H]."""
        nodes: list[Any] = []

        def node(kind: str, inputs: list[str], output: str) -> str:
            nodes.append(helper.make_node(kind, inputs, [output]))
            return output

        def gate(kind: str, name: str, state: str) -> str:
            from_row = node("MatMul", ["X", f"W{name}"], f"{name}_row")
            from_state = node("MatMul", [state, f"U{name}"], f"{name}_state")
            return node(kind, [node("Add", [from_row, from_state], f"{name}_sum")], name)

        reset, update = gate("Sigmoid", "r", "h"), gate("Sigmoid", "z", "h")
        new = gate("Tanh", "n", node("Mul", [reset, "h"], "reset_h"))
        kept = node("Mul", [update, "h"], "kept")
        other = node("Sub", ["one", update], "other")
        node("Add", [node("Mul", [other, new], "fresh"), kept], "h_next")
        node("MatMul", ["h_next", "out"], "score")
        return onnx_model(
            nodes,
            self.inputs(batch),
            self.outputs(batch),
            [
                *(numpy_helper.from_array(array, name) for name, array in self.weights.items()),
                numpy_helper.from_array(np.ones(1, np.float32), "one"),
            ],
        )

    def inputs(self, batch: int = -1) -> list[TensorSpec]:
        return [
            TensorSpec("X", "float32", (batch, INPUTS)),
            TensorSpec("h", "float32", (batch, self.hidden)),
        ]

    def outputs(self, batch: int = -1) -> list[TensorSpec]:
        return [
            TensorSpec("score", "float32", (batch, 1)),
            TensorSpec("h_next", "float32", (batch, self.hidden)),
        ]

    def manifest(self, *, batch: int = -1, value: Any = None, **options: Any) -> Manifest:
        """A module that publishes the score only."""
        model = self.model(batch=batch)
        score, state = self.outputs(batch)
        manifest = manifest_of(
            model,
            self.inputs(batch),
            [score],
            [
                Tensor(name="X", source="fields", fields=fields("a", "b")),
                Tensor(name="h", source="state", output="h_next", value=value),
            ],
            **options,
        )
        return _with_state_output(manifest, state)

    def module(self, folder: Path, *, runtime: Runtime | None = None) -> BuiltModule:
        manifest = self.manifest(source=Input(topic="sensors/+/rows"), runtime=runtime)
        return write_module(folder, manifest, {}, self.model())


def rows_of(source: int, count: int) -> list[tuple[float, float]]:
    """Rows of a source topic, other ones for each."""
    noise = np.random.default_rng(source)
    return [(round(float(a), 3), round(float(b), 3)) for a, b in noise.normal(0, 1, (count, 2))]


def _sigmoid(values: Floats) -> Floats:
    result: Floats = (1 / (1 + np.exp(-values))).astype(np.float32)
    return result


def _with_state_output(manifest: Manifest, output: TensorSpec) -> Manifest:
    return replace(manifest, model=replace(manifest.model, state_outputs=(output,)))
