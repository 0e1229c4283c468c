"""Blobs as the registry knows them: which are stored, which are still needed.

The table says what is stored; a file without a row is rubbish, a row without a file cannot be.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select

from cloud_sync.db.engine import Database
from cloud_sync.db.registry_tables import blobs, model_files, module_blobs
from cloud_sync.errors import NotFound, Unavailable
from cloud_sync.objects import Objects, Upload

HOLD_TIMEOUT_S: Final = 60.0
_BATCH: Final = 500
logger = logging.getLogger(__name__)


class Blobs:
    """Uploads, presence and collection of blobs.

    Args:
        database: where the rows are.
        objects: where the bytes are.
    """

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self.objects = objects
        # A file that arrives while its unused twin is removed must not be removed with it.
        self._files = threading.Lock()

    def missing(self, digests: tuple[str, ...]) -> tuple[str, ...]:
        """Which of these are not stored, each once, in the given order."""
        with self._database.read() as connection:
            have = stored_sizes(connection, digests)
        return tuple(digest for digest in dict.fromkeys(digests) if digest not in have)

    def size(self, digest: str) -> int:
        """Bytes of a stored blob.

        Raises:
            NotFound: it is not stored.
        """
        with self._database.read() as connection:
            size = connection.scalar(select(blobs.c.size).where(blobs.c.digest == digest))
        if size is None:
            raise NotFound(
                f"blob {digest} is not stored",
                code="blob_not_found",
                hint="upload it first, or publish the module again",
            )
        return int(size)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No file is removed meanwhile: between storing one and naming it in a row.

        Raises:
            Unavailable: others hold it too long.
        """
        if not self._files.acquire(timeout=HOLD_TIMEOUT_S):
            raise Unavailable("the blob store is busy", hint="try again")
        try:
            yield
        finally:
            self._files.release()

    def commit(self, upload: Upload, digest: str, now: float) -> bool:
        """Finish an upload.

        Returns:
            Whether it is new.

        Raises:
            IntegrityError: other bytes than its digest or announced size say.
            StorageError: the disk refused.
        """
        with self.held():
            size = upload.commit()
            with self._database.write() as connection:
                return store_row(connection, digest, size, now)

    def collect(self, created_before: float) -> int:
        """Remove blobs that nothing names and that were uploaded before a time.

        Returns:
            How many were removed.
        """
        removed = 0
        while True:
            with self.held():
                with self._database.write() as connection:
                    found = connection.scalars(
                        select(blobs.c.digest)
                        .where(blobs.c.created < created_before, *_unused())
                        .limit(_BATCH)
                    ).all()
                    connection.execute(delete(blobs).where(blobs.c.digest.in_(found)))
                for digest in found:
                    self.objects.delete(digest)
            removed += len(found)
            if len(found) < _BATCH:
                break
        if removed:
            logger.info("event=blobs_collected count=%d", removed)
        return removed


def _unused() -> tuple[ColumnElement[bool], ...]:
    return (
        ~exists().where(model_files.c.digest == blobs.c.digest),
        ~exists().where(module_blobs.c.digest == blobs.c.digest),
    )


def stored_sizes(connection: Connection, digests: tuple[str, ...]) -> dict[str, int]:
    """Size of each of these that is stored, bytes."""
    found: dict[str, int] = {}
    for start in range(0, len(digests), _BATCH):
        rows = connection.execute(
            select(blobs.c.digest, blobs.c.size).where(
                blobs.c.digest.in_(digests[start : start + _BATCH])
            )
        )
        found.update((row.digest, row.size) for row in rows)
    return found


def store_row(connection: Connection, digest: str, size: int, now: float) -> bool:
    """Note that a blob is stored; whether it was not before."""
    known = connection.scalar(select(blobs.c.digest).where(blobs.c.digest == digest))
    if known is None:
        connection.execute(insert(blobs).values(digest=digest, size=size, created=now))
    return known is None
