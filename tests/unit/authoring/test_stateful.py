"""Modules with windows and states: built, given golden cases, and checked."""

import json
from pathlib import Path

import pytest

from cloud_sync.authoring.build import build
from cloud_sync.authoring.feedback import clear_states
from cloud_sync.authoring.golden_samples import renew_golden
from cloud_sync.authoring.init import init_module
from cloud_sync.errors import ModelError, ModuleError
from edge_agent.contract.signature import TensorSpec
from tests.support.models import identity_model
from tests.support.recurrent import Cell, rows_of

TOML = """\
[module]
name = "m"
[model]
file = "model.onnx"
[input]
topic = "in/+"
[[tensor]]
name = "X"
from = "fields"
fields = ["a", "b"]
[[tensor]]
name = "h"
from = "state"
output = "h_next"
[output]
topic = "out/{1}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "module"
    (made / "golden").mkdir(parents=True)
    (made / "model.onnx").write_bytes(Cell().model())
    (made / "module.toml").write_text(TOML)
    return made


def edit(folder: Path, found: str, other: str) -> None:
    path = folder / "module.toml"
    text = path.read_text()
    assert found in text
    path.write_text(text.replace(found, other))


def test_an_output_that_is_fed_back_is_computed_and_not_published(folder: Path) -> None:
    model = build(folder).manifest.model
    assert [spec.name for spec in model.outputs] == ["score"]
    assert [spec.name for spec in model.state_outputs] == ["h_next"]


def test_an_output_that_is_fed_back_is_published_where_it_is_asked_for(folder: Path) -> None:
    edit(folder, "[input]", 'outputs = ["h_next", "score"]\n[input]')
    model = build(folder).manifest.model
    assert [spec.name for spec in model.outputs] == ["h_next", "score"]
    assert model.state_outputs == ()


def test_golden_cases_of_several_messages_prove_the_state(folder: Path) -> None:
    values = rows_of(1, 4)
    payloads = [{"a": a, "b": b} for a, b in values]
    outputs = {"score": [Cell().scores(values)[-1]]}
    file = folder / "golden/right.json"
    file.write_text(json.dumps({"payloads": payloads, "outputs": outputs}))
    assert build(folder).rehearsal.cases == 1
    file.write_text(json.dumps({"payloads": payloads[1:], "outputs": outputs}))
    with pytest.raises(ModelError, match="golden case"):
        build(folder)


def test_a_new_module_of_a_recurrent_model_keeps_its_state_and_builds(tmp_path: Path) -> None:
    model = tmp_path / "cell.onnx"
    model.write_bytes(Cell().model())
    made = init_module(tmp_path / "made", "cell", model_file=model)
    assert any("'h' is a state, fed from output 'h_next'" in text for text in made.warnings)
    built = build(made.folder)
    assert built.rehearsal.cases == made.golden_cases == 3
    tensors = {tensor.name: tensor for tensor in built.manifest.tensors}
    assert (tensors["h"].source, tensors["h"].output) == ("state", "h_next")
    assert [field.name for field in tensors["X"].fields] == ["f1", "f2"]
    assert [spec.name for spec in built.manifest.model.outputs] == ["score"]


def test_a_sample_names_the_fields_of_a_recurrent_model(tmp_path: Path) -> None:
    model = tmp_path / "cell.onnx"
    model.write_bytes(Cell().model())
    sample = tmp_path / "rows.csv"
    sample.write_text("flow,heat\n" + "".join(f"{a},{b}\n" for a, b in rows_of(1, 9)))
    made = init_module(tmp_path / "made", "cell", model_file=model, sample=sample)
    x = next(t for t in build(made.folder).manifest.tensors if t.name == "X")
    assert [field.name for field in x.fields] == ["flow", "heat"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("h", "h_next"), ("h0", "hn"), ("h_in", "h_out"), ("hidden_state", "new_hidden_state"),
        ("past_key", "present_key"), ("stateIn", "stateOut"), ("c_prev", "c"),
    ],
)  # fmt: skip
def test_states_are_known_by_names_and_shapes(before: str, after: str) -> None:
    inputs = [TensorSpec("X", "float32", (-1, 2)), TensorSpec(before, "float32", (-1, 3))]
    outputs = [TensorSpec("y", "float32", (-1, 3)), TensorSpec(after, "float32", (-1, 3))]
    is_marked = after != "c"
    assert clear_states(inputs, outputs) == ({before: after} if is_marked else {})
    assert clear_states(inputs[1:], outputs) == {}, "nothing is left to fill"
    other = [TensorSpec(after, "float32", (-1, 4))]
    assert clear_states(inputs, other) == {}, "another shape"


@pytest.mark.parametrize(("before", "after"), [("X", "X_out"), ("X", "X_next"), ("a", "b")])
def test_what_may_be_a_filter_or_a_forecast_is_not_taken_for_a_state(
    before: str, after: str
) -> None:
    inputs = [TensorSpec("u", "float32", (-1, 2)), TensorSpec(before, "float32", (-1, 3))]
    assert clear_states(inputs, [TensorSpec(after, "float32", (-1, 3))]) == {}


def test_a_state_that_is_only_likely_is_written_as_a_remark(tmp_path: Path) -> None:
    model = tmp_path / "cell.onnx"
    spec = [TensorSpec("u", "float32", (-1, 2)), TensorSpec("X", "float32", (-1, 3))]
    model.write_bytes(identity_model(*spec))
    text = (init_module(tmp_path / "m", "m", model_file=model).folder / "module.toml").read_text()
    assert 'from = "state"' not in [line.split("#")[0].strip() for line in text.splitlines()]


def test_samples_are_several_messages_in_a_row(folder: Path) -> None:
    renew_golden(folder)
    cases = json.loads((folder / "golden/samples.json").read_text())
    assert [len(case["payloads"]) for case in cases] == [3, 3, 3]
    assert build(folder).rehearsal.cases == 3


@pytest.mark.parametrize(
    ("found", "wrong", "text"),
    [
        ('output = "h_next"', 'output = "h_nxt"', r"module.toml line 14: .*'h_nxt'"),
        ('output = "h_next"', 'output = "score"', r"line 14: .*cannot be fed"),
        ('output = "h_next"\n', "", r"needs the output of the model"),
        ('output = "h_next"', 'output = "h_next"\nvalue = [1.0]', r"line 15: .*shape"),
        ('output = "h_next"', 'output = "h_next"\nfields = ["c"]', r"fields has no meaning"),
    ],
)
def test_a_state_that_cannot_be_fed_back_is_refused_with_its_line(
    folder: Path, found: str, wrong: str, text: str
) -> None:
    edit(folder, found, wrong)
    with pytest.raises(ModuleError, match=text):
        build(folder)
