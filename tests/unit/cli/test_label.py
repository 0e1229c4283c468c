"""`shoal label`: what is told is told rightly, and what cannot be a label is named."""

from pathlib import Path

import pytest

from cloud_sync.cli.label_file import as_label, read_labels
from cloud_sync.errors import InvalidInput
from cloud_sync.label_resources import DeviceLabel

TABLE = """device,slot,id,value,right,tolerance
line-1,shuttle,row-7,1,,
line-2,shuttle,8,,no,
,,9,20.5,,0.5
"""


def label(**options: object) -> DeviceLabel:
    return DeviceLabel(**{"device": "line-1", "slot": "shuttle", **options})  # type: ignore[arg-type]


def test_a_table_and_a_json_file_say_the_same(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(TABLE)
    expected = [
        label(id="row-7", value=1),
        label(device="line-2", id="8", right=False),
        label(device="line-9", id="9", value=20.5, tolerance=0.5),
    ]
    assert read_labels(table, device="line-9", slot="shuttle") == expected
    document = tmp_path / "labels.json"
    document.write_text(
        '[{"device":"line-1","slot":"shuttle","id":"row-7","value":1},'
        '{"device":"line-2","slot":"shuttle","id":"8","right":false},'
        '{"id":"9","value":20.5,"tolerance":0.5}]'
    )
    assert read_labels(document, device="line-9", slot="shuttle") == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "device,slot,id,value\nline-1,shuttle,1,2\nline-1,shuttle,3,\n", "row 2"),
        ("a.csv", "id,value\n1,2\n", "row 1: a label needs the key 'slot'"),
        ("a.csv", "device,slot,id,right\nline-1,s,1,perhaps\n", "right"),
        ("a.csv", "device,slot,id,value,tolerance\nline-1,s,1,2,wide\n", "tolerance"),
        ("a.json", '{"id": 1}', "a.json"),
        ("a.json", "[1]", "a.json"),
        ("a.csv", "\xff", "a.csv"),
    ],
)
def test_a_row_that_is_no_label_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    file = tmp_path / name
    file.write_bytes(text.encode("latin-1"))
    if text == "\xff":
        file.write_bytes(b"\xff\xfe\xfa,\n1,2\n")
    with pytest.raises(InvalidInput, match=words) as caught:
        read_labels(file)
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="missing"):
        read_labels(tmp_path / "missing.csv")


def test_a_value_that_reads_as_a_number_is_one() -> None:
    assert as_label({"device": "d", "slot": "s", "id": "1", "value": "3"}).value == 3
    assert as_label({"device": "d", "slot": "s", "id": "1", "value": "Fpv"}).value == "Fpv"
    with pytest.raises(InvalidInput):
        as_label({"device": "d", "slot": "s", "id": "1", "value": "3", "right": True})
