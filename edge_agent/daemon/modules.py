"""Where a module's files are: in a folder that somebody built, or installed in a slot. Reads only.

The journal of a running agent may be read beside it; nothing is ever written here.
"""

import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.config import Settings
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, Blob, read_manifest
from edge_agent.contract.names import did_you_mean, digest_of
from edge_agent.errors import NotFound, ShoalError, StorageError
from edge_agent.runtime.infer import InferRequest
from edge_agent.store.journal import JOURNAL_FILE
from edge_agent.store.slots import SlotRecord

MANIFEST_FILE: Final = "manifest.json"
BUILD_FOLDER: Final = "build"
_SOURCE_FILE: Final = "module.toml"


def request_for(
    module: str, payload: bytes, settings: Callable[[], Settings]
) -> tuple[InferRequest, str]:
    """A request for what a person named: a module's files, or a slot.

    A folder that holds no built module is no reason to pass over a slot of the same name.

    Args:
        module: a path, or a slot's name.
        payload: of the message.
        settings: of the device; read only where a slot may be meant.

    Returns:
        The request, and what a person should be told about the choice; mostly empty.

    Raises:
        ShoalError: it is neither, or cannot be read.
    """
    path = Path(module)
    if path.exists() and (not path.is_dir() or _is_built(path)):
        return from_folder(path, payload), ""
    try:
        device = settings()
        state_dir = Path(device.agent.state_dir)
        request = from_slot(module, payload, state_dir, device.agent.device)
    except ShoalError:
        if not path.exists():
            raise
        return from_folder(path, payload), ""  # which says how the folder is built
    if not path.exists():
        return request, ""
    return request, f"folder {module} holds no built module: taking slot {module} of this device"


def from_folder(path: Path, payload: bytes) -> InferRequest:
    """A request for a module's folder that was built, or for a manifest beside its files.

    Raises:
        NotFound: the manifest, or a file that it names, is not there, or module.toml was changed
            after the manifest was built.
        ContractError: it is no manifest.
    """
    manifest_file = _manifest_file(path) if path.is_dir() else path
    try:
        with manifest_file.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise NotFound(
            f"manifest {manifest_file} cannot be read: {error.strerror}",
            hint="name a folder that `shoal module build` wrote",
        ) from error
    manifest = read_manifest(data)
    folder = manifest_file.parent
    return InferRequest(
        manifest_file=str(manifest_file),
        digest=digest_of(data),
        blob_files={blob.digest: str(_find(folder, blob)) for blob in manifest.blobs()},
        payload=payload,
        device="local",
        slot=manifest.name,
    )


def from_slot(slot: str, payload: bytes, state_dir: Path, device: str) -> InferRequest:
    """A request for what a slot runs, with its configuration.

    Raises:
        NotFound: no such slot, or nothing runs in it.
        StorageError: the journal cannot be read.
    """
    records = _records(state_dir)
    record = records.get(slot)
    if record is None or record.serving is None:
        raise NotFound(
            f"{slot!r} is neither a file nor a slot that runs on device {device}",
            hint=did_you_mean(slot, records),
        )
    serving = record.serving
    blobs = state_dir / "blobs"
    digests = record.blobs.get(serving.digest, ())
    return InferRequest(
        manifest_file=str(blobs / serving.digest.removeprefix("sha256:")),
        digest=serving.digest,
        blob_files={digest: str(blobs / digest.removeprefix("sha256:")) for digest in digests},
        payload=payload,
        device=device,
        slot=slot,
        version=serving.version,
        config=serving.config,
    )


def _is_built(folder: Path) -> bool:
    return any((place / MANIFEST_FILE).is_file() for place in (folder, folder / BUILD_FOLDER))


def _manifest_file(folder: Path) -> Path:
    """Of a folder that holds a manifest, or of a module's folder that was built."""
    beside = folder / MANIFEST_FILE
    source = folder / _SOURCE_FILE
    if beside.is_file() and not source.is_file():
        return beside
    built = folder / BUILD_FOLDER / MANIFEST_FILE
    hint = f"build it with: shoal module build {shlex.quote(str(folder))}"
    if not built.is_file():
        raise NotFound(f"{folder} holds no {MANIFEST_FILE}, and neither does its build", hint=hint)
    if source.is_file() and source.stat().st_mtime_ns > built.stat().st_mtime_ns:
        raise NotFound(f"{source} was changed after {built} was built", hint=hint)
    return built


def _find(folder: Path, blob: Blob) -> Path:
    name = blob.digest.removeprefix("sha256:")
    places = [folder / blob.path, folder / name, folder / "blobs" / name]
    if folder.name == BUILD_FOLDER:
        places.append(folder.parent / blob.path)
    for place in places:
        if place.is_file():
            return place
    raise NotFound(
        f"file {blob.path} ({blob.digest}) is not in {folder}",
        hint="copy the whole folder that `shoal module build` wrote",
    )


def _records(state_dir: Path) -> dict[str, SlotRecord]:
    path = state_dir / JOURNAL_FILE
    if not path.exists():
        return {}
    try:
        # Read-only: looking must not create or migrate anything.
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)
        try:
            rows = connection.execute("SELECT slot, body FROM slots").fetchall()
        finally:
            connection.close()
        return {slot: msgspec.json.decode(body, type=SlotRecord) for slot, body in rows}
    except (sqlite3.Error, msgspec.DecodeError) as error:
        raise StorageError(
            f"{path} cannot be read: {error}",
            hint="check the permissions of the file and its folder",
        ) from error
