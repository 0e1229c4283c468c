"""Files on their way into the registry: which ones a folder stands for."""

from pathlib import Path

import pytest

from cloud_sync.client.files import named_files
from cloud_sync.errors import InvalidInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "data").mkdir(parents=True)
    (made / "model.onnx").write_bytes(b"weights")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"private")
    return made


def test_a_link_within_the_folder_is_a_file_like_others(folder: Path) -> None:
    (folder / "data" / "latest.onnx").symlink_to("../model.onnx")
    assert sorted(named_files([folder])) == ["data/latest.onnx", "model.onnx"]


@pytest.mark.parametrize("target", ["../../secret/key", "../../secret", "../../not-there"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, target: str) -> None:
    (folder / "data" / "link").symlink_to(target)
    with pytest.raises(InvalidInput, match="found the link 'data/link'") as caught:
        named_files([folder])
    assert caught.value.code == "link_leaves_folder"


def test_a_link_that_is_named_itself_is_meant(folder: Path) -> None:
    (folder / "link").symlink_to("../secret/key")
    assert named_files([folder / "link"]) == {"link": folder / "link"}
