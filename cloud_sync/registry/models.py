"""Registered models: named, versioned sets of files of any framework, to be found again."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.registry_tables import (
    model_files,
    model_labels,
    model_versions,
    module_versions,
)
from cloud_sync.db.search import matches
from cloud_sync.errors import InvalidInput
from cloud_sync.labels import check_labels
from cloud_sync.registry.blobs import stored_sizes
from cloud_sync.registry.usage import refuse_if_used
from cloud_sync.registry.versions import all_versions, next_version, one_version
from cloud_sync.resources import ModelUpload, ModelVersion, TagChange, Tags
from edge_agent.contract.manifest import Blob
from edge_agent.contract.names import check_name

MAX_VALUE: Final = 1000
"""Most characters of a tag or property."""

_SHOWN: Final = 5
_BATCH: Final = 300

_V: Final = model_versions.c


class Models:
    """Everything that is done with models.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, name: str, upload: ModelUpload, change: Change) -> ModelVersion:
        """Make a new version of a model from blobs that are stored.

        Raises:
            ContractError: a bad name.
            InvalidInput: a file is not stored or has another size, two files have one path, or
                a label is too long.
        """
        check_name("model", name)
        _check_files(upload.files)
        check_labels("property", upload.properties, max_value=MAX_VALUE)
        check_labels("tag", upload.tags, max_value=MAX_VALUE)
        with self._database.write() as connection:
            check_stored(connection, upload.files)
            version = next_version(connection, "model", name)
            key = {"name": name, "version": version}
            connection.execute(
                insert(model_versions).values(
                    **key,
                    framework=upload.framework[:100],
                    description=upload.description,
                    created=change.time,
                    created_by=change.actor,
                    is_retired=False,
                )
            )
            connection.execute(
                insert(model_files),
                [
                    {**key, "path": f.path, "digest": f.digest, "size": f.size, "position": index}
                    for index, f in enumerate(upload.files)
                ],
            )
            _insert_labels(connection, name, version, "tag", upload.tags)
            _insert_labels(connection, name, version, "property", upload.properties)
            record(connection, change, "model.register", f"{name}/{version}")
            return _one(connection, name, version)

    def search(
        self,
        *,
        name: str = "*",
        tags: Tags | None = None,
        properties: Tags | None = None,
        is_retired: bool | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ModelVersion]:
        """Versions that match everything given, by name, newest version first.

        Args:
            name: a pattern with `*` and `?`.
            tags: each must have a value that matches the pattern given here.
            properties: as `tags`.
            is_retired: None for both.
            limit: most versions in the answer.
            offset: how many to leave out first.
        """
        query = select(model_versions).where(matches(_V.name, name))
        if is_retired is not None:
            query = query.where(_V.is_retired == is_retired)
        for kind, wanted in (("tag", tags), ("property", properties)):
            for key, value in (wanted or {}).items():
                query = query.where(_has_label(kind, key, value))
        query = query.order_by(_V.name, _V.version.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            return _load(connection, query)

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, newest first.

        Raises:
            NotFound: no model has this name.
        """
        with self._database.read() as connection:
            return all_versions(connection, model_versions, "model", name, _load)

    def get(self, name: str, version: int) -> ModelVersion:
        """One version.

        Raises:
            NotFound: it is not there.
        """
        with self._database.read() as connection:
            return _one(connection, name, version)

    def tag(self, name: str, version: int, tags: TagChange, change: Change) -> ModelVersion:
        """Set and remove tags of a version.

        Raises:
            NotFound: it is not there.
            InvalidInput: a tag is too long, or there would be too many.
        """
        with self._database.write() as connection:
            before = _one(connection, name, version).tags
            after = {k: v for k, v in before.items() if k not in tags.remove} | tags.set
            check_labels("tag", after, max_value=MAX_VALUE)
            connection.execute(
                delete(model_labels).where(
                    model_labels.c.name == name,
                    model_labels.c.version == version,
                    model_labels.c.kind == "tag",
                )
            )
            _insert_labels(connection, name, version, "tag", after)
            record(connection, change, "model.tag", f"{name}/{version}", detail=after)
            return _one(connection, name, version)

    def retire(self, name: str, version: int, change: Change) -> ModelVersion:
        """Mark a version as not to be used any more. Nothing that uses it stops.

        Raises:
            NotFound: it is not there.
        """
        with self._database.write() as connection:
            _one(connection, name, version)
            connection.execute(
                update(model_versions)
                .where(_V.name == name, _V.version == version)
                .values(is_retired=True)
            )
            record(connection, change, "model.retire", f"{name}/{version}")
            return _one(connection, name, version)

    def delete(self, name: str, version: int, change: Change) -> str:
        """Delete a version; its number is never given again.

        Returns:
            What was deleted.

        Raises:
            NotFound: it is not there.
            InUse: a device runs, or should run, a module that was made from it.
        """
        what = f"model {name}/{version}"
        with self._database.write() as connection:
            _one(connection, name, version)
            stems = connection.scalars(
                select(module_versions.c.digest).where(
                    module_versions.c.source_model == f"{name}/{version}"
                )
            ).all()
            refuse_if_used(connection, what, stems)
            connection.execute(delete(model_versions).where(_V.name == name, _V.version == version))
            record(connection, change, "model.delete", f"{name}/{version}")
        return what


def check_stored(connection: Connection, files: Iterable[Blob]) -> None:
    """Check that files were uploaded, with the sizes that are claimed.

    Raises:
        InvalidInput: naming the files that are not (`blobs_missing`) or that have another size.
    """
    wanted = tuple(files)
    sizes = stored_sizes(connection, tuple(blob.digest for blob in wanted))
    missing = [f"{blob.path} ({blob.digest})" for blob in wanted if blob.digest not in sizes]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InvalidInput(
            f"expected all files to be uploaded, missing: {', '.join(missing[:_SHOWN])}{more}",
            hint="upload them to /v1/blobs/DIGEST first",
            code="blobs_missing",
        )
    for blob in wanted:
        if sizes[blob.digest] != blob.size:
            raise InvalidInput(
                f"{blob.path} expected {blob.size} bytes as claimed, "
                f"the stored blob has {sizes[blob.digest]}",
                hint="publish the model again: the file changed meanwhile",
            )


def _check_files(files: tuple[Blob, ...]) -> None:
    seen: set[str] = set()
    for blob in files:
        parts = blob.path.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in blob.path or "\0" in blob.path:
            raise InvalidInput(
                f"file path expected to be relative, without '..' and '\\', found {blob.path!r}",
                hint="name the file as it is inside the model's folder",
            )
        if blob.path in seen:
            raise InvalidInput(f"file {blob.path!r} is given twice", hint="name each file once")
        seen.add(blob.path)


def _has_label(kind: str, key: str, pattern: str) -> ColumnElement[bool]:
    labels = model_labels.c
    return exists().where(
        labels.name == _V.name,
        labels.version == _V.version,
        labels.kind == kind,
        labels.key == key,
        matches(labels.value, pattern),
    )


def _insert_labels(
    connection: Connection, name: str, version: int, kind: str, labels: Tags
) -> None:
    if labels:
        connection.execute(
            insert(model_labels),
            [
                {"name": name, "version": version, "kind": kind, "key": key, "value": value}
                for key, value in labels.items()
            ],
        )


def _one(connection: Connection, name: str, version: int) -> ModelVersion:
    return one_version(connection, model_versions, "model", name, version, _load)


def _load(connection: Connection, query: Select[tuple[object, ...]]) -> list[ModelVersion]:
    """The versions of a query, with their files and labels, in its order."""
    rows = connection.execute(query).all()
    files: dict[tuple[str, int], list[Blob]] = defaultdict(list)
    labels: dict[tuple[str, int, str], Tags] = defaultdict(dict)
    for start in range(0, len(rows), _BATCH):
        keys = [(row.name, row.version) for row in rows[start : start + _BATCH]]
        f, t = model_files.c, model_labels.c
        of_file = or_(*(and_(f.name == n, f.version == v) for n, v in keys))
        for row in connection.execute(select(model_files).where(of_file).order_by(f.position)):
            blob = Blob(path=row.path, digest=row.digest, size=row.size)
            files[row.name, row.version].append(blob)
        of_label = or_(*(and_(t.name == n, t.version == v) for n, v in keys))
        for row in connection.execute(select(model_labels).where(of_label).order_by(t.key)):
            labels[row.name, row.version, row.kind][row.key] = row.value
    return [
        ModelVersion(
            name=row.name,
            version=row.version,
            files=tuple(files[row.name, row.version]),
            framework=row.framework,
            description=row.description,
            tags=labels[row.name, row.version, "tag"],
            properties=labels[row.name, row.version, "property"],
            created=row.created,
            created_by=row.created_by,
            retired=row.is_retired,
        )
        for row in rows
    ]
