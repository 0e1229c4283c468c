"""The file of a bundle."""

import io
import json
import tarfile

from edge_agent.daemon.bundle.archive import MANIFEST, Missing, Part, pack


def packed(*parts: Part, max_bytes: int = 1000) -> tuple[tarfile.TarFile, dict[str, object]]:
    data, _ = pack(
        parts,
        [Missing("b.json", "gone")],
        device="line-1",
        agent="1.0",
        created=1_800_000_000.25,
        max_bytes=max_bytes,
    )
    archive = tarfile.open(fileobj=io.BytesIO(data), mode="r:gz")  # noqa: SIM115  # in memory
    manifest = archive.extractfile(f"shoal-bundle-line-1/{MANIFEST}")
    assert manifest is not None
    return archive, json.loads(manifest.read())


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"shoal-bundle-line-1/{name}")
    assert file is not None
    return file.read()


def test_the_manifest_comes_first_and_names_what_is_there_and_what_is_not() -> None:
    archive, manifest = packed(Part("z.txt", b"zz"), Part("a.json", b"{}"))
    names = [name.rpartition("/")[2] for name in archive.getnames()]
    assert names == [MANIFEST, "a.json", "z.txt"]
    assert manifest["files"] == [
        {"name": "a.json", "bytes": 2, "is_cut": False},
        {"name": "z.txt", "bytes": 2, "is_cut": False},
    ]
    assert manifest["missing"] == [{"name": "b.json", "reason": "gone"}]
    assert (manifest["device"], manifest["v"]) == ("line-1", 1)


def test_files_are_for_their_owner_alone() -> None:
    archive, _ = packed(Part("a.json", b"{}"))
    assert {entry.mode for entry in archive.getmembers()} == {0o600}


def test_the_same_parts_make_the_same_bytes() -> None:
    parts = [Part("a.json", b"{}"), Part("b.log", b"x" * 100)]
    options = {"device": "d", "agent": "1", "created": 1.0}
    first = pack(parts, [], **options)[0]  # type: ignore[arg-type]
    assert first == pack(parts, [], **options)[0]  # type: ignore[arg-type]


def test_what_is_too_much_is_cut_and_said_a_log_at_its_beginning() -> None:
    archive, manifest = packed(
        Part("first.json", b"1" * 60), Part("agent.log", b"0" * 60 + b"9" * 40), max_bytes=100
    )
    assert content(archive, "first.json") == b"1" * 60
    assert content(archive, "agent.log") == b"9" * 40
    files = {file["name"]: file["is_cut"] for file in manifest["files"]}  # type: ignore[attr-defined]
    assert files == {"first.json": False, "agent.log": True}


def test_nothing_is_left_for_the_last_of_too_many() -> None:
    archive, _ = packed(Part("a", b"1" * 100), Part("b.log", b"2" * 9), max_bytes=100)
    assert content(archive, "b.log") == b""
