"""Blobs: whole and right, or not there at all."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.contract.names import digest_of
from edge_agent.errors import IntegrityError, NotFound, StorageError
from edge_agent.store.blobs import BlobStore
from edge_agent.store.files import remove_leftovers, storage_error, write_atomic

DATA = b"model bytes " * 1000
DIGEST = digest_of(DATA)


def parts(folder: Path) -> list[str]:
    return [path.name for path in (folder / "tmp").iterdir()]


def test_what_was_received_whole_is_there(tmp_path: Path):
    store = BlobStore(tmp_path)
    part = store.reserve(DIGEST, limit=len(DATA), size=len(DATA))
    part.write(DATA[:100])
    assert not store.has(DIGEST)
    part.write(DATA[100:])
    part.commit()
    assert store.has(DIGEST, len(DATA))
    assert store.read(DIGEST, limit=len(DATA)) == DATA
    assert parts(tmp_path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.integers(0, len(DATA) - 1))
def test_an_interrupted_one_goes_on_where_it_stopped(tmp_path: Path, cut: int):
    store = BlobStore(tmp_path / str(cut))
    part = store.reserve(DIGEST, limit=len(DATA), size=len(DATA))
    part.write(DATA[:cut])
    part.keep()
    again = BlobStore(tmp_path / str(cut)).reserve(DIGEST, limit=len(DATA), size=len(DATA))
    assert again.received == cut
    again.write(DATA[cut:])
    again.commit()
    assert store.is_intact(DIGEST)


def test_more_bytes_than_announced_are_refused_and_dropped(tmp_path: Path):
    store = BlobStore(tmp_path)
    part = store.reserve(DIGEST, limit=10, size=10)
    with pytest.raises(IntegrityError) as caught:
        part.write(DATA)
    assert caught.value.code == "blob_too_large"
    assert parts(tmp_path) == []


def test_fewer_bytes_are_refused_and_kept_for_later(tmp_path: Path):
    part = BlobStore(tmp_path).reserve(DIGEST, limit=len(DATA), size=len(DATA))
    part.write(DATA[:50])
    with pytest.raises(IntegrityError) as caught:
        part.commit()
    assert caught.value.code == "truncated"
    assert len(parts(tmp_path)) == 1


def test_other_bytes_are_refused_and_dropped(tmp_path: Path):
    store = BlobStore(tmp_path)
    part = store.reserve(DIGEST, limit=len(DATA), size=len(DATA))
    part.write(DATA[:-1] + b"x")
    with pytest.raises(IntegrityError) as caught:
        part.commit()
    assert caught.value.code == "digest_mismatch"
    assert parts(tmp_path) == []
    assert not store.has(DIGEST)


def test_a_file_that_changed_on_the_disk_is_found_and_removed(tmp_path: Path):
    store = BlobStore(tmp_path)
    path = store.put(DIGEST, DATA)
    path.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(IntegrityError) as caught:
        store.read(DIGEST, limit=len(DATA))
    assert caught.value.code == "blob_damaged"
    assert not store.has(DIGEST)
    with pytest.raises(NotFound):
        store.read(DIGEST, limit=len(DATA))
    store.put(DIGEST, DATA).write_bytes(b"")
    assert not store.is_intact(DIGEST)
    assert not store.has(DIGEST)


def test_only_what_is_needed_is_kept(tmp_path: Path):
    store = BlobStore(tmp_path)
    other = b"other"
    store.put(DIGEST, DATA)
    store.put(digest_of(other), other)
    unfinished = store.reserve(digest_of(b"more"), limit=100)
    unfinished.write(b"mo")
    unfinished.keep()
    assert store.collect({DIGEST}) == (2, len(other) + 2)
    assert store.has(DIGEST)
    assert parts(tmp_path) == []


def test_what_is_missing_of_a_blob_is_known_without_reading_it(tmp_path: Path):
    store = BlobStore(tmp_path)
    assert store.missing_bytes(DIGEST, len(DATA)) == len(DATA)
    part = store.reserve(DIGEST, limit=len(DATA), size=len(DATA))
    part.write(DATA[:100])
    part.keep()
    assert store.missing_bytes(DIGEST, len(DATA)) == len(DATA) - 100
    store.put(DIGEST, DATA)
    assert store.missing_bytes(DIGEST, len(DATA)) == 0


def test_the_same_files_are_removed_in_the_same_order_wherever_they_were_made(tmp_path: Path):
    contents = [f"file {number}".encode() for number in range(20)]
    for name, order in (("one", contents), ("two", contents[::-1])):
        store = BlobStore(tmp_path / name)
        for data in order:
            store.put(digest_of(data), data)
    found = [
        [path.name for path in BlobStore(tmp_path / name).unwanted({DIGEST})]
        for name in ("one", "two")
    ]
    assert found[0] == found[1] == sorted(found[0])
    assert len(found[0]) == 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs("mount")
def test_a_disk_that_fills_up_while_receiving_leaves_nothing_behind(small_disk: Path):
    store = BlobStore(small_disk)
    big = os.urandom(900_000)
    part = store.reserve(digest_of(big), limit=len(big), size=len(big))
    # Somebody else takes the space after the check.
    (small_disk / "other").write_bytes(bytes(500_000))

    def receive() -> None:
        for start in range(0, len(big), 65_536):
            part.write(big[start : start + 65_536])
        part.commit()

    with pytest.raises(StorageError) as caught:
        receive()
    assert caught.value.code == "disk_full"
    assert parts(small_disk) == []
    # Once there is space it works.
    (small_disk / "other").unlink()
    store.put(digest_of(big), big)
    with pytest.raises(StorageError, match="No space left"):
        write_atomic(small_disk / "settings", bytes(500_000))
    assert not list(small_disk.glob(".settings*"))


FILE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from edge_agent.contract.names import digest_of
from edge_agent.errors import StorageError
from edge_agent.store.blobs import BlobStore
store = BlobStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
data = bytes(500_000)
try:
    store.put(digest_of(data), data)
except StorageError as error:
    print(error.code, len(list(Path(sys.argv[1], "tmp").iterdir())))
"""


def test_a_file_size_limit_is_a_full_disk_too(tmp_path: Path):
    assert resource.RLIM_INFINITY in resource.getrlimit(resource.RLIMIT_FSIZE)
    done = subprocess.run(
        [sys.executable, "-c", FILE_LIMIT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.split() == ["disk_full", "0"], done.stderr


def test_errors_of_the_disk_are_told_apart():
    full = storage_error("cannot write", Path("x"), OSError(errno.ENOSPC, "No space left"))
    broken = storage_error("cannot write", Path("x"), OSError(errno.EIO, "Input/output error"))
    assert (full.code, broken.code) == ("disk_full", "storage")


def test_an_atomic_write_replaces_the_whole_file(tmp_path: Path):
    path = tmp_path / "file"
    write_atomic(path, b"long old bytes")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_two_atomic_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path):
    path = tmp_path / "file"
    bodies = [str(number).encode() * 50_000 for number in range(4)]

    def write(body: bytes) -> None:
        for _ in range(30):
            write_atomic(path, body)
            assert path.read_bytes() in bodies

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, bodies))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_cut_off_write_left_is_removed_and_nothing_else(tmp_path: Path):
    names = [".file.0badcafe.tmp", ".providers.json.tmp", "file", "file.tmp", ".hidden", "tmp"]
    for name in names[:-1]:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "tmp").mkdir()
    assert remove_leftovers(tmp_path) == (".file.0badcafe.tmp", ".providers.json.tmp")
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])
    assert remove_leftovers(tmp_path / "missing") == ()
