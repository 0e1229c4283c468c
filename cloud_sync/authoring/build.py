"""Build: a module's folder becomes a manifest and the files it names.

The same folder gives the same manifest, byte for byte, on every machine and at any time: nothing
of the machine, the clock or the folder's own path gets in. Reads the folder, never writes to it.
"""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from msgspec import UNSET, Struct

from cloud_sync.authoring.computed import select_outputs
from cloud_sync.authoring.draft import input_specs
from cloud_sync.authoring.inspection import inspect_model
from cloud_sync.authoring.measured import Measured, parity_problem, read_measured
from cloud_sync.authoring.rehearsal import Rehearsal, rehearse
from cloud_sync.authoring.samples import GOLDEN_FILE
from cloud_sync.authoring.source import SOURCE_FILE, SourceFile, read_source
from cloud_sync.errors import ContractError, ModelError, ModuleError
from edge_agent.contract.admission import manifest_problems
from edge_agent.contract.fit import Problem, problem_text
from edge_agent.contract.limits import MAX_GOLDEN_BYTES, MAX_GOLDEN_FILES
from edge_agent.contract.manifest import (
    Blob,
    Health,
    Manifest,
    Model,
    canonical,
    manifest_digest,
    read_manifest,
)
from edge_agent.contract.names import digest_of

Progress = Callable[[str], None]
"""Told what the build does now."""

FetchModel = Callable[[str, str], Path]
"""Downloads a registered model: given `name/version` and the name of one of its files (empty for
its only ONNX file), returns the path of the downloaded file."""

_GOLDEN_CODES: Final = ("golden_failed", "golden_refused")
_REGISTERED_FILE: Final = "model.onnx"


class Unproved(Struct, frozen=True, kw_only=True):
    """A module that fits together, but was not run yet.

    Attributes:
        manifest: what would be published.
        model_file: the ONNX file.
        golden: path in the manifest to file.
        golden_pattern: where golden files are looked for, below the folder.
        warnings: what a person should know, one sentence each.
    """

    manifest: Manifest
    model_file: Path
    golden: dict[str, Path]
    golden_pattern: str
    warnings: tuple[str, ...]


class Built(Struct, frozen=True, kw_only=True):
    """A module that was built and proved.

    Attributes:
        manifest: what to publish.
        digest: of the manifest.
        files: digest to file, of everything that the manifest names.
        warnings: what a person should know, one sentence each.
        rehearsal: what loading it and running its golden cases showed.
    """

    manifest: Manifest
    digest: str
    files: dict[str, Path]
    warnings: tuple[str, ...]
    rehearsal: Rehearsal


def build(
    folder: Path,
    *,
    fetch_model: FetchModel | None = None,
    progress: Progress | None = None,
) -> Built:
    """Build a module's folder: read, inspect, check that everything fits, run the golden cases.

    Args:
        folder: holds module.toml.
        fetch_model: needed only for modules whose [model] names a registered one.
        progress: told about each step.

    Raises:
        ModuleError: something in the folder is missing or wrong; the text names the file, and the
            line where there is one.
        Unsupported: the model can never run on this version: opset, IR, operator domain, types.
        ModelError: the model does not load, crashes, or fails a golden case.
    """
    tell = progress or _say_nothing
    module = assemble(folder, fetch_model=fetch_model, progress=tell)
    manifest = module.manifest
    tell(f"running the model and {len(module.golden)} golden files")
    try:
        rehearsal = rehearse(manifest, module.model_file, golden=module.golden)
    except ModelError as error:
        hint = error.hint
        if error.code in _GOLDEN_CODES and GOLDEN_FILE in error.text:
            command = f"shoal module golden {shlex.quote(str(folder))}"
            hint = f"if the model or the binding was changed on purpose: {command}"
        raise ModelError(f"{folder}: {error.text}", hint=hint, code=error.code) from error
    golden = {blob.digest: module.golden[blob.path] for blob in manifest.health.golden}
    return Built(
        manifest=manifest,
        digest=manifest_digest(manifest),
        files={manifest.model.blob.digest: module.model_file, **golden},
        warnings=module.warnings,
        rehearsal=rehearsal,
    )


def assemble(
    folder: Path,
    *,
    fetch_model: FetchModel | None = None,
    progress: Progress | None = None,
) -> Unproved:
    """Read and inspect a module's folder, and check that everything in it fits; run nothing.

    Args:
        folder: holds module.toml.
        fetch_model: as for `build`.
        progress: told about each step.

    Raises:
        ModuleError, Unsupported: as `build`.
        ModelError: onnxruntime had to be asked for the model's outputs, and cannot load it.
    """
    tell = progress or _say_nothing
    tell(f"reading {SOURCE_FILE}")
    file = read_source(folder)
    model_path, blob_path = _find_model(folder, file, fetch_model)
    tell("inspecting the model")
    facts = inspect_model(model_path)
    model_digest, model_size = _hash(model_path)
    warnings: list[str] = []
    computed = select_outputs(file, facts, model_path)
    warnings += computed.warnings
    model = Model(
        blob=Blob(path=blob_path, digest=model_digest, size=model_size),
        ir_version=facts.ir_version,
        opsets=facts.opsets,
        inputs=input_specs(facts),
        outputs=computed.published,
        state_outputs=computed.fed_back,
        registry=file.source.model.registry,
    )
    golden = _find_golden(folder, file)
    if not golden:
        warnings.append("the module has no golden cases: devices cannot check that it works")
    measured = read_measured(folder, model_digest) or Measured(model=model_digest)
    _check_parity(folder, measured)
    manifest = _assemble(file, model, [blob for blob, _ in golden], measured)
    tell("checking that the binding fits the model")
    _refuse(file, list(manifest_problems(manifest)))
    return Unproved(
        manifest=manifest,
        model_file=model_path,
        golden={blob.path: path for blob, path in golden},
        golden_pattern=file.source.health.golden,
        warnings=tuple(warnings),
    )


