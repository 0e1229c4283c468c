"""Many module versions at once: which may be used, and of which files they are.

For fleets in which each device has a module of its own: one question for all of them.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Connection, func, select

from cloud_sync.db.registry_tables import blobs, module_blobs, module_versions
from cloud_sync.registry.modules import load_versions
from cloud_sync.resources import ModuleVersion

_BATCH: Final = 500
_V: Final = module_versions.c

T = TypeVar("T")


def usable_versions(
    connection: Connection, names: Iterable[str], version: int | None
) -> dict[str, ModuleVersion]:
    """The version of each module that may be deployed; a module that has none is left out.

    Args:
        connection: of a transaction.
        names: of modules.
        version: which; None for each one's newest that is not retired.
    """
    found: dict[str, ModuleVersion] = {}
    for batch in _batches(names):
        is_usable = _V.name.in_(batch) & _V.is_retired.is_(False)
        if version is not None:
            query = select(module_versions).where(is_usable, _V.version == version)
        else:
            newest = (
                select(_V.name, func.max(_V.version).label("version"))
                .where(is_usable)
                .group_by(_V.name)
                .subquery()
            )
            query = select(module_versions).join(
                newest, (newest.c.name == _V.name) & (newest.c.version == _V.version)
            )
        found |= {one.name: one for one in load_versions(connection, query)}
    return found


def files_of(connection: Connection, digests: Iterable[str]) -> dict[str, dict[str, int]]:
    """Digest of a version to its files, the manifest among them: their digests and sizes, bytes."""
    found: dict[str, dict[str, int]] = {}
    b = module_blobs.c
    for batch in _batches(digests):
        query = (
            select(_V.digest.label("module"), b.digest.label("file"), blobs.c.size)
            .join(module_blobs, (b.name == _V.name) & (b.version == _V.version))
            .join(blobs, blobs.c.digest == b.digest)
            .where(_V.digest.in_(batch))
        )
        for row in connection.execute(query):
            found.setdefault(row.module, {})[row.file] = row.size
    return found


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
