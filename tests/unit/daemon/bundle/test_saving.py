"""Where a bundle is written: to a file, and over nothing that is none."""

import os
import stat
from pathlib import Path

import pytest

from edge_agent.daemon.bundle.saving import pour, save
from edge_agent.errors import StorageError


def test_a_bundle_replaces_an_older_one(tmp_path: Path) -> None:
    place = tmp_path / "b.tar.gz"
    place.write_bytes(b"old")
    save(place, b"new")
    assert place.read_bytes() == b"new"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_a_device_or_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    # As root, `--out /dev/null` would take the whole machine's.
    place = tmp_path / "pipe"
    os.mkfifo(place)
    with pytest.raises(StorageError, match="is no file") as caught:
        save(place, b"new")
    assert "--out -" in caught.value.hint
    assert stat.S_ISFIFO(place.stat().st_mode)


def test_a_link_is_followed_to_what_it_means(tmp_path: Path) -> None:
    (tmp_path / "stdout").symlink_to("/dev/null")
    with pytest.raises(StorageError, match="is no file"):
        save(tmp_path / "stdout", b"new")
    assert (tmp_path / "stdout").is_symlink()


def test_what_an_output_does_not_take_is_an_error_and_not_lost_in_a_buffer() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(StorageError) as caught:
        pour(full.fileno(), b"data")
    assert caught.value.code == "output_refused"


def test_an_output_gets_all_of_it(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb", buffering=0) as out:
        pour(out.fileno(), b"data" * 100_000)
    assert (tmp_path / "out").read_bytes() == b"data" * 100_000
