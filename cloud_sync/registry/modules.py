"""Published modules: manifests that were checked, numbered, and never change."""

from collections.abc import Iterable

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.registry_tables import model_versions, module_blobs, module_versions
from cloud_sync.db.search import matches
from cloud_sync.errors import Conflict, InvalidInput
from cloud_sync.objects import Objects
from cloud_sync.registry.blobs import Blobs, store_row
from cloud_sync.registry.chains import Link, find_cycle, link_of
from cloud_sync.registry.models import check_stored
from cloud_sync.registry.newest_links import NewestLinks
from cloud_sync.registry.usage import refuse_if_used
from cloud_sync.registry.versions import all_versions, next_version, one_version
from cloud_sync.resources import ModulePublished, ModuleVersion
from edge_agent.contract.admission import check_manifest
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, Manifest, canonical, read_manifest
from edge_agent.contract.names import digest_of

_BATCH = 500
_V = module_versions.c


class Modules:
    """Everything that is done with modules.

    Args:
        database: where they are.
        blobs: where their files are; manifests are stored there too.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._links = NewestLinks()

    def publish(self, data: bytes, change: Change) -> ModulePublished:
        """Publish a manifest whose files are stored. The same digest twice is one version.

        A retired version that is published again is in use again.

        Topics that go round with the newest versions of other modules are refused here, as an
        early warning. Which modules meet, and on which topics, is only known of a device: what
        counts is the check of a deployment.

        Args:
            data: the canonical bytes.
            change: who, why, when.

        Raises:
            ContractError: not a manifest, not canonical, or a binding that does not fit.
            InvalidInput: a file is not stored.
            Conflict: with other modules it would make a cycle of topics.
        """
        manifest = read_manifest(data)
        if canonical(manifest) != data:
            raise InvalidInput(
                "manifest expected in its canonical form: keys sorted, no spaces, nothing unknown",
                hint="publish with this version's `shoal module publish`",
                code="not_canonical",
            )
        check_manifest(manifest)
        digest = digest_of(data)
        with self._database.read() as connection:
            known = _by_digest(connection, manifest.name, digest)
            if known is not None and not known.retired:
                return ModulePublished(module=known, created=False)
            # Of thousands of modules this takes a while, and it is a warning: nobody has to wait.
            others = self._links.others(connection, manifest.name)
        with self._blobs.held(), self._database.write() as connection:
            known = _by_digest(connection, manifest.name, digest)
            if known is not None:
                if known.retired:
                    _set_retired(connection, known.name, known.version, False)
                    record(connection, change, "module.restore", f"{known.name}/{known.version}")
                    known = _one(connection, known.name, known.version)
                return ModulePublished(module=known, created=False)
            check_stored(connection, manifest.blobs())
            _check_source(connection, manifest.model.registry)
            _refuse_cycle(manifest, others)
            # The file before the row, so that a row never names a file that is not there.
            put(self._blobs.objects, digest, data)
            store_row(connection, digest, len(data), change.time)
            version = next_version(connection, "module", manifest.name)
            _insert(connection, manifest, data, digest, version, change)
            record(
                connection,
                change,
                "module.publish",
                f"{manifest.name}/{version}",
                detail={"digest": digest},
            )
            return ModulePublished(module=_one(connection, manifest.name, version), created=True)

    def search(
        self,
        *,
        name: str = "*",
        is_retired: bool | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ModuleVersion]:
        """Versions by name, newest version first.

        Args:
            name: a pattern with `*` and `?`.
            is_retired: None for both.
            limit: most versions in the answer.
            offset: how many to leave out first.
        """
        query = select(module_versions).where(matches(_V.name, name))
        if is_retired is not None:
            query = query.where(_V.is_retired == is_retired)
        query = query.order_by(_V.name, _V.version.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            return load_versions(connection, query)

    def versions(self, name: str) -> list[ModuleVersion]:
        """All versions of a module, newest first.

        Raises:
            NotFound: no module has this name.
        """
        with self._database.read() as connection:
            return all_versions(connection, module_versions, "module", name, load_versions)

    def get(self, name: str, version: int) -> ModuleVersion:
        """One version.

        Raises:
            NotFound: it is not there.
        """
        with self._database.read() as connection:
            return _one(connection, name, version)

    def manifest(self, name: str, version: int) -> bytes:
        """The canonical manifest of one version.

        Raises:
            NotFound: it is not there.
        """
        with self._database.read() as connection:
            _one(connection, name, version)
            query = select(_V.manifest).where(_V.name == name, _V.version == version)
            return bytes(connection.execute(query).scalar_one())

    def retire(self, name: str, version: int, change: Change) -> ModuleVersion:
        """Keep a version from being deployed again. What runs goes on.

        Raises:
            NotFound: it is not there.
        """
        with self._database.write() as connection:
            _one(connection, name, version)
            _set_retired(connection, name, version, True)
            record(connection, change, "module.retire", f"{name}/{version}")
            return _one(connection, name, version)

    def delete(self, name: str, version: int, change: Change) -> str:
        """Delete a version; its number is never given again.

        Returns:
            What was deleted.

        Raises:
            NotFound: it is not there.
            InUse: a device runs it or should.
        """
        what = f"module {name}/{version}"
        with self._database.write() as connection:
            found = _one(connection, name, version)
            refuse_if_used(connection, what, [found.digest])
            key = (_V.name == name) & (_V.version == version)
            connection.execute(delete(module_versions).where(key))
            record(
                connection,
                change,
                "module.delete",
                f"{name}/{version}",
                detail={"digest": found.digest},
            )
        return what


def choose(connection: Connection, name: str, version: int | None) -> ModuleVersion:
    """The version to deploy: the one asked for, or the newest that is not retired.

    Raises:
        NotFound: no such module or version.
        Conflict: it is retired, or all are.
    """
    if version is not None:
        found = _one(connection, name, version)
        if found.retired:
            raise Conflict(
                f"module {name}/{version} is retired",
                hint="deploy another version, or publish this one again to use it again",
                code="retired",
            )
        return found
    versions = all_versions(connection, module_versions, "module", name, load_versions)
    usable = [found for found in versions if not found.retired]
    if not usable:
        raise Conflict(
            f"all versions of module {name!r} are retired",
            hint="publish a new one, or one of them again to use it again",
            code="retired",
        )
    return usable[0]


def manifest_of(connection: Connection, module: ModuleVersion) -> Manifest:
    """The manifest of a version that was found in the same transaction."""
    key = (_V.name == module.name) & (_V.version == module.version)
    return read_manifest(bytes(connection.execute(select(_V.manifest).where(key)).scalar_one()))


def manifests_of(connection: Connection, digests: Iterable[str]) -> dict[str, Manifest]:
    """The manifests of published versions, by digest; one that is not published is left out."""
    found: dict[str, Manifest] = {}
    wanted = tuple(digests)
    for start in range(0, len(wanted), _BATCH):
        query = select(_V.digest, _V.manifest).where(_V.digest.in_(wanted[start : start + _BATCH]))
        rows = connection.execute(query)
        found |= {row.digest: read_manifest(bytes(row.manifest)) for row in rows}
    return found


def put(objects: Objects, digest: str, data: bytes) -> None:
    """Store a small blob that is in memory.

    Raises:
        StorageError: the disk refused.
    """
    upload = objects.begin(digest, size=len(data), limit_bytes=MAX_MANIFEST_BYTES)
    upload.write(data)
    upload.commit()


def _check_source(connection: Connection, source: str) -> None:
    """A module that says which registered model it is from must be right about that."""
    if not source:
        return
    name, _, version = source.partition("/")
    found = None
    if version.isdecimal():
        found = connection.scalar(
            select(model_versions.c.name).where(
                model_versions.c.name == name, model_versions.c.version == int(version)
            )
        )
    if found is None:
        raise InvalidInput(
            "manifest model.registry expected NAME/VERSION of a registered model, "
            f"found {source!r}",
            hint="write it as shuttle/3",
        )


def _refuse_cycle(manifest: Manifest, others: Iterable[Link]) -> None:
    cycle = find_cycle(link_of(manifest), others)
    if cycle:
        raise Conflict(
            f"module {manifest.name!r} would make a cycle of topics: {' -> '.join(cycle)}",
            hint="change its input or output topic, or retire a module of the cycle",
            code="topic_cycle",
        )


def _insert(
    connection: Connection,
    manifest: Manifest,
    data: bytes,
    digest: str,
    version: int,
    change: Change,
) -> None:
    key = {"name": manifest.name, "version": version}
    sizes = {blob.digest: blob.size for blob in manifest.blobs()} | {digest: len(data)}
    connection.execute(
        insert(module_versions).values(
            **key,
            digest=digest,
            manifest=data,
            size=sum(sizes.values()),
            description=manifest.description,
            license=manifest.license,
            metrics=manifest.metrics,
            source_model=manifest.model.registry,
            created=change.time,
            created_by=change.actor,
            is_retired=False,
        )
    )
    connection.execute(insert(module_blobs), [{**key, "digest": needed} for needed in sizes])


def _set_retired(connection: Connection, name: str, version: int, is_retired: bool) -> None:
    key = (_V.name == name) & (_V.version == version)
    connection.execute(update(module_versions).where(key).values(is_retired=is_retired))


def _by_digest(connection: Connection, name: str, digest: str) -> ModuleVersion | None:
    query = select(module_versions).where(_V.name == name, _V.digest == digest)
    found = load_versions(connection, query)
    return found[0] if found else None


def _one(connection: Connection, name: str, version: int) -> ModuleVersion:
    return one_version(connection, module_versions, "module", name, version, load_versions)


def load_versions(connection: Connection, query: Select[tuple[object, ...]]) -> list[ModuleVersion]:
    """The versions of a query, in its order."""
    return [_version(row) for row in connection.execute(query)]


def _version(row: Row[tuple[object, ...]]) -> ModuleVersion:
    return ModuleVersion(
        name=row.name,
        version=row.version,
        digest=row.digest,
        size=row.size,
        description=row.description,
        license=row.license,
        metrics=row.metrics,
        created=row.created,
        created_by=row.created_by,
        retired=row.is_retired,
    )
