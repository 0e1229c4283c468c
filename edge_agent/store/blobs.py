"""Files by their sha256: received into `tmp/`, checked, and only then given their name.

A file under `blobs/` was whole and right when it was put there; it is hashed again whenever it is
read, because disks rot and people touch files. Nothing is ever changed in place.
"""

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_agent.contract.names import check_digest
from edge_agent.errors import IntegrityError, NotFound
from edge_agent.store.files import fsync_folder, make_folder, storage_error

CHUNK_BYTES: Final = 256 * 1024


class Reservation:
    """A blob that is being received. Made by `BlobStore.reserve`; used by one thread.

    What arrived before an interruption is kept in the file, so that the rest can be fetched later.

    Args:
        store: where it will be put.
        digest: what it must hash to.
        part: the file that is filled.
        limit: most bytes.
        size: exact number of bytes, or None if only the limit is known.
    """

    def __init__(
        self, store: "BlobStore", digest: str, part: Path, *, limit: int, size: int | None
    ) -> None:
        self._store = store
        self._digest = digest
        self._part = part
        self._limit = limit
        self._size = size
        self._hash = hashlib.sha256()
        self.received = 0
        try:
            self._file = part.open("ab")
        except OSError as error:
            raise storage_error("cannot write", part, error) from error
        try:
            self._take_up()
        except OSError as error:
            with suppress(OSError):
                self._file.close()
            raise storage_error("cannot write", part, error) from error

    def _take_up(self) -> None:
        """Hash what an earlier attempt left."""
        self._part.chmod(0o600)
        self.received = self._part.stat().st_size
        if self.received > self._limit:
            self._file.truncate(0)
            self.received = 0
        with self._part.open("rb") as before:
            while chunk := before.read(CHUNK_BYTES):
                self._hash.update(chunk)

    def expect(self, total: int) -> None:
        """Check a length that the source announces, before its bytes come.

        Raises:
            IntegrityError: more than is allowed (`blob_too_large`); the part is dropped.
        """
        if total > self._limit:
            self.discard()
            raise IntegrityError(
                f"blob {self._digest} expected at most {self._limit} bytes, found {total}",
                hint="the source sends something else than was announced; publish it again",
                code="blob_too_large",
            )

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            IntegrityError: more bytes than announced (`blob_too_large`); the part is dropped.
            StorageError: the disk refused (`disk_full` if so); the part is dropped.
        """
        self.expect(self.received + len(chunk))
        try:
            self._file.write(chunk)
        except OSError as error:
            self.discard()
            raise storage_error("cannot write", self._part, error) from error
        self._hash.update(chunk)
        self.received += len(chunk)

    def restart(self) -> None:
        """Begin again from the first byte."""
        try:
            self._file.flush()
            self._file.truncate(0)
        except OSError as error:
            self.discard()
            raise storage_error("cannot write", self._part, error) from error
        self._hash = hashlib.sha256()
        self.received = 0

    def commit(self) -> Path:
        """Check length and hash, make it durable, give it its name.

        Returns:
            Where it is.

        Raises:
            IntegrityError: `truncated` (the part is kept, to be continued), or `digest_mismatch`
                (the part is dropped).
            StorageError: the disk refused; the part is dropped.
        """
        if self._size is not None and self.received < self._size:
            self.keep()
            raise IntegrityError(
                f"blob {self._digest} expected {self._size} bytes, found {self.received}",
                hint="the connection ended early; the rest is fetched by itself",
                code="truncated",
            )
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._digest:
            self.discard()
            raise IntegrityError(
                f"blob expected {self._digest}, found {found}",
                hint="the source or the way from it changes bytes; publish the module again",
                code="digest_mismatch",
            )
        target = self._store.path(self._digest)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(target)
        except OSError as error:
            self.discard()
            raise storage_error("cannot write", self._part, error) from error
        try:
            fsync_folder(target.parent)
        except OSError as error:
            # Its name may not outlive a power cut. Who looks must not take it for installed.
            with suppress(OSError):
                target.unlink()
            raise storage_error("cannot write", target, error) from error
        return target

    def keep(self) -> None:
        """Stop for now; the next reservation of this digest goes on from here."""
        try:
            self._file.close()
        except OSError as error:  # the last buffered bytes did not fit on the disk
            self.discard()
            raise storage_error("cannot write", self._part, error) from error

    def discard(self) -> None:
        """Stop and forget what arrived."""
        # What is still buffered may not fit on the disk; nobody wants it any more.
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):  # what stays is collected when nobody wants it
            self._part.unlink(missing_ok=True)


class BlobStore:
    """All blobs of a device. Safe to use from several threads, one thread a digest.

    Args:
        folder: the state directory.

    Raises:
        StorageError: there is no folder for them, or it cannot be flushed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = make_folder(folder / "blobs")
        # On the same filesystem, so that the rename is atomic.
        self._parts = make_folder(folder / "tmp")
        try:
            # A run that was cut off may have named a file and not flushed the name: from here on,
            # what is found here stays here.
            fsync_folder(self._blobs)
        except OSError as error:
            raise storage_error("cannot flush", self._blobs, error) from error

    def path(self, digest: str) -> Path:
        """Where a blob is, or would be."""
        return self._blobs / check_digest(digest).removeprefix("sha256:")

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether a blob is here, of that size if one is given. The bytes are not read."""
        try:
            found = self.path(digest).stat().st_size
        except OSError:
            return False
        return size is None or found == size

    def missing_bytes(self, digest: str, size: int) -> int:
        """How many bytes of a blob are not on the disk yet. What is there is not read.

        Args:
            digest: of the blob.
            size: its whole length.
        """
        if self.has(digest, size):
            return 0
        try:
            there = self._part(digest).stat().st_size
        except OSError:
            there = 0
        return size - there if there <= size else size

    def reserve(self, digest: str, *, limit: int, size: int | None = None) -> Reservation:
        """Begin to receive a blob, or go on where the last attempt stopped.

        Args:
            digest: what it must hash to.
            limit: most bytes that are taken.
            size: exact number of bytes, if it is known.

        Raises:
            StorageError: there is no room for it (`disk_full`), or the disk refused.
        """
        limit = limit if size is None else size
        return Reservation(self, digest, self._part(digest), limit=limit, size=size)

    def put(self, digest: str, data: bytes) -> Path:
        """Store bytes that are at hand.

        Raises:
            IntegrityError: they do not hash to `digest`.
            StorageError: the disk refused.
        """
        part = self.reserve(digest, limit=len(data), size=len(data))
        part.restart()
        part.write(data)
        return part.commit()

    def read(self, digest: str, *, limit: int) -> bytes:
        """A blob's bytes, hashed again.

        Raises:
            NotFound: it is not here.
            IntegrityError: the file has changed or is longer than `limit`; it is removed, so that
                it is fetched again.
            StorageError: the disk refused.
        """
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError as error:
            raise NotFound(
                f"blob {digest} is not on this device",
                hint="nothing: it is fetched again when a slot needs it",
            ) from error
        except OSError as error:
            raise storage_error("cannot read", path, error) from error
        if len(data) > limit or f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            self._remove(path)
            raise IntegrityError(
                f"file {path} does not hash to its name any more",
                hint="it was removed and is fetched again; if it comes back, check the disk",
                code="blob_damaged",
            )
        return data

    def is_intact(self, digest: str) -> bool:
        """Whether a blob is here and still hashes to its name. One that does not is removed."""
        path = self.path(digest)
        found = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    found.update(chunk)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error("cannot read", path, error) from error
        if f"sha256:{found.hexdigest()}" == digest:
            return True
        self._remove(path)
        return False

    def collect(self, keep: Collection[str]) -> tuple[int, int]:
        """Remove every blob, and every unfinished one, whose digest is not in `keep`.

        The same files and the same `keep` give the same removals in the same order.

        Returns:
            Number of files and bytes that were freed.

        Raises:
            StorageError: the disk refused; what was removed before stays removed.
        """
        files = freed = 0
        for path in self.unwanted(keep):
            try:
                size = path.stat().st_size
                path.unlink()
            except OSError as error:
                raise storage_error("cannot remove", path, error) from error
            files, freed = files + 1, freed + size
        return files, freed

    def unwanted(self, keep: Collection[str]) -> tuple[Path, ...]:
        """What `collect` removes, in its order: whole files first, each kind by name.

        Raises:
            StorageError: the disk refused.
        """
        names = {digest.removeprefix("sha256:") for digest in keep}
        found: list[Path] = []
        for folder in (self._blobs, self._parts):
            try:
                found += sorted(path for path in folder.iterdir() if path.is_file())
            except OSError as error:
                raise storage_error("cannot list", folder, error) from error
        return tuple(path for path in found if path.name.removesuffix(".part") not in names)

    def _part(self, digest: str) -> Path:
        return self._parts / f"{check_digest(digest).removeprefix('sha256:')}.part"

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error("cannot remove", path, error) from error
