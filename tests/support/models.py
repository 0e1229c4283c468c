"""Small real ONNX models, and whole modules around them, for tests.

Models are built with onnx.helper at an opset and IR version that every supported onnxruntime takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_agent.contract.manifest import (
    Blob,
    Field,
    Health,
    Input,
    Manifest,
    Model,
    Output,
    Runtime,
    Tensor,
    canonical,
    manifest_digest,
)
from edge_agent.contract.names import digest_of
from edge_agent.contract.scores import Profile
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.protocol import WorkerSpec, client_id

OPSET = 21
IR = 10
ONNX_TYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def onnx_model(
    nodes: Sequence[Any],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    weights: Sequence[TensorProto] = (),
    *,
    opset: int = OPSET,
    ir_version: int = IR,
) -> bytes:
    """An ONNX file; -1 in a shape becomes a named free dimension."""

    def value(spec: TensorSpec) -> Any:
        shape = [f"d{i}" if size < 0 else size for i, size in enumerate(spec.shape)]
        return helper.make_tensor_value_info(spec.name, ONNX_TYPES[spec.dtype], shape)

    graph = helper.make_graph(
        list(nodes), "g", [value(s) for s in inputs], [value(s) for s in outputs], list(weights)
    )
    model: ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )
    return model.SerializeToString()


def linear_model(weights: Sequence[float] = (1.0, 2.0, 3.0), bias: float = 0.5) -> bytes:
    """float32 X [N, F] -> float32 score [N, 1] = X @ weights + bias."""
    return onnx_model(
        [helper.make_node("Gemm", ["X", "W", "B"], ["score"])],
        [TensorSpec("X", "float32", (-1, len(weights)))],
        [TensorSpec("score", "float32", (-1, 1))],
        [
            numpy_helper.from_array(np.array(weights, np.float32).reshape(-1, 1), "W"),
            numpy_helper.from_array(np.array([bias], np.float32), "B"),
        ],
    )


def identity_model(*specs: TensorSpec) -> bytes:
    """Every input X comes out again as X_out, unchanged."""
    return onnx_model(
        [helper.make_node("Identity", [s.name], [f"{s.name}_out"]) for s in specs],
        specs,
        [TensorSpec(f"{s.name}_out", s.dtype, s.shape) for s in specs],
    )


def hungry_model() -> bytes:
    """int64 count [1] -> float32 out [1]: asks for `count` floats of memory on the way."""
    return onnx_model(
        [
            helper.make_node("Expand", ["one", "count"], ["many"]),
            helper.make_node("ReduceSum", ["many"], ["out"], keepdims=1),
        ],
        [TensorSpec("count", "int64", (1,))],
        [TensorSpec("out", "float32", (1,))],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )


def fields(*names: str, **options: Any) -> tuple[Field, ...]:
    return tuple(Field(name=name, **options) for name in names)


def manifest_of(
    model: bytes,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    tensors: Sequence[Tensor],
    *,
    name: str = "probe",
    source: Input | None = None,
    output: Output | None = None,
    runtime: Runtime | None = None,
    health: Health | None = None,
) -> Manifest:
    """A manifest around a model."""
    return Manifest(
        name=name,
        model=Model(
            blob=Blob(path="model.onnx", digest=digest_of(model), size=len(model)),
            ir_version=IR,
            opsets={"": OPSET},
            inputs=tuple(inputs),
            outputs=tuple(outputs),
        ),
        input=source or Input(topic="sensors/+/rows"),
        tensors=tuple(tensors),
        output=output or Output(topic="results/{1}/rows"),
        runtime=runtime or Runtime(),
        health=health or Health(),
    )


@dataclass(frozen=True)
class BuiltModule:
    """A module on disk, as the agent would have installed it."""

    manifest: Manifest
    digest: str
    manifest_file: Path
    blob_files: dict[str, str]

    @property
    def files(self) -> dict[str, Path]:
        """Digest to file, as publishing wants it."""
        return {digest: Path(file) for digest, file in self.blob_files.items()}

    def spec(self, mode: str, **options: Any) -> WorkerSpec:
        """A worker's spec for this module."""
        return msgspec.convert(
            {
                "mode": mode,
                "device": "line-1",
                "slot": self.manifest.name,
                "version": 1,
                "digest": self.digest,
                "manifest_file": str(self.manifest_file),
                "blob_files": self.blob_files,
                "client_id": client_id("line-1", self.manifest.name),
                **msgspec.to_builtins(options),
            },
            WorkerSpec,
        )


def build_module(
    folder: Path,
    *,
    name: str = "probe",
    weights: Sequence[float] = (1.0, 2.0, 3.0),
    bias: float = 0.5,
    source: Input | None = None,
    output: Output | None = None,
    runtime: Runtime | None = None,
    golden: object = None,
    tolerance: float = 1e-5,
    profile: Profile | UnsetType = UNSET,
) -> BuiltModule:
    """A linear module over the fields a, b, c, ...; score = fields @ weights + bias.

    Args:
        golden: cases as JSON values; by default one that is right.
    """
    letters = "abcdefghijklmnopqrstuvwxyz"[: len(weights)]
    if golden is None:
        golden = {
            "payload": dict.fromkeys(letters, 1.0),
            "outputs": {"score": [sum(weights) + bias]},
        }
    cases = msgspec.json.encode(golden)
    blob = Blob(path="golden/case.json", digest=digest_of(cases), size=len(cases))
    model = linear_model(weights, bias)
    manifest = manifest_of(
        model,
        [TensorSpec("X", "float32", (-1, len(weights)))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="fields", fields=fields(*letters, min=-1000.0, max=1000.0))],
        name=name,
        source=source,
        output=output,
        runtime=runtime,
        health=Health(golden=(blob,), tolerance=tolerance, profile=profile),
    )
    return write_module(folder, manifest, {blob.digest: cases}, model)


def write_module(
    folder: Path, manifest: Manifest, blobs: dict[str, bytes], model: bytes
) -> BuiltModule:
    """Write manifest and blobs below `folder`, named by their digests."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for data in (model, *blobs.values()):
        digest = digest_of(data)
        path = folder / digest.removeprefix("sha256:")
        path.write_bytes(data)
        files[digest] = str(path)
    manifest_file = folder / "manifest.json"
    manifest_file.write_bytes(canonical(manifest))
    return BuiltModule(manifest, manifest_digest(manifest), manifest_file, files)


def endless_model(least: float = 1.0) -> bytes:
    """float32 X [N, 3] -> float32 out [N, 3]: adds X to itself 2^60 times if its largest number is
    at least `least`; otherwise it gives X at once.
    """
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("Add", ["sum", "X"], ["sum_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_out", TensorProto.FLOAT, None),
        ],
    )
    spec = TensorSpec("X", "float32", (-1, 3))
    return onnx_model(
        [
            helper.make_node("ReduceMax", ["X"], ["largest"], keepdims=0),
            helper.make_node("GreaterOrEqual", ["largest", "least"], ["loops"]),
            helper.make_node("Loop", ["turns", "loops", "X"], ["out"], body=body),
        ],
        [spec],
        [TensorSpec("out", "float32", (-1, 3))],
        [
            numpy_helper.from_array(np.array(2**60, np.int64), "turns"),
            numpy_helper.from_array(np.array(least, np.float32), "least"),
        ],
    )
