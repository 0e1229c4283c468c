"""Where a bundle goes, and what a person is told of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.daemon.bundle.archive import Manifest
from edge_agent.errors import StorageError
from edge_agent.store.files import write_atomic


def bundle_name(manifest: Manifest) -> str:
    """The file's name unless another is given."""
    stamp = datetime.fromtimestamp(manifest.created, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{manifest.folder}-{stamp}.tar.gz"


def save(path: Path, data: bytes) -> None:
    """Write a bundle, readable by its owner alone.

    Raises:
        StorageError: the disk refused, or there is something that is no file, such as a device.
    """
    # An atomic write replaces the name, and with it what others reach by that name.
    if path.exists() and not path.is_file():
        raise StorageError(
            f"cannot write {path}: it is no file",
            hint="name a file with --out, or use --out - > FILE",
            code="not_a_file",
        )
    try:
        write_atomic(path, data, mode=0o600)
    except StorageError as error:
        raise StorageError(
            error.text,
            hint="name a file on another disk with --out, or use --out - > FILE",
            code=error.code,
        ) from error


def pour(handle: int, data: bytes) -> None:
    """Write a bundle to an open output, such as standard output.

    Args:
        handle: its file descriptor; it stays open.
        data: all of it.

    Raises:
        StorageError: it took less.
    """
    try:
        # Of its own: what the program's stdout could not write, it would try again at the end.
        with open(handle, "wb", closefd=False) as out:
            out.write(data)
    except OSError as error:
        raise StorageError(
            f"cannot write standard output: {error.strerror or error}",
            hint="see where it leads, or name a file on another disk with --out",
            code="output_refused",
        ) from error


def bundle_lines(manifest: Manifest, place: str, size: int) -> Iterator[str]:
    """What a person is shown: what is in it, and what is not."""
    for file in manifest.files:
        cut = "  cut to fit" if file.is_cut else ""
        yield f"{file.name:18} {file.bytes:>9,} bytes{cut}"
    for missing in manifest.missing:
        yield f"{missing.name:18} not in it: {missing.reason}"
    where = "standard output" if place == "-" else place
    yield f"wrote {where} ({size / 1000:.0f} kB); look through it before you send it"
