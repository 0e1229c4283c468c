"""What is found in ONNX files, and which files are refused before anything runs them."""

import pytest
from onnx import TensorProto

from cloud_sync.authoring.facts import Port
from cloud_sync.authoring.inspection import inspect_model
from cloud_sync.errors import ModuleError, Unsupported
from tests.support import onnx_zoo as zoo


def test_facts_of_a_model_with_several_inputs(tmp_path):
    facts = inspect_model(zoo.save(zoo.several_inputs(), tmp_path / "m.onnx"))
    assert [port.dtype for port in facts.inputs] == [
        "float32",
        "float64",
        "int64",
        "string",
        "bool",
    ]
    assert facts.inputs[0] == Port(
        name="features", kind="tensor", dtype="float32", shape=(-1, 3), dims=("N", "")
    )
    assert facts.opsets == {"": zoo.OPSET}


def test_an_input_with_a_default_needs_no_binding(tmp_path):
    facts = inspect_model(zoo.save(zoo.with_default(), tmp_path / "m.onnx"))
    assert [port.name for port in facts.inputs] == ["x"]


def test_an_output_without_a_shape_gets_the_inferred_one(tmp_path):
    facts = inspect_model(zoo.save(zoo.identity(out_shape=None), tmp_path / "m.onnx"))
    assert facts.outputs[0].shape == (-1, 2)


def test_operators_that_the_file_defines_itself_are_not_foreign(tmp_path):
    facts = inspect_model(zoo.save(zoo.local_function(), tmp_path / "m.onnx"))
    assert facts.foreign == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"this is a text file, not a model\n" * 20, "is not an ONNX model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "is not an ONNX model"),
        (b"\x08\x0a", "no IR version and no graph"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, reason):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModuleError, match=reason) as caught:
        inspect_model(path)
    assert caught.value.code == "not_onnx"


def test_a_truncated_model_is_refused(tmp_path):
    path = zoo.save(zoo.convolution(), tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModuleError, match="cut short"):
        inspect_model(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ModuleError, match="is missing"):
        inspect_model(tmp_path / "m.onnx")
    with pytest.raises(ModuleError, match="found a folder"):
        inspect_model(tmp_path)


def test_a_reader_that_hangs_is_given_up_on(tmp_path):
    path = zoo.save(zoo.identity(), tmp_path / "m.onnx")
    with pytest.raises(ModuleError, match="could not be read within"):
        inspect_model(path, timeout_s=0.001)


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (zoo.identity(opset=27), "opset of ai.onnx expected 1 to 26, found 27"),
        (zoo.identity(ir=14), "IR version expected 1 to 13, found 14"),
        (zoo.foreign_operator(), "'com.example' is used by Secret"),
        (zoo.foreign_operator(nested=True), "'com.example' is used by Secret"),
    ],
)
def test_formats_that_no_device_runs_are_refused_with_the_way_out(tmp_path, proto, expected):
    with pytest.raises(Unsupported) as caught:
        inspect_model(zoo.save(proto, tmp_path / "m.onnx"))
    assert expected in caught.value.text
    assert "export" in caught.value.hint


def test_external_data_is_refused_with_the_tensor(tmp_path):
    with pytest.raises(ModuleError, match=r"other files \('w'\)") as caught:
        inspect_model(zoo.save(zoo.external_data(), tmp_path / "m.onnx"))
    assert caught.value.code == "external_data"


def test_types_of_other_kinds_keep_their_onnx_names(tmp_path):
    proto = zoo.identity(TensorProto.BFLOAT16)
    facts = inspect_model(zoo.save(proto, tmp_path / "m.onnx"))
    assert facts.inputs[0].dtype == "bfloat16"
    assert facts.inputs[0].spec() is None
