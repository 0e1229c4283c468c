"""Loading models: what runs, what is refused, and in which words."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import ModelError, ShoalError, Unsupported
from edge_agent.runtime.session import ModelSession
from tests.support.models import identity_model, linear_model, onnx_model

X = TensorSpec("X", "float32", (-1, 3))
Y = TensorSpec("Y", "float32", (-1, 3))
IDENTITY = [helper.make_node("Identity", ["X"], ["Y"])]


def refusal(model: bytes) -> ShoalError:
    with pytest.raises((Unsupported, ModelError)) as caught:
        ModelSession(model)
    assert caught.value.__cause__ is not None
    return caught.value


def external_data_model() -> bytes:
    weight = numpy_helper.from_array(np.ones(3, np.float32), "W")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return onnx_model([helper.make_node("Add", ["X", "W"], ["Y"])], [X], [Y], [weight])


def test_signature_names_types_and_free_dimensions() -> None:
    session = ModelSession(linear_model())
    assert session.inputs == (TensorSpec("X", "float32", (-1, 3)),)
    assert session.outputs == (TensorSpec("score", "float32", (-1, 1)),)
    assert session.providers == ("CPUExecutionProvider",)


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float32",
        "float64",
        "int8",
        "int32",
        "int64",
        "uint8",
        "uint64",
        "bool",
        "string",
    ],
)
def test_every_element_type_is_known(dtype: str) -> None:
    spec = TensorSpec("x", dtype, (-1, 2))  # type: ignore[arg-type]
    assert ModelSession(identity_model(spec)).inputs == (spec,)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (b"", "not_onnx"),
        (b"this is no model", "not_onnx"),
        (linear_model()[:60], "not_onnx"),
        (onnx_model(IDENTITY, [X], [Y], opset=99), "opset_unsupported"),
        (onnx_model(IDENTITY, [X], [Y], ir_version=99), "ir_unsupported"),
        (external_data_model(), "external_data"),
    ],
    ids=["empty", "text", "cut off", "opset", "ir", "external data"],
)
def test_what_cannot_run_is_refused_by_its_reason(model: bytes, code: str) -> None:
    error = refusal(model)
    assert isinstance(error, Unsupported)
    assert error.code == code
    assert "onnxruntime_src" not in error.text


def test_unknown_operator_is_unsupported() -> None:
    model = onnx_model([helper.make_node("Frobnicate", ["X"], ["Y"])], [X], [Y])
    assert refusal(model).code == "operator_unsupported"


def test_dictionaries_are_named_as_unsupported_outputs() -> None:
    import sklearn.linear_model as sklearn
    from skl2onnx import to_onnx

    rows = np.eye(4, dtype=np.float32)
    fitted = sklearn.LogisticRegression().fit(rows, [0, 1, 0, 1])
    model = to_onnx(fitted, rows, target_opset={"": 18, "ai.onnx.ml": 3}).SerializeToString()
    session = ModelSession(model)
    assert [spec.name for spec in session.outputs] == ["output_label"]
    assert "zipmap=False" in session.unsupported_outputs["output_probability"]


def test_failed_run_is_a_model_error_with_the_cause() -> None:
    session = ModelSession(linear_model())
    with pytest.raises(ModelError, match="Got: 4 Expected: 3") as caught:
        session.run(["score"], {"X": np.ones((1, 4), np.float32)})
    assert caught.value.__cause__ is not None


def test_only_the_named_outputs_are_computed() -> None:
    specs = (TensorSpec("a", "float32", (-1,)), TensorSpec("b", "string", (-1,)))
    session = ModelSession(identity_model(*specs))
    feed = {"a": np.zeros(1, np.float32), "b": np.array(["x"], dtype=object)}
    assert [v.tolist() for v in session.run(["b_out"], feed)] == [["x"]]
