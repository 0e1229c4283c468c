"""Modules with windows and states: built, given golden cases, and checked."""

import json
from pathlib import Path

import pytest

from cloud_sync.authoring.build import build
from cloud_sync.authoring.golden_samples import renew_golden
from cloud_sync.authoring.init import init_module
from cloud_sync.errors import ModelError, ModuleError
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


def test_a_new_module_says_how_its_state_is_declared(tmp_path: Path) -> None:
    model = tmp_path / "cell.onnx"
    model.write_bytes(Cell().model())
    made = init_module(tmp_path / "made", "cell", model_file=model)
    assert made.golden_cases > 0
    text = (made.folder / "module.toml").read_text()
    before, commented = text.split('name = "h"\n')
    table, after = commented.split('# from = "state"\n# output = "h_next"\n')
    assert table.startswith('from = "fields"')
    (made.folder / "module.toml").write_text(
        f'{before}name = "h"\nfrom = "state"\noutput = "h_next"\n{after}'
    )
    renew_golden(made.folder)
    assert build(made.folder).rehearsal.cases == 3


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
