"""Every format through a real model: chosen by content type, answered in kind, rows for rows."""

import json
import subprocess
import sys
from typing import Any

import cbor2
import numpy as np
import pytest

from edge_agent.contract.manifest import Field, Input, Runtime, Tensor, Window
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.codecs.cbor import CborCodec
from edge_agent.runtime.codecs.codec import CBOR_TYPE, JSON_TYPE, OIP_TYPE
from edge_agent.runtime.engine import Engine
from tests.support.engines import TOPIC, mirror, of_array, of_bytes, of_fields
from tests.support.models import fields

CBOR = Input(topic="sensors/+/rows", codec="cbor")


def typed(values: Any, dtype: str = "float32") -> cbor2.CBORTag:
    array = np.array(values, dtype)
    tag = {"float32": 85, "float64": 86, "int64": 79, "uint8": 64, "float16": 84}[dtype]
    return cbor2.CBORTag(40, [list(array.shape), cbor2.CBORTag(tag, array.tobytes())])


def ask(engine: Engine, payload: bytes, content_type: str = "") -> Any:
    answer = engine.answer(TOPIC, payload, 12.5, content_type=content_type)
    if answer is None:
        return None
    if answer.content_type == CBOR_TYPE:
        body: Any = CborCodec(2**20).decode(answer.payload)
    else:
        body = json.loads(answer.payload)
    assert answer.ok == ("outputs" in body)
    return body


def cbor_output(engine: Engine, value: object, name: str = "x_out") -> Any:
    body = ask(engine, cbor2.dumps(value), CBOR_TYPE)
    assert "outputs" in body, body
    return plain(body["outputs"][name])


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def cbor_code(engine: Engine, value: object) -> str:
    return str(ask(engine, cbor2.dumps(value), CBOR_TYPE)["error"]["code"])


def oip(name: str, shape: list[int], datatype: str, data: object, **rest: Any) -> bytes:
    item = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [item], **rest}).encode()


def test_cbor_is_answered_in_cbor_with_the_same_envelope() -> None:
    engine = of_fields("float32", (-1, 2), *fields("a", "b"), source=CBOR)
    body = ask(engine, cbor2.dumps({"a": 1, "b": 2.5, "id": "row-7", "time": 1.5}))
    assert body["outputs"]["x_out"].tolist() == [1, 2.5]
    assert (body["id"], body["input_time"], body["rows"], body["topic"]) == ("row-7", 1.5, 1, TOPIC)
    as_json = engine.answer(TOPIC, b'{"a": 1, "b": 2}', 12.5, content_type=JSON_TYPE)
    assert as_json is not None
    assert set(json.loads(as_json.payload)) == set(body) - {"id", "input_time"}
    body = ask(engine, cbor2.dumps({"a": 1, "id": 7}))
    assert (body["error"]["code"], body["error"]["field"], body["id"]) == ("missing", "b", 7)


def test_content_type_chooses_among_what_the_binding_reads() -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"))
    assert ask(engine, b'{"a": 1}')["outputs"] == {"x_out": [1]}
    assert ask(engine, b'{"a": 1}', "Application/JSON; charset=utf-8")["outputs"] == {"x_out": [1]}
    assert cbor_output(engine, {"a": 1}) == [1]
    answer = ask(engine, oip("x", [1, 1], "FP32", [3]), OIP_TYPE)
    assert answer["outputs"][0]["data"] == [3]
    refused = ask(engine, b'{"a": 1}', "image/png")["error"]
    assert refused["code"] == "content_type_unsupported"
    assert "application/cbor, application/json" in refused["text"]


