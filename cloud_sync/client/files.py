"""Files on this machine on their way into and out of the registry: digests, bytes, safe names.

Reads files and decides names. Talks to no service.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from cloud_sync.client.progress import Progress, Transfer, ignore
from cloud_sync.errors import IntegrityError, InvalidInput, StorageError
from edge_agent.contract.manifest import Blob

CHUNK_BYTES: Final = 2**18

Source = Path | bytes
"""Where a blob's bytes are on this machine."""


def describe(path: Path, name: str, on_progress: Progress = ignore) -> Blob:
    """A file on this machine as a blob: its size and the digest of its bytes.

    Args:
        path: the file.
        name: what it is called in the registry, '/' between parts.
        on_progress: called while it is hashed.

    Raises:
        InvalidInput: there is no such file.
        StorageError: it cannot be read.
    """
    try:
        total = path.stat().st_size
        digest, done = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                on_progress(Transfer(step="hash", what=name, done=done, total=max(done, total)))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InvalidInput(
            f"expected a file, found none at {path}", code="file_missing", hint="check the path"
        ) from error
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror or error}",
            hint="check the permissions of the file",
        ) from error
    return Blob(path=name, digest=f"sha256:{digest.hexdigest()}", size=done)


def named_files(paths: list[Path]) -> dict[str, Path]:
    """What each given file is called in the registry.

    A file keeps its own name. A folder gives every file below it, by its path inside the folder;
    hidden files and folders are left out. A link below a folder must not lead out of it: nobody
    meant to register what it points at.

    Raises:
        InvalidInput: a path that is not there, an empty folder, a link out of a folder, or two
            files of one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InvalidInput(
                f"expected a file or folder, found none at {path}",
                code="file_missing",
                hint="check the path",
            )
        found = _below(path) if path.is_dir() else {path.name: path}
        if not found:
            raise InvalidInput(
                f"folder {path} expected at least one file, found none",
                hint="name a folder with files in it",
            )
        for name, file in found.items():
            if not name.isprintable():  # bytes that are no UTF-8 come as lone surrogates
                raise InvalidInput(
                    f"file name {name!r} expected printable characters in UTF-8",
                    hint="rename the file",
                    code="name_invalid",
                )
            if name in named:
                raise InvalidInput(
                    f"{named[name]} and {file} would both be called {name!r}",
                    hint="rename one, or give the folder that holds both",
                )
            named[name] = file
    return named


def _below(folder: Path) -> dict[str, Path]:
    files, top = {}, folder.resolve()
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts):
            continue
        target = Path(os.path.realpath(file))  # which, unlike resolve(), bears links in a circle
        if file.is_symlink() and not target.is_relative_to(top):
            raise InvalidInput(
                f"folder {folder} expected only what is below it, found the link "
                f"{inside.as_posix()!r} to {target}",
                hint="give a copy of the folder with the files themselves (cp -rL), "
                "or name the files one by one",
                code="link_leaves_folder",
            )
        if file.is_file():
            files[inside.as_posix()] = file
    return files


def target_of(folder: Path, name: str) -> Path:
    """Where a file of the registry goes below `folder`.

    Its name was chosen by whoever registered it, so it may try to leave the folder.

    Raises:
        IntegrityError: it does.
    """
    parts = PurePosixPath(name)
    if (
        parts.is_absolute()
        or not parts.parts
        or ".." in parts.parts
        or "\\" in name
        or "\0" in name
    ):
        raise IntegrityError(
            f"file name {name!r} would leave the folder {folder}",
            hint="do not trust this version: retire it and ask who registered it",
            code="path_unsafe",
        )
    return folder / parts


def chunks_of(blob: Blob, source: Source, check_time: Callable[[], None]) -> Iterator[bytes]:
    """The blob's bytes, exactly as many as were announced."""
    if isinstance(source, bytes):
        for start in range(0, len(source), CHUNK_BYTES):
            yield source[start : start + CHUNK_BYTES]
        return
    sent = 0
    try:
        with source.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                sent += len(chunk)
                if sent > blob.size:
                    break
                yield chunk
                check_time()
    except OSError as error:
        raise StorageError(
            f"cannot read {source}: {error.strerror or error}",
            hint="check the permissions of the file",
        ) from error
    if sent != blob.size:
        raise IntegrityError(
            f"{source} had {blob.size} bytes when its digest was taken and has others now",
            hint="let whatever writes it finish, then try again",
        )
