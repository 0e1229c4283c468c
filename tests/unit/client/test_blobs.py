import os
from pathlib import Path

import pytest

from cloud_sync.client import ShoalClient, Transfer
from cloud_sync.client.files import describe, named_files, target_of
from cloud_sync.errors import IntegrityError, InvalidInput, StorageError, Unavailable
from edge_agent.contract.manifest import Blob
from edge_agent.contract.names import digest_of
from tests.support.scripted_http import Answer, ScriptedService, answer, problem

DATA = bytes(range(256)) * 4096  # 1 MiB, several chunks
BLOB = Blob(path="model.onnx", digest=digest_of(DATA), size=len(DATA))
PATH = f"/v1/blobs/{BLOB.digest}"


def part_of(folder: Path) -> Path:
    return folder / f".{BLOB.digest.removeprefix('sha256:')}.part"


def rest_from(start: int) -> Answer:
    promised = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    return Answer(206, DATA[start:], {"Content-Range": promised})


def test_only_what_is_missing_is_sent_and_the_progress_ends_at_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(DATA)
    other = Blob(path="labels.txt", digest=digest_of(b"a"), size=1)
    seen: list[Transfer] = []
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("POST", "/v1/blobs/missing", answer({"missing": [BLOB.digest]}))
        service.on("PUT", PATH, Answer(201, b"{}"))
        done = client.blobs.upload(
            [BLOB, other, BLOB], {BLOB.digest: file, other.digest: b"a"}, seen.append
        )
    puts = [request for request in service.requests if request.method == "PUT"]
    assert [request.body for request in puts] == [DATA]
    assert puts[0].headers["content-length"] == str(len(DATA))
    assert (done.sent, done.sent_bytes, done.kept) == (1, len(DATA), 1)
    assert [t.done for t in seen] == sorted({t.done for t in seen})
    assert seen[-1] == Transfer(step="upload", what="model.onnx", done=len(DATA), total=len(DATA))


def test_a_file_that_changed_since_its_digest_was_taken_is_not_sent_on(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(DATA + b"more")
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("POST", "/v1/blobs/missing", answer({"missing": [BLOB.digest]}))
        service.on("PUT", PATH, Answer(201, b"{}"))
        with pytest.raises(IntegrityError, match="when its digest was taken"):
            client.blobs.upload([BLOB], {BLOB.digest: file})


def test_a_refused_upload_says_why() -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("POST", "/v1/blobs/missing", answer({"missing": [BLOB.digest]}))
        service.on("PUT", PATH, problem(507, "storage", "the disk is full"))
        with pytest.raises(StorageError, match="the disk is full"):
            client.blobs.upload([BLOB], {BLOB.digest: DATA})


def test_a_download_is_verified_and_leaves_nothing_but_its_target(tmp_path: Path) -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, Answer(200, DATA))
        client.blobs.download(BLOB, tmp_path / "deep" / "model.onnx")
    assert (tmp_path / "deep" / "model.onnx").read_bytes() == DATA
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["model.onnx"]


def test_an_empty_file_can_be_downloaded(tmp_path: Path) -> None:
    empty = Blob(path="empty", digest=digest_of(b""), size=0)
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", f"/v1/blobs/{empty.digest}", Answer(200, b""))
        client.blobs.download(empty, tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_broken_download_is_continued_from_where_it_ended(tmp_path: Path) -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, Answer(200, DATA, cut_after=600_000), rest_from(600_000))
        client.blobs.download(BLOB, tmp_path / "model.onnx")
    first, second = service.requests
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=600000-"
    assert second.headers["if-range"] == f'"{BLOB.digest}"'
    assert (tmp_path / "model.onnx").read_bytes() == DATA


def test_a_part_of_an_earlier_run_is_continued(tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(DATA[:1000])
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, rest_from(1000))
        client.blobs.download(BLOB, tmp_path / "model.onnx")
    assert service.requests[0].headers["range"] == "bytes=1000-"
    assert (tmp_path / "model.onnx").read_bytes() == DATA


def test_another_range_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(DATA[:1000])
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, rest_from(500))
        with pytest.raises(IntegrityError, match="asked for the bytes from 1000 on"):
            client.blobs.download(BLOB, tmp_path / "model.onnx")


def test_a_service_that_ignores_ranges_starts_over(tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(b"x" * 1000)
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, Answer(200, DATA))
        client.blobs.download(BLOB, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == DATA


def test_wrong_bytes_are_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, Answer(200, DATA[::-1]))
        with pytest.raises(IntegrityError, match="expected sha256"):
            client.blobs.download(BLOB, target)
    assert target.read_bytes() == b"old"
    assert not part_of(tmp_path).exists()


def test_more_bytes_than_announced_are_refused_while_they_stream(tmp_path: Path) -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, Answer(200, DATA + b"more"))
        with pytest.raises(IntegrityError, match="sends more"):
            client.blobs.download(BLOB, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused = pytest.raises(StorageError, match="cannot write")
    with ScriptedService() as service, ShoalClient(service.url) as client, refused:
        client.blobs.download(BLOB, tmp_path / "file" / "model.onnx")


def test_a_download_that_always_breaks_is_given_up_and_its_part_kept(tmp_path: Path) -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", PATH, Answer(200, DATA, cut_after=5))
        with pytest.raises(Unavailable) as caught:
            client.blobs.download(BLOB, tmp_path / "model.onnx")
    assert caught.value.code == "connection_broken"
    assert not (tmp_path / "model.onnx").exists()
    assert part_of(tmp_path).exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "", "a\\b", "a\0b"])
def test_a_file_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(IntegrityError):
        target_of(tmp_path, name)


def test_a_file_name_may_have_folders(tmp_path: Path) -> None:
    assert target_of(tmp_path, "vocab/en.txt") == tmp_path / "vocab" / "en.txt"


def test_a_folder_gives_every_file_in_it_but_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "m" / "sub").mkdir(parents=True)
    (tmp_path / "m" / ".git").mkdir()
    for name in ("m/model.onnx", "m/sub/vocab.txt", "m/.hidden", "m/.git/config", "card.md"):
        (tmp_path / name).write_text(name)
    found = named_files([tmp_path / "m", tmp_path / "card.md"])
    assert sorted(found) == ["card.md", "model.onnx", "sub/vocab.txt"]


@pytest.mark.parametrize("name", [b"caf\xe9.onnx", b"two\nlines"])
def test_a_file_name_that_others_could_not_read_is_refused(tmp_path: Path, name: bytes) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    file.write_text("x")
    with pytest.raises(InvalidInput, match="printable"):
        named_files([file])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/model.onnx", "model.onnx"):
        (tmp_path / name).write_text(name)
    with pytest.raises(InvalidInput, match="would both be called"):
        named_files([tmp_path / "model.onnx", tmp_path / "a" / "model.onnx"])


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.onnx"):
        named_files([tmp_path / "nothing.onnx"])
    with pytest.raises(InvalidInput, match="at least one file"):
        named_files([tmp_path])
    with pytest.raises(InvalidInput, match=r"nothing\.onnx"):
        describe(tmp_path / "nothing.onnx", "model.onnx")
