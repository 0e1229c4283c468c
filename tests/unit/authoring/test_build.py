"""Building a module's folder: the same bytes everywhere, and a clear refusal of what is wrong."""

import json
import os
import shutil
from pathlib import Path

import pytest

from cloud_sync.authoring.build import build
from cloud_sync.authoring.check import check
from cloud_sync.authoring.measured import Measured, write_measured
from cloud_sync.errors import ModelError, ModuleError, Unsupported
from edge_agent.contract.admission import check_manifest
from edge_agent.contract.manifest import Parity, canonical, read_manifest
from edge_agent.contract.names import digest_of
from tests.support import onnx_zoo as zoo

TOML = """\
[module]
name = "m"
[model]
file = "model.onnx"
outputs = ["y"]
[input]
topic = "in/+"
[[tensor]]
name = "x"
from = "fields"
fields = ["a", "b"]
[output]
topic = "out/{1}"
[health]
trial = { seconds = 5 }
"""
CASE = {"payload": {"a": 1, "b": 2}, "outputs": {"y": [1, 2]}}


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "module"
    zoo.save(zoo.identity(), made / "model.onnx")
    (made / "module.toml").write_text(TOML)
    (made / "golden").mkdir()
    (made / "golden/a.json").write_text(json.dumps(CASE))
    return made


def edit(folder: Path, found: str, wrong: str) -> None:
    path = folder / "module.toml"
    text = path.read_text()
    assert found in text
    path.write_text(text.replace(found, wrong))


def test_the_same_folder_gives_the_same_digest_in_another_place_at_another_time(folder, tmp_path):
    first = build(folder)
    other = tmp_path / "deep" / "elsewhere"
    shutil.copytree(folder, other)
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    second = build(other)
    assert canonical(first.manifest) == canonical(second.manifest)
    assert first.digest == second.digest


def test_a_manifest_survives_being_read_and_is_admitted(folder):
    built = build(folder)
    data = canonical(built.manifest)
    assert canonical(read_manifest(data)) == data
    assert digest_of(data) == built.digest
    check_manifest(built.manifest)


def test_every_file_of_the_manifest_is_there_under_its_digest(folder):
    built = build(folder)
    assert set(built.files) == {blob.digest for blob in built.manifest.blobs()}
    for digest, path in built.files.items():
        assert digest_of(path.read_bytes()) == digest


def test_a_check_reports_the_golden_cases_and_warns_of_a_slow_answer(folder):
    edit(folder, "[health]", "[health]\nmax_p99_ms = 1e-6")
    report = check(folder)
    assert report.cases == 1
    assert report.max_difference == 0
    assert any("99 % of answers expected within" in warning for warning in report.warnings)


def test_a_missing_model_says_how_to_make_it(folder):
    (folder / "model.onnx").unlink()
    (folder / "train.py").write_text("")
    with pytest.raises(ModuleError, match=r"line 4: the model .* is missing") as caught:
        build(folder)
    assert "train.py" in caught.value.hint


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd"])
def test_a_model_outside_the_folder_is_refused(folder, path):
    edit(folder, '"model.onnx"', f'"{path}"')
    with pytest.raises(ModuleError, match="line 4: expected a path below"):
        build(folder)


def test_a_misspelt_output_names_the_one_that_was_meant(folder):
    edit(folder, '["y"]', '["yy"]')
    with pytest.raises(ModuleError, match="line 5: the model has no output 'yy'") as caught:
        build(folder)
    assert caught.value.hint == "did you mean 'y'?"


def test_an_output_that_is_a_map_says_how_to_convert_the_model(folder):
    zoo.save(zoo.zipmap(), folder / "model.onnx")
    edit(folder, '["y"]', '["output_probability"]')
    with pytest.raises(ModuleError, match="it is a sequence, not a tensor") as caught:
        build(folder)
    assert "zipmap" in caught.value.hint


def test_a_misfit_names_the_line(folder):
    edit(folder, '["a", "b"]', '["a", "b", "c"]')
    with pytest.raises(ModuleError, match="line 11: tensor 'x': 3 fields go into"):
        build(folder)


def test_a_wrong_golden_case_fails_with_expected_and_found(folder):
    wrong = {**CASE, "outputs": {"y": [1, 3]}}
    (folder / "golden/a.json").write_text(json.dumps(wrong))
    with pytest.raises(ModelError, match=r"golden/a\.json") as caught:
        build(folder)
    assert caught.value.code == "golden_failed"


def test_a_malformed_golden_file_is_named(folder):
    (folder / "golden/a.json").write_text("{")
    with pytest.raises(ModuleError, match=r"golden file golden/a\.json"):
        build(folder)


def test_a_module_without_golden_cases_builds_with_a_warning(folder):
    shutil.rmtree(folder / "golden")
    assert any("no golden cases" in warning for warning in build(folder).warnings)


def test_scores_of_another_model_are_refused(folder):
    write_measured(folder, Measured(model="sha256:" + "0" * 64, metrics={"f1": 1.0}))
    with pytest.raises(ModuleError, match="was measured on the model"):
        build(folder)


def test_a_model_that_disagrees_with_its_original_is_refused(folder):
    digest = digest_of((folder / "model.onnx").read_bytes())
    parity = Parity(rows=100, label_agreement=0.53, max_difference=0.0, tolerance=1e-5)
    write_measured(folder, Measured(model=digest, parity=parity))
    with pytest.raises(ModuleError, match=r"at least 1, found 0\.53"):
        build(folder)


def test_scores_and_parity_reach_the_manifest(folder):
    digest = digest_of((folder / "model.onnx").read_bytes())
    parity = Parity(rows=100, label_agreement=1.0, max_difference=1e-7, tolerance=1e-5)
    write_measured(folder, Measured(model=digest, metrics={"f1": 0.9}, parity=parity))
    manifest = build(folder).manifest
    assert manifest.metrics == {"f1": 0.9}
    assert manifest.parity == parity


def test_a_registered_model_is_fetched(folder, tmp_path):
    downloaded = tmp_path / "downloaded.onnx"
    (folder / "model.onnx").rename(downloaded)
    edit(folder, 'file = "model.onnx"', 'registry = "shuttle/3"')
    asked = []

    def fetch(reference: str, file: str) -> Path:
        asked.append((reference, file))
        return downloaded

    built = build(folder, fetch_model=fetch)
    assert asked == [("shuttle/3", "")]
    assert built.manifest.model.registry == "shuttle/3"
    with pytest.raises(ModuleError, match="is in a registry"):
        build(folder)


def test_a_model_too_new_is_refused(folder):
    zoo.save(zoo.identity(opset=27), folder / "model.onnx")
    with pytest.raises(Unsupported, match="found 27"):
        build(folder)


def test_a_graph_that_does_not_load_is_refused(folder):
    proto = zoo.identity()
    proto.graph.node[0].op_type = "NoSuchOperator"
    zoo.save(proto, folder / "model.onnx")
    with pytest.raises(Unsupported, match="NoSuchOperator"):
        build(folder)
