"""What is said about a module.toml that cannot be read."""

import pytest

from cloud_sync.authoring.source import parse_source, read_source
from cloud_sync.errors import ModuleError

GOOD = """\
[module]
name = "m"

[model]
file = "model.onnx"

[input]
topic = "in/+"

[[tensor]]
name = "x"
from = "fields"
fields = ["a", { name = "b", min = 0 }]

[output]
topic = "out/{1}"
"""


def refused(text: str) -> ModuleError:
    with pytest.raises(ModuleError) as caught:
        parse_source(text.encode(), "module.toml")
    return caught.value


def test_a_field_is_a_name_or_a_table():
    tensor = parse_source(GOOD.encode(), "module.toml").source.tensor[0].tensor()
    assert [(f.name, f.min) for f in tensor.fields] == [("a", None), ("b", 0)]


def test_malformed_toml_names_line_and_column():
    error = refused(GOOD.replace('topic = "in/+"', "topic = in/+"))
    assert "module.toml line 8, column 9: not TOML" in error.text


@pytest.mark.parametrize(
    ("found", "wrong", "line", "meant"),
    [
        ("[output]", "[ouput]", 15, "output"),
        ('topic = "in/+"', 'topc = "in/+"', 8, "topic"),
        ('from = "fields"', 'form = "fields"', 12, "from"),
        ("min = 0", "mim = 0", 13, "min"),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_one_that_was_meant(
    found, wrong, line, meant
):
    error = refused(GOOD.replace(found, wrong))
    assert f"line {line}: unknown key" in error.text
    assert f"did you mean '{meant}'?" in error.hint


def test_a_wrong_type_says_expected_and_found():
    error = refused(GOOD.replace('name = "m"', "name = 7"))
    assert error.text == "module.toml line 2: module.name expected a text; found the number 7"


def test_an_unknown_codec_lists_the_known_ones():
    error = refused(GOOD.replace('topic = "in/+"', 'topic = "in/+"\ncodec = "jsn"'))
    assert "expected one of" in error.text
    assert "did you mean 'json'?" in error.hint


def test_a_provider_that_nobody_knows_is_named_with_its_line():
    text = GOOD + '\n[runtime]\nproviders = ["tensorrt", "opnvino"]\n'
    error = refused(text)
    assert "line 19" in error.text
    assert "'opnvino'" in error.text
    assert "openvino" in error.hint
    assert parse_source(text.replace("opn", "open").encode(), "module.toml").source.runtime


def test_a_model_is_a_file_or_a_registered_one():
    error = refused(GOOD.replace('file = "model.onnx"', ""))
    assert "[model] needs the key 'file' or the key 'registry'" in error.text


def test_bytes_that_are_no_text_are_refused_with_their_line():
    with pytest.raises(ModuleError, match="line 2: not UTF-8"):
        parse_source(b"[module]\nname = '\xff'", "module.toml")


def test_a_missing_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(ModuleError, match="found nothing"):
        read_source(tmp_path / "absent")
    with pytest.raises(ModuleError, match=r"module\.toml is missing"):
        read_source(tmp_path)
