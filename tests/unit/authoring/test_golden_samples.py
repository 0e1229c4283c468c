"""Golden samples are made anew for a binding that was changed on purpose."""

import json
from pathlib import Path

import pytest
from onnx import TensorProto as T

from cloud_sync.authoring.build import build
from cloud_sync.authoring.golden_samples import renew_golden
from cloud_sync.authoring.init import init_module
from cloud_sync.errors import ModelError, ModuleError
from tests.support import onnx_zoo as zoo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "wine 4"
    model = zoo.save(zoo.identity(), tmp_path / "their.onnx")
    init_module(made, "wine", model_file=model)
    return made


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "module.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def cases_of(folder: Path) -> list[dict]:
    return json.loads((folder / "golden/samples.json").read_text())


def test_a_renamed_field_with_a_range_fails_the_old_cases_and_the_way_out_works(folder):
    change(folder, '"f1"', '{ name = "alcohol", path = "lab.alcohol", min = 5000, max = 5001 }')
    with pytest.raises(ModelError, match="alcohol") as caught:
        build(folder)
    way_out = f"shoal module golden '{folder}'"
    assert caught.value.hint == f"if the model or the binding was changed on purpose: {way_out}"
    made = renew_golden(folder)
    assert build(folder).rehearsal.cases == made.cases == 3
    assert all(5000 <= case["payload"]["lab"]["alcohol"] <= 5001 for case in cases_of(folder))


def test_only_the_made_up_cases_are_replaced(folder):
    own = folder / "golden/known.json"
    own.write_text('{"payload": {"f1": 1, "f2": 2}, "outputs": {"y": [1.0, 2.0]}}')
    before = own.read_text(), (folder / "module.toml").read_text()
    renew_golden(folder)
    assert (own.read_text(), (folder / "module.toml").read_text()) == before


def test_a_failed_case_of_a_persons_own_file_does_not_point_to_the_command(folder):
    (folder / "golden/a.json").write_text('{"payload": {"f1": 1, "f2": 2}, "outputs": {"y": [3]}}')
    with pytest.raises(ModelError, match=r"a\.json") as caught:
        build(folder)
    assert "module golden" not in caught.value.hint


@pytest.mark.parametrize(
    ("proto", "changes"),
    [
        (zoo.identity(), [('codec = "json"', 'codec = "octet-stream"'), ("fields = ", "# ")]),
        (zoo.identity(T.INT64), [('"f1"', '{ name = "f1", min = 7 }')]),
        (zoo.identity(T.INT64), [('"f1"', '{ name = "f1", max = -7 }')]),
        (zoo.identity(T.FLOAT16), [('"f1"', '{ name = "f1", min = 0.5, max = 0.75 }')]),
        (
            zoo.identity(shape=["N", 5, 2]),
            [
                ('codec = "json"', 'codec = "json"\nwindow = { size = 5, step = 1 }'),
                ('path = "x"', 'path = "a.row"'),
            ],
        ),
        (
            zoo.identity(shape=["N", 6]),
            [
                ('codec = "json"', 'codec = "json"\nwindow = { size = 3, step = 1 }'),
                ('"f1", "f2", "f3", "f4", "f5", "f6"', '"a", "b"'),
            ],
        ),
    ],
    ids=["bytes", "least", "most", "narrow", "window of arrays", "window of fields"],
)
def test_the_cases_fit_whatever_the_binding_became(tmp_path, proto, changes):
    model = zoo.save(proto, tmp_path / "their.onnx")
    folder = tmp_path / "m"
    init_module(folder, "m", model_file=model)
    for old, new in changes:
        if new == 'codec = "octet-stream"':
            change(folder, 'from = "fields"', 'from = "bytes"')
        change(folder, old, new)
    made = renew_golden(folder)
    assert made.warnings == ()
    assert build(folder).rehearsal.cases == made.cases == 3


def test_the_image_binding_that_init_shows_gets_pictures(tmp_path):
    model = zoo.save(zoo.convolution(), tmp_path / "their.onnx")
    folder = tmp_path / "m"
    init_module(folder, "m", model_file=model)
    lines = (folder / "module.toml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(('from = "array"', "path = "))]
    text = "\n".join(kept).replace('codec = "json"', 'codec = "image"')
    text = text.replace("# from = ", "from = ").replace("# image = ", "image = ")
    (folder / "module.toml").write_text(text)
    made = renew_golden(folder)
    assert build(folder).rehearsal.cases == made.cases > 0
    assert all("payload_base64" in case for case in cases_of(folder))


def test_a_sample_gives_the_cases_and_its_unusable_rows_are_counted(folder, tmp_path):
    change(folder, '"f1"', '{ name = "f1", max = 10 }')
    sample = tmp_path / "rows.csv"
    sample.write_text("f1,f2\n1,2\n99,2\n3\n5,6\n")
    made = renew_golden(folder, sample=sample)
    assert [case["payload"]["f1"] for case in cases_of(folder)] == [1, 5]
    assert "rows dropped: 1, the first in line 4" in made.warnings[0]
    assert "1 of 3 samples give no golden case" in made.warnings[1]


def test_without_an_answer_the_file_stays_as_it_was(folder, tmp_path):
    before = cases_of(folder)
    sample = tmp_path / "rows.csv"
    sample.write_text("a,b\n1,2\n")
    with pytest.raises(ModelError, match="no golden cases were made from the sample: missing"):
        renew_golden(folder, sample=sample)
    assert cases_of(folder) == before


def test_a_sample_for_pictures_or_bytes_is_refused(folder, tmp_path):
    change(folder, 'from = "fields"', 'from = "bytes"')
    change(folder, "fields = ", "# ")
    change(folder, 'codec = "json"', 'codec = "octet-stream"')
    sample = tmp_path / "rows.csv"
    sample.write_text("f1,f2\n1,2\n")
    with pytest.raises(ModuleError, match="codec is 'octet-stream'"):
        renew_golden(folder, sample=sample)


@pytest.mark.parametrize("codec", ["cbor", "oip"])
def test_other_formats_of_named_values_get_cases_in_json(folder, codec):
    change(folder, 'codec = "json"', f'codec = "{codec}"')
    made = renew_golden(folder)
    assert made.cases == 3
    assert build(folder).rehearsal.cases == 3
    assert ("inputs" in cases_of(folder)[0]["payload"]) == (codec == "oip")
