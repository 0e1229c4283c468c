"""Modules in the registry: a manifest and its blobs, ready for devices."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from cloud_sync.client.blobs import Blobs
from cloud_sync.client.files import Source
from cloud_sync.client.paging import pages
from cloud_sync.client.progress import Progress, ignore
from cloud_sync.client.transport import Params, Transport, path_of
from cloud_sync.client.versions import newest
from cloud_sync.errors import IntegrityError
from cloud_sync.resources import Deleted, ModulePublished, ModuleVersion
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, Manifest, canonical, read_manifest
from edge_agent.contract.names import digest_of


class Built(Protocol):
    """What building a module folder gives, and all that publishing needs to know of it."""

    @property
    def manifest(self) -> Manifest:
        """The module."""

    @property
    def files(self) -> Mapping[str, Source]:
        """Digest to where the bytes are, for every blob of the manifest."""


class Modules:
    """The group `client.modules`."""

    def __init__(self, transport: Transport, blobs: Blobs) -> None:
        self._transport = transport
        self._blobs = blobs

    def publish(
        self, built: Built, *, reason: str = "", on_progress: Progress = ignore
    ) -> ModulePublished:
        """Send what the service lacks of a module, then publish it.

        Publishing the same digest again changes nothing and says so.

        Args:
            built: the module.
            reason: why, for the audit log.
            on_progress: called while files are sent.

        Raises:
            InvalidInput: the service does not take the manifest; it may form a cycle with others.
            IntegrityError: a file changed since the module was built.
            StorageError: a file cannot be read, or the service has no space.
        """
        self._blobs.upload(built.manifest.blobs(), built.files, on_progress)
        body = canonical(built.manifest)
        return self._transport.ask(
            "POST", path_of("modules"), ModulePublished, body=body, reason=reason
        )

    def search(
        self, *, name: str = "", retired: bool = False, limit: int | None = None
    ) -> Iterator[ModuleVersion]:
        """Every published version, page by page.

        Args:
            name: a glob, `shuttle-*`; empty for all.
            retired: whether retired versions are given too.
            limit: stop after so many; None for all.
        """

        def fetch(count: int, offset: int) -> list[ModuleVersion]:
            params: Params = {
                "name": name or None,
                "retired": None if retired else False,
                "limit": count,
                "offset": offset,
            }
            return self._transport.ask(
                "GET", path_of("modules"), list[ModuleVersion], params=params
            )

        return pages(fetch, lambda module: (module.name, module.version), limit)

    def versions(self, name: str) -> list[ModuleVersion]:
        """Every version of a module, newest first.

        Raises:
            NotFound: there is no such module.
        """
        return self._transport.ask("GET", path_of("modules", name), list[ModuleVersion])

    def show(self, name: str, version: int | None = None) -> ModuleVersion:
        """One version; the newest that is not retired if no version is given.

        Raises:
            NotFound: there is no such module or version, or all of them are retired.
        """
        if version is None:
            return newest("module", name, self.versions(name))
        return self._transport.ask("GET", path_of("modules", name, version), ModuleVersion)

    def manifest(self, module: ModuleVersion) -> Manifest:
        """The manifest of a published version, verified against its digest.

        Raises:
            IntegrityError: the service's bytes are not those that were published.
            ContractError: they are no manifest that this version can read.
        """
        path = path_of("modules", module.name, module.version, "manifest")
        data = self._transport.fetch(path, limit_bytes=MAX_MANIFEST_BYTES)
        if digest_of(data) != module.digest:
            raise IntegrityError(
                f"manifest of {module.name}/{module.version} expected {module.digest}, "
                f"found {digest_of(data)}",
                hint="fetch it again; look for a proxy that changes what passes",
            )
        return read_manifest(data)

    def retire(self, name: str, version: int, *, reason: str = "") -> ModuleVersion:
        """Take a version out of use: it is no longer the newest, and what runs it goes on."""
        path = path_of("modules", name, version, "retire")
        return self._transport.ask("POST", path, ModuleVersion, reason=reason)

    def delete(self, name: str, version: int, *, reason: str = "") -> Deleted:
        """Delete a version.

        Raises:
            InUse: devices run it or should run it; they are named.
        """
        path = path_of("modules", name, version)
        return self._transport.ask("DELETE", path, Deleted, reason=reason)
