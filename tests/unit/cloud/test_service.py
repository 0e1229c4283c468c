"""What a service keeps of itself between two runs."""

from pathlib import Path

import pytest

from cloud_sync.service import IDENTITY_FILE, _identity


def test_a_service_is_known_by_the_same_name_after_it_was_started_again(tmp_path: Path) -> None:
    name = _identity(tmp_path)
    assert _identity(tmp_path) == name
    assert (tmp_path / IDENTITY_FILE).read_text().strip() == name


def test_two_services_have_two_names(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    assert _identity(folders[0]) != _identity(folders[1])


@pytest.mark.parametrize("damage", [b"", b"half", b"\xff\xfe" * 40])
def test_a_name_that_is_damaged_is_replaced(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / IDENTITY_FILE).write_bytes(damage)
    name = _identity(tmp_path)
    assert len(name) == 32
    assert _identity(tmp_path) == name
