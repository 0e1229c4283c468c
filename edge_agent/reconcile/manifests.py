"""Manifests of the versions that are on this device, read once each.

A manifest goes by its digest, so what was read stays true. It is for planning and for telling
workers about themselves; a worker reads and checks its own again before it loads anything.
"""

from typing import Final

from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from edge_agent.errors import ShoalError
from edge_agent.store.blobs import BlobStore

_MOST_KEPT: Final = 64


class Manifests:
    """Reads manifests out of a device's files. Any thread.

    Args:
        blobs: where they are.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: dict[str, Manifest] = {}

    def of(self, digest: str) -> Manifest | None:
        """A manifest; None if it is not here (yet, or any more), or is damaged."""
        known = self._known.get(digest)
        if known is not None:
            return known
        try:
            manifest = read_manifest(self._blobs.read(digest, limit=MAX_MANIFEST_BYTES))
        except ShoalError:
            return None
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[digest] = manifest
        return manifest

    def outputs(self, digest: str) -> tuple[str, ...] | None:
        """Names of what a version computes; None if its manifest is not here."""
        manifest = self.of(digest)
        return None if manifest is None else tuple(spec.name for spec in manifest.model.outputs)

    def files(self, digest: str) -> tuple[str, ...]:
        """Digests of the files that a version has; none if its manifest is not here."""
        manifest = self.of(digest)
        return () if manifest is None else tuple(blob.digest for blob in manifest.blobs())
