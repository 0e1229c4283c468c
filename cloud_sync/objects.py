"""Blobs by digest in a local folder: checked while they stream in, whole or absent on disk.

Knows bytes and digests; who needs a blob is the registry's to know.
"""

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloud_sync.errors import IntegrityError, InvalidInput, NotFound, StorageError
from edge_agent.contract.names import check_digest

CHUNK_BYTES: Final = 2**20


class Objects:
    """A store of immutable files, each named by the sha256 of its bytes.

    Args:
        folder: where they lie; created if missing. What earlier runs left half-written is removed.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "sha256"
        self._incoming = folder / "incoming"
        with _storage_errors():
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(exist_ok=True)
            for left in self._incoming.iterdir():
                left.unlink()

    def path(self, digest: str) -> Path:
        """Where a blob lies, whether or not it is there.

        Raises:
            ContractError: not a digest.
        """
        name = check_digest(digest).removeprefix("sha256:")
        return self._blobs / name[:2] / name

    def size(self, digest: str) -> int | None:
        """Bytes of a stored blob, or None if it is not stored."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def begin(self, digest: str, *, size: int | None, limit_bytes: int) -> "Upload":
        """Take in a blob.

        Args:
            digest: what its bytes must hash to.
            size: what was announced, or None if nothing was.
            limit_bytes: of any blob.

        Raises:
            ContractError: not a digest.
            InvalidInput: more was announced than the limit (`too_large`).
            StorageError: the disk refused.
        """
        if size is not None and size > limit_bytes:
            raise InvalidInput(
                f"blob expected at most {limit_bytes} bytes, announced {size}",
                hint="raise [http] max_blob_mb if this is right",
                code="too_large",
            )
        return Upload(self.path(digest), self._incoming, digest, size, limit_bytes)

    def read(self, digest: str, start: int, length: int) -> Iterator[bytes]:
        """The bytes of a blob from `start` on, in pieces.

        The file is opened before this returns, so that a blob that is deleted meanwhile is still
        read to its end.

        Raises:
            NotFound: it is not stored.
        """
        try:
            file = self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise NotFound(
                f"blob {digest} is not stored", hint="upload it first, or publish the module again"
            ) from error
        file.seek(start)

        def pieces() -> Iterator[bytes]:
            left = length
            with file:
                while left > 0 and (piece := file.read(min(CHUNK_BYTES, left))):
                    left -= len(piece)
                    yield piece

        return pieces()

    def delete(self, digest: str) -> None:
        """Remove a blob; removing one that is not there is no error."""
        with _storage_errors():
            self.path(digest).unlink(missing_ok=True)


class Upload:
    """A blob on its way in. Call `write` until done, then `commit`; or `abort`."""

    def __init__(
        self, target: Path, incoming: Path, digest: str, size: int | None, limit_bytes: int
    ) -> None:
        self._target = target
        self._temporary = incoming / uuid.uuid4().hex
        self._digest = digest
        self._announced = size
        self._bound = limit_bytes if size is None else size
        self._hash = hashlib.sha256()
        self._size = 0
        with _storage_errors():
            self._file = self._temporary.open("xb")

    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            IntegrityError: more bytes than announced.
            InvalidInput: more bytes than any blob may have.
            StorageError: the disk refused.
        """
        self._size += len(piece)
        if self._size > self._bound:
            self.abort()
            if self._announced is None:
                raise InvalidInput(
                    f"blob expected at most {self._bound} bytes, found more",
                    code="too_large",
                    hint="upload a smaller file",
                )
            raise IntegrityError(
                f"blob {self._digest} expected {self._announced} bytes as announced, found more",
                hint="upload it again: the file changed, or its length was wrong",
            )
        self._hash.update(piece)
        with self._aborting():
            self._file.write(piece)

    def commit(self) -> int:
        """Check the blob and make it durable under its digest.

        Returns:
            Its size, bytes.

        Raises:
            IntegrityError: too short, or other bytes than its digest says.
            StorageError: the disk refused.
        """
        if self._announced is not None and self._size != self._announced:
            self.abort()
            raise IntegrityError(
                f"blob {self._digest} expected {self._announced} bytes as announced, "
                f"found {self._size}",
                hint="upload it again",
            )
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._digest:
            self.abort()
            raise IntegrityError(
                f"blob expected {self._digest}, its {self._size} bytes hash to {found}",
                hint="the file changed or was damaged on its way: upload it again",
            )
        with self._aborting():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            is_new_folder = not self._target.parent.exists()
            self._target.parent.mkdir(exist_ok=True)
            self._temporary.replace(self._target)
            _sync_folder(self._target.parent)
            if is_new_folder:
                _sync_folder(self._target.parent.parent)
        return self._size

    def abort(self) -> None:
        """Forget it; safe to call at any time, also twice."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _aborting(self) -> Iterator[None]:
        try:
            with _storage_errors():
                yield
        except StorageError:
            self.abort()
            raise


def _sync_folder(folder: Path) -> None:
    """Without this a rename may be gone after a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            f"blob store: {error.strerror or error}",
            hint="free space on the disk of the data folder" if is_full else "",
            code="disk_full" if is_full else "",
        ) from error
