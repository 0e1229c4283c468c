"""Files of an installed module, verified as they are read. Never trusts a file's name."""

from pathlib import Path

from edge_agent.contract.manifest import Blob, Manifest
from edge_agent.contract.names import digest_of
from edge_agent.errors import IntegrityError, StorageError
from edge_agent.runtime.golden import GoldenCase, parse_golden


def read_file(path: str, limit_bytes: int) -> bytes:
    """A file's bytes.

    Raises:
        StorageError: it cannot be read.
        IntegrityError: it is longer than it should be; the rest is not read.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror}",
            code="unreadable",
            hint="check the disk and the permissions of the state folder",
        ) from error
    if len(data) > limit_bytes:
        raise IntegrityError(
            f"{path} expected at most {limit_bytes} bytes, found more",
            hint="fetch the file again: it is not the one that was published",
        )
    return data


def read_blob(blob: Blob, blob_files: dict[str, str]) -> bytes:
    """A blob's bytes, hashed again.

    Args:
        blob: what is wanted.
        blob_files: digest to file.

    Raises:
        StorageError: the file is not there or cannot be read.
        IntegrityError: it holds other bytes.
    """
    path = blob_files.get(blob.digest)
    if path is None:
        raise StorageError(
            f"no file is given for {blob.path} ({blob.digest})",
            code="unreadable",
            hint="install the module again; its files are not complete",
        )
    data = read_file(path, blob.size)
    found = digest_of(data)
    if found != blob.digest:
        raise IntegrityError(
            f"{blob.path} expected {blob.digest}, found {found} in {path}",
            hint="delete the file, so that it is fetched again",
        )
    return data


def read_golden(manifest: Manifest, blob_files: dict[str, str]) -> list[GoldenCase]:
    """All golden cases of a module.

    Raises:
        StorageError, IntegrityError: see `read_blob`.
        ContractError: a file is no golden file.
    """
    cases: list[GoldenCase] = []
    for blob in manifest.health.golden:
        cases.extend(parse_golden(blob.path, read_blob(blob, blob_files)))
    return cases
