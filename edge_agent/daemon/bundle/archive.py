"""The file of a bundle: bounded parts under one folder, always in the same order, as a tar.gz.

Pure: parts in, bytes out.
"""

import gzip
import io
import tarfile
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

MAX_BYTES: Final = 5 * 2**20
"""Of all parts together, before they are compressed."""

MANIFEST: Final = "manifest.json"


class Part(Struct, frozen=True):
    """One file in a bundle.

    Attributes:
        name: of the file.
        data: what is in it.
    """

    name: str
    data: bytes


class Missing(Struct, frozen=True):
    """What could not be put in, and why."""

    name: str
    reason: str


class Included(Struct, frozen=True, kw_only=True):
    """What was put in.

    Attributes:
        is_cut: only its end is there (of a log) or its beginning (of everything else).
    """

    name: str
    bytes: int
    is_cut: bool = False


class Manifest(Struct, frozen=True, kw_only=True):
    """What is in a bundle.

    Attributes:
        created: seconds since 1970, by the device's clock.
        agent: version of the agent that wrote it.
        folder: in which all files are.
    """

    device: str
    created: float
    agent: str
    folder: str
    files: tuple[Included, ...]
    missing: tuple[Missing, ...]
    v: int = 1


def pack(
    parts: Sequence[Part],
    missing: Sequence[Missing],
    *,
    device: str,
    agent: str,
    created: float,
    max_bytes: int = MAX_BYTES,
) -> tuple[bytes, Manifest]:
    """Put parts together, the first ones first if there is not room for all.

    Args:
        parts: in the order of their weight.
        missing: what there is no part of.
        device: its name.
        agent: version of the agent.
        created: seconds since 1970.
        max_bytes: of all parts together.

    Returns:
        The archive, and what is in it.
    """
    left = max_bytes
    kept: list[Part] = []
    included: list[Included] = []
    for part in parts:
        data = part.data
        if len(data) > left:
            data = data[len(data) - left :] if part.name.endswith(".log") else data[:left]
        left -= len(data)
        kept.append(Part(part.name, data))
        is_cut = len(data) < len(part.data)
        included.append(Included(name=part.name, bytes=len(data), is_cut=is_cut))
    manifest = Manifest(
        device=device,
        created=round(created, 3),
        agent=agent,
        folder=f"shoal-bundle-{device}",
        files=tuple(sorted(included, key=lambda one: one.name)),
        missing=tuple(sorted(missing, key=lambda one: one.name)),
    )
    first = Part(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    files = [first, *sorted(kept, key=lambda part: part.name)]
    return _tar(files, manifest.folder, int(max(0.0, created))), manifest


def _tar(parts: Sequence[Part], folder: str, modified: int) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for part in parts:
            entry = tarfile.TarInfo(f"{folder}/{part.name}")
            entry.size, entry.mode, entry.mtime = len(part.data), 0o600, modified
            archive.addfile(entry, io.BytesIO(part.data))
    return gzip.compress(plain.getvalue(), mtime=modified)