def test_n_rows_in_are_n_rows_out() -> None:
    engine = of_fields("float32", (-1, 2), *fields("a", "b"))
    rows = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert ask(engine, json.dumps(rows).encode())["outputs"]["x_out"] == [[1, 2], [3, 4]]
    assert cbor_output(engine, rows) == [[1, 2], [3, 4]]
    assert cbor_output(engine, typed([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    answer = ask(engine, oip("x", [2, 2], "FP32", [1, 2, 3, 4]), OIP_TYPE)["outputs"][0]
    assert (answer["shape"], answer["data"]) == ([2, 2], [1, 2, 3, 4])
    raw = of_bytes("float32", (-1, 2))
    body = ask(raw, np.array([[1, 2], [3, 4]], "<f4").tobytes())
    assert (body["outputs"]["x_out"], body["rows"]) == ([[1, 2], [3, 4]], 2)


def test_rows_of_a_model_that_takes_one_are_run_one_by_one() -> None:
    engine = of_fields("float32", (1, 2), *fields("a", "b"))
    assert cbor_output(engine, typed([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert cbor_output(engine, cbor2.CBORTag(85, np.array([1, 2], "<f4").tobytes())) == [1, 2]


def test_typed_rows_keep_the_rules_of_their_fields() -> None:
    engine = of_fields(
        "float32",
        (-1, 3),
        Field(name="a", min=0, max=0.1, unit="bar"),
        Field(name="b", missing="nan"),
        Field(name="c", missing=7),
    )
    nan = float("nan")
    found = cbor_output(engine, typed([0.1, nan, nan]))
    assert found[0] == pytest.approx(0.1)
    assert np.isnan(found[1])
    assert found[2] == 7
    error = ask(engine, cbor2.dumps(typed([[0, 0, 0], [1, 0, 0]])), CBOR_TYPE)["error"]
    assert (error["code"], error["field"]) == ("out_of_range", "a")
    assert error["text"] == "a: row 1: expected 0 to 0.1 bar, found 1.0"
    assert cbor_code(engine, typed([nan, 0, 0])) == "not_finite"
    assert cbor_code(engine, typed([0, float("inf"), 0])) == "out_of_range"
    assert cbor_code(engine, typed([0, 0])) == "wrong_shape"
    assert cbor_code(engine, typed([[[0, 0, 0]]])) == "wrong_shape"


def test_nan_of_cbor_is_a_missing_value() -> None:
    engine = of_fields("float32", (-1, 2), Field(name="a"), Field(name="b", missing=7))
    assert cbor_output(engine, {"a": 1, "b": float("nan")}) == [1, 7]
    assert cbor_code(engine, {"a": float("nan")}) == "not_finite"
    assert cbor_code(engine, {"a": float("inf")}) == "out_of_range"


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", typed([1, 2], "float64"), [1, 2]),
        ("float32", typed([1, 2], "int64"), [1, 2]),
        ("float64", typed([0.5, 2], "float16"), [0.5, 2]),
        ("int64", typed([1, 2], "float32"), [1, 2]),
        ("int8", typed([1, 127], "uint8"), [1, 127]),
        ("bool", typed([1, 0], "uint8"), [True, False]),
        ("float32", typed([1e39, 0], "float64"), "out_of_range"),
        ("float32", typed([float("nan"), 0]), "not_finite"),
        ("float16", typed([70000, 0], "int64"), "out_of_range"),
        ("int8", typed([128, 0], "uint8"), "out_of_range"),
        ("int64", typed([1.5, 0]), "wrong_type"),
        ("int64", typed([1e30, 0]), "wrong_type"),
        ("uint64", typed([-1, 0], "int64"), "out_of_range"),
        ("bool", typed([2, 0], "uint8"), "wrong_type"),
        ("bool", typed([1, 0]), "wrong_type"),
        ("string", typed([1, 0]), "wrong_type"),
        ("float32", [1, float("nan")], "not_finite"),
        ("float32", [1, float("-inf")], "not_finite"),
        ("float32", [1, b"x"], "wrong_type"),
        ("float32", [1, typed([1])], "wrong_type"),
        ("float32", [typed([1]), 1], "wrong_type"),
        ("float32", [1, cbor2.undefined], "wrong_type"),
        ("float32", [1, cbor2.CBORSimpleValue(99)], "wrong_type"),
    ],
)  # fmt: skip
def test_typed_arrays_follow_the_rules_of_lists(
    dtype: str, value: object, expected: object
) -> None:
    engine = of_array(dtype, (-1,), path="v")
    if isinstance(expected, str):
        assert cbor_code(engine, {"v": value}) == expected
    else:
        assert cbor_output(engine, {"v": value}) == expected


def test_missing_values_that_are_allowed_go_through() -> None:
    engine = of_array("float32", (-1,), path="v", missing_values="allow")
    assert np.isnan(cbor_output(engine, {"v": typed([float("nan"), 1])})[0])
    assert np.isnan(cbor_output(engine, {"v": [float("nan"), None]})).all()


def test_lists_of_arrays_are_rows() -> None:
    engine = of_array("float32", (-1, 2))
    assert cbor_output(engine, [cbor2.CBORTag(85, bytes(8))] * 3) == [[0, 0]] * 3
    assert cbor_code(engine, [cbor2.CBORTag(85, bytes(8)), cbor2.CBORTag(85, bytes(4))]) == (
        "wrong_shape"
    )


def test_rows_for_windows_may_be_typed() -> None:
    source = Input(topic="sensors/+/rows", codec="cbor", window=Window(size=3, step=3))
    engine = of_fields("float32", (-1, 3, 2), *fields("a", "b"), source=source)
    assert ask(engine, cbor2.dumps(typed([1, 2]))) is None
    body = ask(engine, cbor2.dumps(typed([[3, 4], [5, 6]])))
    assert body["outputs"]["x_out"].tolist() == [[[1, 2], [3, 4], [5, 6]]]


def test_typed_rows_need_one_tensor_to_go_to() -> None:
    pairs = [
        (
            TensorSpec(name, "float32", (-1, 1)),
            Tensor(name=name, source="fields", fields=fields(name)),
        )
        for name in ("p", "q")
    ]
    assert cbor_code(mirror(*pairs), typed([[1], [2]])) == "wrong_shape"


def test_oip_goes_past_fields_and_windows_to_the_tensors() -> None:
    source = Input(topic="sensors/+/rows", window=Window(size=2, step=2))
    engine = of_fields("float32", (-1, 2, 1), *fields("a"), source=source)
    body = ask(engine, oip("x", [1, 2, 1], "FP32", [[[1], [2]]], id="q"), OIP_TYPE)
    assert body == {
        "model_name": "probe",
        "model_version": "3",
        "id": "q",
        "outputs": [{"name": "x_out", "shape": [1, 2, 1], "datatype": "FP32", "data": [1, 2]}],
    }


def test_oip_errors_are_the_protocols_with_a_code() -> None:
    source = Input(topic="sensors/+/rows", codec="oip")
    engine = of_fields(
        "float32", (-1, 1), *fields("a"), source=source, runtime=Runtime(max_batch=1)
    )
    body = ask(engine, oip("x", [2, 1], "FP32", [1, 2], id="q"))
    assert (body["code"], body["id"]) == ("too_many_rows", "q")
    assert "at most 1 rows" in body["error"]
    assert ask(engine, b"{")["code"] == "not_json"


def test_ids_of_cbor_that_json_cannot_write_are_left_out() -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"), source=CBOR)
    for odd in (b"bytes", typed([1]), cbor2.undefined, [1], {"a": 1}):
        assert "id" not in ask(engine, cbor2.dumps({"a": 1, "id": odd}))


def test_libraries_of_formats_that_nobody_uses_are_not_loaded() -> None:
    program = (
        "import sys\n"
        "from tests.support.engines import ask, of_fields\n"
        "from tests.support.models import fields\n"
        "assert 'outputs' in ask(of_fields('float32', (-1, 1), *fields('a')), {'a': 1})\n"
        "print(*sorted({'cbor2', 'edge_agent.runtime.codecs.oip'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
