"""The Open Inference Protocol: JSON, the binary extension, and what neither may do."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.datatypes import DATATYPES
from edge_agent.contract.manifest import Input, Manifest, Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.tensors import TensorInputs
from edge_agent.runtime.codecs.oip import OipCodec, OipRequest
from edge_agent.runtime.codecs.oip_response import write_response
from edge_agent.runtime.codecs.oip_types import datatype_of, read_raw, write_raw
from tests.support.models import identity_model, manifest_of

X = TensorSpec("x", "float32", (-1, 2))
TEXT = TensorSpec("text", "string", (-1, 1))


def module(*specs: TensorSpec, **options: Any) -> Manifest:
    outputs = [TensorSpec(f"{s.name}_out", s.dtype, s.shape) for s in specs]
    tensors = [Tensor(name=s.name, source="array", path=s.name) for s in specs]
    model = identity_model(*specs)
    source = Input(topic="sensors/+/rows", codec="oip")
    return manifest_of(model, specs, outputs, tensors, source=source, **options)


def tensor(name: str = "x", **changes: Any) -> dict[str, Any]:
    return {"name": name, "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}


def body(*inputs: dict[str, Any], **rest: Any) -> bytes:
    return json.dumps({"inputs": inputs or [tensor()], **rest}).encode()


def read(manifest: Manifest, payload: bytes, json_bytes: int | None = None) -> OipRequest:
    return OipCodec(manifest).read(payload, json_bytes)


def code(payload: bytes, json_bytes: int | None = None, manifest: Manifest | None = None) -> str:
    manifest = manifest or module(X)
    with pytest.raises(MessageError) as caught:
        TensorInputs(manifest).feed(read(manifest, payload, json_bytes))
    assert len(str(caught.value)) < 1000
    return caught.value.code


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("bool", [True, False]), ("string", ["a", "ä"]), ("float16", [0.5, -2]),
        ("float32", [0.1, 3]), ("float64", [0.1, 1e300]), ("int8", [-128, 127]),
        ("int16", [-32768, 32767]), ("int32", [-(2**31), 5]), ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 255]), ("uint16", [0, 65535]), ("uint32", [0, 2**32 - 1]),
        ("uint64", [0, 2**64 - 1]),
    ],
)  # fmt: skip
def test_every_datatype_as_flat_and_nested_json_and_as_raw_bytes(
    dtype: Any, values: list[Any]
) -> None:
    spec = TensorSpec("x", dtype, (-1, 2))
    codec = OipCodec(manifest_of(b"", [spec], [spec], [Tensor(name="x", source="array")]))
    item = {"name": "x", "shape": [1, 2], "datatype": DATATYPES[dtype]}
    expected = np.array([values], dtype=object if dtype == "string" else dtype)
    raw = write_raw(expected)
    head = json.dumps({"inputs": [{**item, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    for request in (
        codec.decode(json.dumps({"inputs": [{**item, "data": values}]}).encode()),
        codec.decode(json.dumps({"inputs": [{**item, "data": [values]}]}).encode()),
        codec.read(head + raw, len(head)),
    ):
        found = request.arrays["x"]
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()
        assert datatype_of(found) == DATATYPES[dtype]


def test_raw_tensors_lie_behind_the_json_in_order() -> None:
    manifest = module(X, TEXT)
    raw_text = struct.pack("<I", 2) + "ä".encode()
    head = body(
        {"name": "text", "shape": [1, 1], "datatype": "BYTES",
         "parameters": {"binary_data_size": len(raw_text)}},
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
        parameters={"binary_data_output": True},
        outputs=[{"name": "x_out"}, {"name": "text_out", "parameters": {"binary_data": False}}],
        id="7",
    )  # fmt: skip
    request = read(manifest, head + raw_text + struct.pack("<2f", 1, 2), len(head))
    feed, rows = TensorInputs(manifest).feed(request)
    assert rows == 1
    assert feed["text"].tolist() == [["ä"]]
    assert feed["x"].tolist() == [[1, 2]]
    assert feed["x"].flags.aligned
    assert request.outputs == (("x_out", True), ("text_out", False))

    answer = write_response("m", "3", request, {"x_out": feed["x"], "text_out": feed["text"]})
    assert answer.json_bytes is not None
    told = json.loads(answer.body[: answer.json_bytes])
    assert told == {
        "model_name": "m",
        "model_version": "3",
        "id": "7",
        "outputs": [
            {"name": "x_out", "shape": [1, 2], "datatype": "FP32",
             "parameters": {"binary_data_size": 8}},
            {"name": "text_out", "shape": [1, 1], "datatype": "BYTES", "data": ["ä"]},
        ],
    }  # fmt: skip
    assert answer.body[answer.json_bytes :] == struct.pack("<2f", 1, 2)


def test_body_may_be_the_only_input_itself() -> None:
    request = read(module(X), struct.pack("<4f", 1, 2, 3, 4), 0)
    assert request.arrays["x"].tolist() == [[1, 2], [3, 4]]
    assert request.wants_binary
    assert read(module(TEXT), b"whole body", 0).arrays["text"].tolist() == [["whole body"]]
    assert code(b"12345", 0) == "wrong_shape"
    assert code(b"", 0) == "wrong_shape"
    assert code(bytes(8), 0, module(X, TEXT)) == "wrong_shape"
    assert code(bytes(8), 0, module(TensorSpec("x", "float32", (-1, -1)))) == "wrong_shape"


def test_answer_is_json_unless_the_request_wants_raw_bytes() -> None:
    request = read(module(X), body())
    answer = write_response("m", "3", request, {"x_out": np.array([[0.1, 2]], np.float32)})
    assert answer.json_bytes is None
    assert json.loads(answer.body)["outputs"][0]["data"] == [0.1, 2]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"[]", "wrong_type"),
        (b'{"inputs": []}', "missing"),
        (b'{"inputs": [{"name": "x", "shape": [1e999]}]}', "out_of_range"),
        (b"[" * 50_000, "too_deep"),
        (body(tensor("y")), "unknown_input"),
        (body(tensor(), tensor()), "wrong_shape"),
        (body(tensor(datatype="FP64")), "wrong_type"),
        (body(tensor(datatype="nonsense")), "wrong_type"),
        (body(tensor(shape=[1, 3])), "wrong_shape"),
        (body(tensor(shape=[2])), "wrong_shape"),
        (body(tensor(shape=[-1, 2])), "wrong_shape"),
        (body(tensor(shape=[2**62, 2])), "wrong_shape"),
        (body(tensor(shape=[2, 2])), "wrong_shape"),
        (body(tensor(shape=[0, 2], data=[])), "wrong_shape"),
        (body(tensor(shape=[9, 2], data=[0] * 18)), "too_many_rows"),
        (body(tensor(data=[[1], [2]])), "wrong_shape"),
        (body(tensor(data=["1", 2])), "wrong_type"),
        (body(tensor(data=[True, 2])), "wrong_type"),
        (body(tensor(data=[1e39, 2])), "out_of_range"),
        (body(tensor(data=[None, 2])), "missing"),
        (body(tensor(data={"a": 1})), "wrong_type"),
        (body({"name": "x", "shape": [1, 2], "datatype": "FP32"}), "missing"),
        (body(tensor(parameters={"binary_data_size": 8})), "wrong_shape"),
        (body(tensor(parameters={"shared_memory_region": "r"})), "unsupported_parameter"),
        (body(outputs=[{"name": "y"}]), "unknown_output"),
        (body(outputs=[{"name": "x_out"}] * 2), "unsupported_parameter"),
        (body(outputs=[{"name": "x_out", "parameters": {"classification": 2}}]),
         "unsupported_parameter"),
        (body(outputs=[{"name": "x_out", "parameters": {"binary_data": 1}}]), "wrong_type"),
        (b" " * 2**20 + body(), "too_large"),
    ],
)  # fmt: skip
def test_json_requests_that_are_refused(payload: bytes, expected: str) -> None:
    assert code(payload, manifest=module(X, runtime=Runtime(max_batch=8))) == expected


@pytest.mark.parametrize(
    ("size", "raw", "expected"),
    [
        (8, b"", "wrong_shape"),
        (8, bytes(9), "wrong_shape"),
        (4, bytes(4), "wrong_shape"),
        (-8, bytes(8), "wrong_shape"),
        (2**62, bytes(8), "wrong_shape"),
        (True, bytes(8), "wrong_shape"),
        ("8", bytes(8), "wrong_shape"),
        (8, struct.pack("<2f", 1, float("nan")), "not_finite"),
    ],
)
def test_raw_tensors_that_are_refused(size: Any, raw: bytes, expected: str) -> None:
    head = body({"name": "x", "shape": [1, 2], "datatype": "FP32",
                 "parameters": {"binary_data_size": size}})  # fmt: skip
    assert code(head + raw, len(head)) == expected


@pytest.mark.parametrize("json_bytes", [-1, 10_000])
def test_length_of_the_json_must_be_within_the_body(json_bytes: int) -> None:
    assert code(body(), json_bytes) == "wrong_shape"


@pytest.mark.parametrize(
    ("raw", "count", "expected"),
    [
        (b"\x01", 1, "wrong_shape"),
        (b"\xff\xff\xff\xff", 1, "wrong_shape"),
        (b"\x00\x00\x00\x00", 2**40, "wrong_shape"),
        (b"\x00\x00\x00\x00rest", 1, "wrong_shape"),
        (b"\x01\x00\x00\x00\xff", 1, "wrong_type"),
        (b"\x04\x00\x00\x00abcd\x00", 2, "wrong_shape"),
    ],
)
def test_raw_texts_are_checked_before_they_are_made(raw: bytes, count: int, expected: str) -> None:
    with pytest.raises(MessageError) as caught:
        read_raw("x", "string", (count,), raw, 0, len(raw))
    assert caught.value.code == expected


def test_raw_booleans_are_0_or_1() -> None:
    with pytest.raises(MessageError) as caught:
        read_raw("x", "bool", (2,), b"\x01\x02", 0, 2)
    assert caught.value.code == "out_of_range"


def test_all_inputs_have_as_many_rows() -> None:
    other = TensorSpec("other", "float32", (-1, 2))
    two = tensor("other", shape=[2, 2], data=[0, 0, 0, 0])
    assert code(body(tensor(), two), manifest=module(X, other)) == "wrong_shape"


def test_constants_are_filled_in_unless_they_are_given() -> None:
    scale = TensorSpec("scale", "float32", (-1, 1))
    tensors = [
        Tensor(name="x", source="array"),
        Tensor(name="scale", source="constant", value=[2.0]),
    ]
    inputs = TensorInputs(manifest_of(b"", [X, scale], [X], tensors))
    rows = np.zeros((3, 2), np.float32)
    given = np.ones((3, 1), np.float32)
    feed, count = inputs.feed(OipRequest(arrays={"x": rows}))
    assert (count, feed["scale"].tolist()) == (3, [[2], [2], [2]])
    feed, _ = inputs.feed(OipRequest(arrays={"x": rows, "scale": given}))
    assert feed["scale"] is given


@given(st.lists(st.text()))
def test_texts_survive_their_raw_form(texts: list[str]) -> None:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    raw = write_raw(array)
    assert read_raw("x", "string", array.shape, raw, 0, len(raw)).tolist() == texts