def _say_nothing(step: str) -> None:
    """Progress for callers that want none."""


def _find_model(folder: Path, file: SourceFile, fetch_model: FetchModel | None) -> tuple[Path, str]:
    """The ONNX file on this machine, and its path in the manifest."""
    table = file.source.model
    if table.registry:
        if fetch_model is None:
            raise ModuleError(
                f"{file.where('model', 'registry')}: the model {table.registry!r} is in a "
                "registry, and none can be reached from here",
                hint="build with the service's address, or use file = ...",
                code="model_missing",
            )
        return fetch_model(table.registry, table.file), table.file or _REGISTERED_FILE
    where = file.where("model", "file")
    relative = _below(folder, table.file, where)
    path = folder / relative
    if not path.exists():
        train = folder / "train.py"
        raise ModuleError(
            f"{where}: the model {path} is missing",
            hint=f"run: python {train}" if train.exists() else "put the ONNX file there",
            code="model_missing",
        )
    return path, relative


def _below(folder: Path, path: str, where: str) -> str:
    """A path of module.toml, checked to stay below the folder, with '/' between its parts."""
    parts = Path(path).parts
    if Path(path).is_absolute() or ".." in parts or not parts:
        raise ModuleError(
            f"{where}: expected a path below {folder}, found {path!r}",
            hint="copy or link the file into the module's folder",
        )
    return "/".join(parts)


def _find_golden(folder: Path, file: SourceFile) -> list[tuple[Blob, Path]]:
    """Golden files in the order of their paths, which is the same everywhere."""
    pattern = file.source.health.golden
    if not pattern:
        return []
    where = file.where("health", "golden")
    _below(folder, pattern, where)
    try:
        found = {p.relative_to(folder).as_posix(): p for p in folder.glob(pattern) if p.is_file()}
    except (ValueError, NotImplementedError) as error:
        raise ModuleError(
            f"{where}: {pattern!r} is not a pattern: {error}",
            hint="use '*' and '?' in names of files inside of the folder",
        ) from error
    if len(found) > MAX_GOLDEN_FILES:
        raise ModuleError(
            f"{where}: expected at most {MAX_GOLDEN_FILES} golden files, found {len(found)}",
            hint="a golden file may hold a list of cases",
        )
    size = sum(path.stat().st_size for path in found.values())
    if size > MAX_GOLDEN_BYTES:
        raise ModuleError(
            f"{where}: golden files expected at most {MAX_GOLDEN_BYTES} bytes together, "
            f"found {size}",
            hint="they travel to every device: keep a few telling samples",
        )
    golden = []
    for relative in sorted(found):
        digest, size = _hash(found[relative])
        golden.append((Blob(path=relative, digest=digest, size=size), found[relative]))
    return golden


def _hash(path: Path) -> tuple[str, int]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModuleError(
            f"{path} cannot be read: {error.strerror}", hint="check the permissions of the file"
        ) from error
    return digest_of(data), len(data)


def _check_parity(folder: Path, measured: Measured) -> None:
    if measured.parity is None:
        return
    problem = parity_problem(measured.parity)
    if problem:
        raise ModuleError(
            f"{folder}: the converted model does not agree with the original: {problem}",
            hint="convert it again; see cloud_sync.authoring.convert for known traps",
            code="parity_failed",
        )


def _assemble(
    file: SourceFile, model: Model, golden: Iterable[Blob], measured: Measured
) -> Manifest:
    source = file.source
    doubles = sorted(set(source.metrics) & set(measured.metrics))
    if doubles:
        raise ModuleError(
            f"{file.where('metrics', doubles[0])}: metric {doubles[0]!r} is also in measured.json",
            hint="keep it in one of the two",
        )
    manifest = Manifest(
        name=source.module.name,
        license=source.module.license,
        description=source.module.description,
        model=model,
        input=source.input,
        tensors=tuple(table.tensor() for table in source.tensor),
        output=source.output,
        runtime=source.runtime,
        health=Health(
            golden=tuple(golden),
            tolerance=source.health.tolerance,
            max_p99_ms=source.health.max_p99_ms,
            trial=source.health.trial,
            profile=measured.profile or UNSET,
        ),
        parity=measured.parity,
        metrics={**source.metrics, **measured.metrics},
    )
    try:
        # As every reader will see it: 1 written for a number becomes 1.0 here and not only there.
        return read_manifest(canonical(manifest))
    except ContractError as error:
        raise ModuleError(f"{file.name}: {error.text}", hint=error.hint) from error


def _refuse(file: SourceFile, problems: list[Problem]) -> None:
    """Raise all problems at once, each with its line in module.toml."""
    if not problems:
        return
    texts = []
    for problem in problems:
        # The manifest says `tensors` where module.toml says [[tensor]].
        place = ("tensor" if part == "tensors" else part for part in problem.place)
        texts.append(f"{file.where(*place)}: {problem.text}")
    raise ModuleError(problem_text(texts), code="misfit")
