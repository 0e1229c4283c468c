"""How much of a version is on the device already. Looks at sizes only, and never waits."""

from msgspec import Struct

from edge_agent.contract.manifest import Manifest
from edge_agent.store.blobs import BlobStore


class Progress(Struct, frozen=True, kw_only=True):
    """A download.

    Attributes:
        bytes_here: of the version's files, those that other versions brought included.
        bytes_total: of all of its files.
    """

    bytes_here: int
    bytes_total: int


def progress_of(manifest: Manifest, blobs: BlobStore) -> Progress:
    """How far the files of a version have come.

    Args:
        manifest: of the version.
        blobs: the device's files.
    """
    files = {blob.digest: blob.size for blob in manifest.blobs()}
    missing = sum(blobs.missing_bytes(digest, size) for digest, size in files.items())
    total = sum(files.values())
    return Progress(bytes_here=total - missing, bytes_total=total)
