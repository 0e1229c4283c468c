"""The modules that workers are measured with: tabular models on nine features."""

from pathlib import Path
from typing import Final, Literal

import numpy as np
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_agent.contract.manifest import (
    Blob,
    Codec,
    Field,
    Input,
    Manifest,
    Model,
    Output,
    Tensor,
    canonical,
    manifest_digest,
)
from edge_agent.contract.names import digest_of
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.protocol import WorkerSpec

FIELDS: Final = 9

Kind = Literal["forest", "regression"]


def train(kind: Kind = "forest") -> tuple[bytes, int, dict[str, int]]:
    """A forest of 100 trees, depth 10, or a logistic regression behind a scaler, as ONNX.

    Returns:
        The file, its IR version and its opsets.
    """
    random = np.random.default_rng(7)
    rows = random.normal(size=(4000, FIELDS)).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0.5).astype(np.int64)
    model = (
        RandomForestClassifier(100, max_depth=10, random_state=7, n_jobs=1)
        if kind == "forest"
        else make_pipeline(StandardScaler(), LogisticRegression())
    ).fit(rows, labels)
    proto = to_onnx(
        model,
        rows[:1],
        options={id(model): {"zipmap": False}},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    opsets = {item.domain: item.version for item in proto.opset_import}
    return proto.SerializeToString(), proto.ir_version, opsets


def build(
    folder: Path,
    name: str,
    topics: tuple[str, str],
    codec: Codec = "json",
    kind: Kind = "forest",
) -> WorkerSpec:
    """What a worker needs to answer rows on `topics[0]` on `topics[1]`.

    Args:
        folder: where the files go.
        name: of the slot.
        topics: input and output.
        codec: "json" takes rows of named fields, "octet-stream" float32 [N, 9].
        kind: of model; the forest gives label and probabilities, the regression the label.
    """
    model, ir_version, opsets = train(kind)
    fields = tuple(Field(name=f"f{i}", min=-1000, max=1000) for i in range(FIELDS))
    outputs = (
        TensorSpec("label", "int64", (-1,)),
        TensorSpec("probabilities", "float32", (-1, 2)),
    )
    tensor = (
        Tensor(name="X", source="fields", fields=fields)
        if codec == "json"
        else Tensor(name="X", source="bytes")
    )
    manifest = Manifest(
        name="forest",
        model=Model(
            blob=Blob(path="model.onnx", digest=digest_of(model), size=len(model)),
            ir_version=ir_version,
            opsets=opsets,
            inputs=(TensorSpec("X", "float32", (-1, FIELDS)),),
            outputs=outputs if kind == "forest" else outputs[:1],
        ),
        input=Input(topic=topics[0], codec=codec),
        tensors=(tensor,),
        output=Output(topic=topics[1]),
    )
    model_file, manifest_file = folder / f"{name}.onnx", folder / f"{name}.json"
    model_file.write_bytes(model)
    manifest_file.write_bytes(canonical(manifest))
    return WorkerSpec(
        mode="live",
        device="bench",
        slot=name,
        version=1,
        digest=manifest_digest(manifest),
        manifest_file=str(manifest_file),
        blob_files={digest_of(model): str(model_file)},
        client_id=f"bench_{name}",
    )
