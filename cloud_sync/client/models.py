"""Models in the registry: named, versioned files of any framework."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cloud_sync.client.blobs import Blobs
from cloud_sync.client.files import describe, named_files, target_of
from cloud_sync.client.paging import pages
from cloud_sync.client.progress import Progress, ignore
from cloud_sync.client.transport import Transport, path_of
from cloud_sync.client.versions import newest
from cloud_sync.errors import InvalidInput, NotFound
from cloud_sync.resources import Deleted, ModelUpload, ModelVersion, TagChange
from edge_agent.contract.manifest import Blob
from edge_agent.contract.names import check_name, did_you_mean


class Models:
    """The group `client.models`."""

    def __init__(self, transport: Transport, blobs: Blobs) -> None:
        self._transport = transport
        self._blobs = blobs

    def register(
        self,
        name: str,
        files: Sequence[Path],
        *,
        framework: str = "",
        description: str = "",
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        on_progress: Progress = ignore,
    ) -> ModelVersion:
        """Register a new version of a model; the service counts the version.

        Args:
            name: of the model.
            files: files and folders; see `named_files` for what they are called.
            framework: what the files are of; found from their names when empty.
            description: free text.
            tags: for people to find it by; they can be changed later.
            properties: facts about this version; they cannot.
            on_progress: called while files are hashed and sent.

        Raises:
            InvalidInput: a file is missing, or a name does not follow the rules.
            IntegrityError: a file changed while it was read.
            StorageError: a file cannot be read, or the service has no space.
        """
        check_name("model", name)
        found = named_files(list(files))
        blobs = {inside: describe(path, inside, on_progress) for inside, path in found.items()}
        if not blobs:
            raise InvalidInput(
                f"model {name!r} expected at least one file, found none",
                hint="name the model's file",
            )
        sources = {blob.digest: found[inside] for inside, blob in blobs.items()}
        self._blobs.upload(blobs.values(), sources, on_progress)
        upload = ModelUpload(
            files=tuple(blobs.values()),
            framework=framework or framework_of(found),
            description=description,
            tags=dict(tags or {}),
            properties=dict(properties or {}),
        )
        return self._transport.ask("POST", path_of("models", name), ModelVersion, body=upload)

    def search(
        self,
        *,
        name: str = "",
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        retired: bool = False,
        limit: int | None = None,
    ) -> Iterator[ModelVersion]:
        """Every version that fits all conditions, page by page.

        Args:
            name: a glob, `shuttle-*`; empty for all.
            tags: all of them must be there with these values.
            properties: likewise.
            retired: whether retired versions are given too.
            limit: stop after so many; None for all.
        """

        def fetch(count: int, offset: int) -> list[ModelVersion]:
            return self._transport.ask(
                "GET",
                path_of("models"),
                list[ModelVersion],
                params={
                    "name": name or None,
                    "tag": [f"{k}={v}" for k, v in (tags or {}).items()] or None,
                    "property": [f"{k}={v}" for k, v in (properties or {}).items()] or None,
                    # Left out, the service gives the versions that are in use.
                    "retired": None if retired else False,
                    "limit": count,
                    "offset": offset,
                },
            )

        return pages(fetch, lambda model: (model.name, model.version), limit)

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version of a model, newest first.

        Raises:
            NotFound: there is no such model.
        """
        return self._transport.ask("GET", path_of("models", name), list[ModelVersion])

    def show(self, name: str, version: int | None = None) -> ModelVersion:
        """One version; the newest that is not retired if no version is given.

        Raises:
            NotFound: there is no such model or version, or all of them are retired.
        """
        if version is None:
            return newest("model", name, self.versions(name))
        return self._transport.ask("GET", path_of("models", name, version), ModelVersion)

    def file_of(self, model: ModelVersion, path: str = "") -> Blob:
        """One file of a version; its only ONNX file if no path is given.

        Raises:
            NotFound: there is no such file, or not exactly one ONNX file.
        """
        files = {blob.path: blob for blob in model.files}
        if path in files:
            return files[path]
        ref = f"{model.name}/{model.version}"
        if path:
            raise NotFound(f"model {ref} has no file {path!r}", hint=did_you_mean(path, files))
        found = [blob for blob in model.files if blob.path.endswith(".onnx")]
        if len(found) != 1:
            raise NotFound(
                f"model {ref} expected one ONNX file, found {len(found)}",
                hint=f"name the file; it has {', '.join(sorted(files)[:12])}",
            )
        return found[0]

    def download(self, model: ModelVersion, folder: Path, on_progress: Progress = ignore) -> None:
        """Fetch all files of a version into `folder`, each verified; what is whole is kept.

        Raises:
            IntegrityError: the service's bytes are not those that were registered, or a file's
                name would leave the folder.
        """
        targets = [(blob, target_of(folder, blob.path)) for blob in model.files]
        for blob, target in targets:
            if target.is_file() and describe(target, blob.path).digest == blob.digest:
                continue
            self._blobs.download(blob, target, on_progress)

    def tag(
        self,
        name: str,
        version: int,
        *,
        set_tags: Mapping[str, str] | None = None,
        remove: Sequence[str] = (),
    ) -> ModelVersion:
        """Set tags and take tags away.

        Raises:
            NotFound: there is no such version.
        """
        change = TagChange(set=dict(set_tags or {}), remove=tuple(remove))
        path = path_of("models", name, version, "tags")
        return self._transport.ask("PATCH", path, ModelVersion, body=change)

    def retire(self, name: str, version: int, *, reason: str = "") -> ModelVersion:
        """Take a version out of use without deleting it."""
        path = path_of("models", name, version, "retire")
        return self._transport.ask("POST", path, ModelVersion, reason=reason)

    def delete(self, name: str, version: int, *, reason: str = "") -> Deleted:
        """Delete a version.

        Raises:
            InUse: a module that devices run or should run was built from it.
        """
        return self._transport.ask(
            "DELETE", path_of("models", name, version), Deleted, reason=reason
        )


_FRAMEWORKS = {
    ".onnx": "onnx",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".safetensors": "safetensors",
    ".tflite": "tflite",
    ".joblib": "scikit-learn",
    ".pkl": "pickle",
    ".keras": "keras",
    ".h5": "keras",
}


def framework_of(files: Mapping[str, Path]) -> str:
    """What the files are of, by the first name that tells; empty if none does."""
    for name in files:
        framework = _FRAMEWORKS.get(Path(name).suffix.lower())
        if framework:
            return framework
    return ""
