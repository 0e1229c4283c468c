"""Files by their digest: sent only when the service lacks them, fetched with resume.

A download is never seen half-done: it streams to a part file beside its target, is hashed whole,
made durable, and renamed.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx
from msgspec import Struct

from cloud_sync.client.files import Source, chunks_of
from cloud_sync.client.progress import Progress, Step, Transfer, ignore
from cloud_sync.client.transport import Transport, path_of
from cloud_sync.errors import IntegrityError, StorageError, Unavailable
from cloud_sync.resources import BlobQuery, MissingBlobs
from edge_agent.contract.manifest import Blob

QUERY_DIGESTS: Final = 10_000
DOWNLOAD_ATTEMPTS: Final = 4
SLOWEST_BYTES_PER_S: Final = 4096
"""A transfer that is slower on the whole is given up: it would never end."""


class Uploaded(Struct, frozen=True, kw_only=True):
    """What an upload came to.

    Attributes:
        sent: files that the service did not have.
        sent_bytes: their size.
        kept: files that it had already.
    """

    sent: int
    sent_bytes: int
    kept: int


class Blobs:
    """The group `client.blobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def missing(self, digests: Iterable[str]) -> tuple[str, ...]:
        """Which of these the service does not have.

        Args:
            digests: `sha256:` and 64 hex digits each.
        """
        wanted = list(dict.fromkeys(digests))
        found: list[str] = []
        for start in range(0, len(wanted), QUERY_DIGESTS):
            query = BlobQuery(digests=tuple(wanted[start : start + QUERY_DIGESTS]))
            path = path_of("blobs", "missing")
            found += self._transport.ask("POST", path, MissingBlobs, body=query).missing
        return tuple(found)

    def upload(
        self, blobs: Iterable[Blob], sources: Mapping[str, Source], on_progress: Progress = ignore
    ) -> Uploaded:
        """Send what the service lacks, and only that.

        Args:
            blobs: the files; one digest may occur under several paths and is sent once.
            sources: digest to where the bytes are.
            on_progress: called while files are sent.

        Raises:
            IntegrityError: a file changed since its digest was taken.
            StorageError: a file cannot be read, or the service has no space.
        """
        by_digest = {blob.digest: blob for blob in blobs}
        missing = self.missing(by_digest)
        for digest in missing:
            self._send(by_digest[digest], sources[digest], on_progress)
        return Uploaded(
            sent=len(missing),
            sent_bytes=sum(by_digest[digest].size for digest in missing),
            kept=len(by_digest) - len(missing),
        )

    def download(self, blob: Blob, target: Path, on_progress: Progress = ignore) -> None:
        """Fetch a file to `target`, replacing what is there.

        A part that an earlier, broken attempt left behind is continued. The part file is named
        by the digest, so it can only be a part of the same bytes.

        Raises:
            IntegrityError: the service's bytes are not those of the digest.
            Unavailable: the service went away and stayed away for all attempts.
            StorageError: the folder cannot be written.
        """
        part = target.with_name(f".{blob.digest.removeprefix('sha256:')}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            deadline = _deadline(self._transport.timeout_s * DOWNLOAD_ATTEMPTS, blob.size)
            for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
                try:
                    self._receive(blob, part, deadline, on_progress)
                    break
                except Unavailable as error:
                    if attempt == DOWNLOAD_ATTEMPTS or error.code != "connection_broken":
                        raise
                    time.sleep(0.1 * 2**attempt)
            _check_whole(blob, part)
            part.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise StorageError(
                f"cannot write {target}: {error.strerror or error}",
                hint="check the folder's permissions and the room on its disk",
            ) from error

    def read(self, digest: str, limit_bytes: int) -> bytes:
        """A small blob whole, verified.

        Raises:
            IntegrityError: the service's bytes are not those of the digest.
        """
        data = self._transport.fetch(path_of("blobs", digest), limit_bytes=limit_bytes)
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if found != digest:
            raise IntegrityError(
                f"blob expected {digest}, found {found}",
                hint="fetch it again; look for a proxy that changes what passes",
            )
        return data

    def _send(self, blob: Blob, source: Source, on_progress: Progress) -> None:
        headers = {
            # With a length the service can refuse what is too big before the first byte.
            "Content-Length": str(blob.size),
            "Content-Type": "application/octet-stream",
        }
        deadline = _deadline(self._transport.timeout_s, blob.size)
        content = chunks_of(blob, source, lambda: _check_time(deadline, blob))
        reported = _reporting(content, "upload", blob, on_progress)
        path = path_of("blobs", blob.digest)
        with self._transport.stream("PUT", path, headers=headers, content=reported) as response:
            response.read()
        on_progress(Transfer(step="upload", what=blob.path, done=blob.size, total=blob.size))

    def _receive(self, blob: Blob, part: Path, deadline: float, on_progress: Progress) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have > blob.size:
            part.unlink()
            have = 0
        if have == blob.size and part.exists():
            return
        headers = {"Accept-Encoding": "identity", "Accept": "application/octet-stream"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": f'"{blob.digest}"'}
        with self._transport.stream("GET", path_of("blobs", blob.digest), headers=headers) as found:
            # 200 to a ranged request: the service starts over, and so do we.
            start = _start(found, have)
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                done = start
                for chunk in found.iter_bytes():
                    done += len(chunk)
                    if done > blob.size:
                        part.unlink(missing_ok=True)
                        raise IntegrityError(
                            f"{blob.path} expected {blob.size} bytes, the service sends more",
                            hint="fetch it again; look for a proxy that changes what passes",
                        )
                    file.write(chunk)
                    on_progress(
                        Transfer(step="download", what=blob.path, done=done, total=blob.size)
                    )
                    _check_time(deadline, blob)
                file.flush()
                os.fsync(file.fileno())
        if done < blob.size:
            raise Unavailable(
                f"{blob.path} expected {blob.size} bytes, the connection ended after {done}",
                hint="try again: what has arrived is kept and continued",
                code="connection_broken",
            )


def _reporting(
    chunks: Iterator[bytes], step: Step, blob: Blob, on_progress: Progress
) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        # The last report waits for the service's answer: sent is not stored.
        if done < blob.size:
            on_progress(Transfer(step=step, what=blob.path, done=done, total=blob.size))


def _start(found: httpx.Response, have: int) -> int:
    """Where the answer's first byte belongs in the file."""
    if found.status_code != 206:
        return 0
    promised = found.headers.get("content-range", "")
    if not promised.startswith(f"bytes {have}-"):
        raise IntegrityError(
            f"asked for the bytes from {have} on, the service answered {promised or 'no range'!r}",
            hint="is a proxy between you and the service? it must pass ranges on",
        )
    return have


def _deadline(grace_s: float, size_bytes: int) -> float:
    return time.monotonic() + grace_s + size_bytes / SLOWEST_BYTES_PER_S


def _check_time(deadline: float, blob: Blob) -> None:
    if time.monotonic() > deadline:
        raise Unavailable(
            f"{blob.path} moved slower than {SLOWEST_BYTES_PER_S} bytes/s and was given up",
            hint="try again on a better connection; a download continues where it ended",
            code="timeout",
        )


def _check_whole(blob: Blob, part: Path) -> None:
    with part.open("rb") as file:
        found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if found != blob.digest:
        part.unlink(missing_ok=True)
        raise IntegrityError(
            f"{blob.path} expected {blob.digest}, found {found}",
            hint="try again; if it stays, the service's copy is damaged",
        )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
