"""Devices that cannot take a version, and why."""

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.fitness import FORMATS, UNKNOWN, Machine, format_of, obstacles
from edge_agent.contract.limits import MAX_IR, MAX_OPSETS
from edge_agent.contract.manifest import Blob, Manifest, Runtime
from edge_agent.contract.state import Hardware
from tests.support.cloud import manifest_of

BLOB = Blob(path="model.onnx", digest="sha256:" + "a" * 64, size=5_000_000)
FIT = Machine(
    onnxruntime="1.31.1",
    hardware=Hardware(memory_mb=1000, providers=("CPUExecutionProvider",)),
    disk_free_mb=10.0,
)


def module(ir: int = 10, opset: int = 21, **runtime: object) -> Manifest:
    manifest = manifest_of(BLOB)
    model = replace(manifest.model, ir_version=ir, opsets={"": opset, "ai.onnx.ml": 3})
    return replace(manifest, model=model, runtime=Runtime(**runtime))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "manifest", "codes"),
    [
        (FIT, module(), []),
        (UNKNOWN, module(ir=13, opset=26, memory_mb=10**6, providers=("cuda",)), []),
        (replace(FIT, onnxruntime="1.22.1"), module(ir=11), ["ir_unsupported"]),
        (replace(FIT, onnxruntime="1.23.0"), module(opset=24), ["opset_unsupported"]),
        (replace(FIT, onnxruntime="1.24.1"), module(ir=13, opset=25), []),
        (replace(FIT, onnxruntime="2.0.0"), module(ir=13, opset=26), []),
        (replace(FIT, onnxruntime="of my own"), module(ir=13, opset=26), []),
        (FIT, module(memory_mb=1001), ["memory_short"]),
        (FIT, module(memory_mb=1000), []),
        (FIT, module(providers=("cuda",)), ["provider_missing"]),
        (FIT, module(providers=("cuda", "cpu")), []),
        (replace(FIT, disk_free_mb=4.7), module(), ["disk_short"]),
        (replace(FIT, is_disk_low=True), module(), ["disk_short"]),
        (
            replace(FIT, onnxruntime="1.22.0", disk_free_mb=0.0),
            module(ir=13, opset=26, memory_mb=2000),
            ["ir_unsupported", "opset_unsupported", "memory_short", "disk_short"],
        ),
    ],
)
def test_what_is_in_the_way_is_told(machine: Machine, manifest: Manifest, codes: list[str]) -> None:
    found = obstacles("line-1", machine, manifest, BLOB.size)
    assert [one.code for one in found] == codes
    assert {one.device for one in found} <= {"line-1"}


def test_a_full_disk_is_no_obstacle_where_nothing_is_sent() -> None:
    assert obstacles("line-1", replace(FIT, is_disk_low=True), module(), 0) == ()


def test_the_reason_of_a_provider_that_does_not_work_is_told() -> None:
    hardware = replace(FIT.hardware, unusable={"CUDAExecutionProvider": "no libcudart"})
    found = obstacles("d", replace(FIT, hardware=hardware), module(providers=("cuda",)), 0)
    assert found[0].text == "models run on cpu there, and not on cuda (cuda: no libcudart)"


def test_the_newest_known_format_is_what_modules_may_be_built_with() -> None:
    newest = format_of("1.31.1")
    assert newest is not None
    assert (newest.ir, newest.opsets) == (MAX_IR, MAX_OPSETS)
    assert list(FORMATS) == sorted(FORMATS)
