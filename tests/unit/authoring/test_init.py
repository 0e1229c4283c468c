"""Any ONNX file becomes a module's folder that builds, or is refused with the reason."""

import json

import pytest
from onnx import TensorProto as T

from cloud_sync.authoring.build import build
from cloud_sync.authoring.init import init_module
from cloud_sync.authoring.module_text import toml_string
from cloud_sync.authoring.source import read_source
from cloud_sync.errors import Conflict, ContractError, ModuleError, Unsupported
from tests.support import onnx_zoo as zoo

RUNNABLE = {
    "free batch": zoo.identity(),
    "scalar": zoo.identity(shape=[]),
    "column": zoo.identity(shape=["N"]),
    "fixed batch": zoo.identity(shape=[8, 3]),
    "rank three": zoo.identity(shape=["N", 4, 5]),
    "no values": zoo.identity(shape=["N", 0]),
    "float16": zoo.identity(T.FLOAT16),
    "several inputs": zoo.several_inputs(),
    "tokens": zoo.tokens(),
    "pictures": zoo.convolution(),
    "pictures of any size": zoo.convolution("H", "W"),
    "one large picture": zoo.convolution(224, 224, 1),
    "default": zoo.with_default(),
    "own function": zoo.local_function(),
    "no output shape": zoo.identity(out_shape=None),
    "many outputs": zoo.many_outputs(300),
    "odd names": zoo.identity(name='in put/x:0.é"\n', out='o"u\\t\x7f:0'),
}


@pytest.mark.parametrize("proto", RUNNABLE.values(), ids=RUNNABLE.keys())
def test_what_can_run_becomes_a_folder_that_builds_and_answers(tmp_path, proto):
    model = zoo.save(proto, tmp_path / "their.onnx")
    made = init_module(tmp_path / "m", "m", model_file=model)
    built = build(tmp_path / "m")
    assert made.golden_cases > 0
    assert built.rehearsal.cases == made.golden_cases
    assert built.warnings == ()


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (zoo.identity(T.BFLOAT16), "its element type is bfloat16"),
        (zoo.identity(T.FLOAT8E4M3FN), "its element type is float8e4m3fn"),
        (zoo.identity(T.COMPLEX64), "its element type is complex64"),
        (zoo.identity(shape=None), "does not say how many dimensions"),
        (zoo.no_inputs(), "the model has no inputs"),
        (zoo.zipmap(with_label=False), "no output that is a tensor"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(tmp_path, proto, reason):
    model = zoo.save(proto, tmp_path / "their.onnx")
    with pytest.raises(Unsupported, match=reason):
        init_module(tmp_path / "m", "m", model_file=model)
    assert not (tmp_path / "m").exists()


def test_outputs_that_are_no_tensors_are_left_out_and_named(tmp_path):
    model = zoo.save(zoo.zipmap(), tmp_path / "their.onnx")
    made = init_module(tmp_path / "m", "m", model_file=model)
    (warning,) = (w for w in made.warnings if "'output_probability' is left out" in w)
    assert 'options={"zipmap": False}' in warning
    assert [spec.name for spec in build(tmp_path / "m").manifest.model.outputs] == ["label"]


def test_a_model_that_draws_random_numbers_gets_no_golden_cases(tmp_path):
    model = zoo.save(zoo.random_answers(), tmp_path / "their.onnx")
    made = init_module(tmp_path / "m", "m", model_file=model)
    assert made.golden_cases == 0
    assert any("differently each time" in warning for warning in made.warnings)
    assert any("no golden cases" in warning for warning in build(tmp_path / "m").warnings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sample.csv", "width,height\n1.5,2\n3,4\n"),
        ("sample.json", '[{"width": 1.5, "height": 2}, {"width": 3, "height": 4}]'),
    ],
)
def test_a_sample_names_the_fields_and_gives_the_golden_cases(tmp_path, name, text):
    model = zoo.save(zoo.identity(), tmp_path / "their.onnx")
    (tmp_path / name).write_text(text)
    init_module(tmp_path / "m", "m", model_file=model, sample=tmp_path / name)
    fields = build(tmp_path / "m").manifest.tensors[0].fields
    assert [field.name for field in fields] == ["width", "height"]
    cases = json.loads((tmp_path / "m/golden/samples.json").read_text())
    assert [case["outputs"]["y"] for case in cases] == [[1.5, 2.0], [3.0, 4.0]]


def test_names_that_no_path_could_spell_work_as_columns_do(tmp_path):
    model = zoo.save(zoo.identity(), tmp_path / "their.onnx")
    sample = tmp_path / "rows.csv"
    sample.write_text(",od280/od315,flow.rate\n0,1.5,2\n1,3,4\n")
    made = init_module(tmp_path / "m", "m", model_file=model, sample=sample)
    assert (made.golden_cases, made.warnings) == (2, ())
    fields = build(tmp_path / "m").manifest.tensors[0].fields
    assert [field.name for field in fields] == ["od280/od315", "flow.rate"]


def test_columns_that_the_model_does_not_take_are_refused_by_name(tmp_path):
    model = zoo.save(zoo.identity(), tmp_path / "their.onnx")
    sample = tmp_path / "rows.csv"
    sample.write_text("width,height,target\n1.5,2,0\n")
    with pytest.raises(ModuleError, match="takes 2 values, found 3 names: width, height, target"):
        init_module(tmp_path / "m", "m", model_file=model, sample=sample)
    assert not (tmp_path / "m").exists()


def test_a_number_in_a_column_of_texts_stays_text(tmp_path):
    model = zoo.save(zoo.identity(T.STRING), tmp_path / "their.onnx")
    sample = tmp_path / "rows.csv"
    sample.write_text("grade,code\nhigh,007\n")
    init_module(tmp_path / "m", "m", model_file=model, sample=sample)
    (case,) = json.loads((tmp_path / "m/golden/samples.json").read_text())
    assert case["payload"] == {"grade": "high", "code": "007"}


def test_a_model_that_cannot_be_loaded_is_refused_and_nothing_is_left(tmp_path):
    proto = zoo.identity()
    proto.graph.node[0].op_type = "NoSuchOperator"
    model = zoo.save(proto, tmp_path / "their.onnx")
    with pytest.raises(Unsupported, match=r"cannot load the model.*NoSuchOperator"):
        init_module(tmp_path / "m", "m", model_file=model)
    assert not (tmp_path / "m").exists()


def test_a_scaffold_without_a_model_is_a_readable_module_toml(tmp_path):
    made = init_module(tmp_path / "m", "m")
    assert read_source(tmp_path / "m").source.module.name == "m"
    assert made.files == ("module.toml", "README.md")


def test_nothing_that_is_there_is_written_over(tmp_path):
    init_module(tmp_path / "m", "m")
    with pytest.raises(Conflict, match="is already there"):
        init_module(tmp_path / "m", "m")


def test_a_bad_name_is_refused(tmp_path):
    with pytest.raises(ContractError, match="module name expected"):
        init_module(tmp_path / "m", "My Module")


@pytest.mark.parametrize("value", ['a"b', "a\\b", "\n\t\x00\x7f", "é\U0001f600", "'"])
def test_any_string_survives_being_written_as_toml(value):
    import tomllib

    assert tomllib.loads(f"k = {toml_string(value)}")["k"] == value
