"""A payload through a module in a child process, as `edge-agent infer` does it."""

import json
from pathlib import Path

from edge_agent.contract.manifest import Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.infer import InferRequest, infer
from tests.support.models import endless_model, manifest_of, write_module


def test_a_run_that_does_not_end_is_ended_as_the_module_says(tmp_path: Path) -> None:
    model = endless_model()
    manifest = manifest_of(
        model,
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("out", "float32", (-1, 3))],
        [Tensor(name="X", source="array")],
        name="loop",
        runtime=Runtime(run_timeout_ms=300),
    )
    built = write_module(tmp_path, manifest, {}, model)
    found = infer(
        InferRequest(
            manifest_file=str(built.manifest_file),
            digest=built.digest,
            blob_files=built.blob_files,
            payload=b"[[1, 1, 1]]",
            device="line-1",
            slot="loop",
        ),
        timeout_s=60,
    )
    assert not found.is_answered
    assert json.loads(bytes(found.result))["error"]["code"] == "run_timeout"
