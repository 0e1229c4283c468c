"""The blob store: whole and right, or absent."""

from pathlib import Path

import pytest

from cloud_sync.errors import IntegrityError, InvalidInput, NotFound, StorageError
from cloud_sync.objects import Objects, Upload
from edge_agent.contract.names import digest_of

DATA = b"0123456789" * 1000
DIGEST = digest_of(DATA)
LIMIT = 2**20


def store(
    objects: Objects, data: bytes = DATA, digest: str = DIGEST, size: int | None = None
) -> int:
    upload = objects.begin(digest, size=size, limit_bytes=LIMIT)
    upload.write(data[:10])
    upload.write(data[10:])
    return upload.commit()


def nothing_left(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if path.is_file()]


def test_a_blob_is_stored_and_read_in_part(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    assert store(objects, size=len(DATA)) == len(DATA) == objects.size(DIGEST)
    assert b"".join(objects.read(DIGEST, 5, 7)) == DATA[5:12]
    objects.delete(DIGEST)
    objects.delete(DIGEST)
    assert objects.size(DIGEST) is None
    with pytest.raises(NotFound):
        objects.read(DIGEST, 0, 1)


def test_other_bytes_than_the_digest_says_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="hash to"):
        store(Objects(tmp_path), data=DATA[:-1])
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_another_size_than_announced_is_not_kept(tmp_path: Path, size: int) -> None:
    with pytest.raises(IntegrityError, match="as announced"):
        store(Objects(tmp_path), size=size)
    assert nothing_left(tmp_path)


def test_a_blob_over_the_limit_is_refused_before_and_while_it_streams(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    with pytest.raises(InvalidInput) as announced:
        objects.begin(DIGEST, size=LIMIT + 1, limit_bytes=LIMIT)
    upload = objects.begin(DIGEST, size=None, limit_bytes=100)
    with pytest.raises(InvalidInput) as streamed:
        upload.write(b"x" * 101)
    assert announced.value.code == streamed.value.code == "too_large"
    assert nothing_left(tmp_path)


def test_a_full_disk_is_a_storage_error_and_leaves_nothing() -> None:
    # /dev/full takes the open and refuses the flush, like a disk without space.
    upload = Upload(Path("/nowhere/blob"), Path("/tmp"), DIGEST, None, LIMIT)
    upload._file.close()
    upload._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123
    with pytest.raises(StorageError) as caught:
        upload.write(b"x")
    assert caught.value.code == "disk_full"
    assert not upload._temporary.exists()


def test_what_a_crash_left_half_written_is_removed_at_the_next_start(tmp_path: Path) -> None:
    upload = Objects(tmp_path).begin(DIGEST, size=None, limit_bytes=LIMIT)
    upload.write(b"half")
    upload._file.close()
    Objects(tmp_path)
    assert nothing_left(tmp_path)
