"""Admission: whether a manifest may enter the registry, or a device, as a whole.

Everything that can be decided from the manifest alone is decided here: its names, its files, its
numbers, and by `fit` its binding. Pure: whether the files exist is the caller's to know.
"""

import math
from collections.abc import Iterator

from edge_agent.contract.fit import Problem, fit_problems, problem_text
from edge_agent.contract.limits import MAX_GOLDEN_BYTES, MAX_GOLDEN_FILES, MAX_MODEL_BYTES
from edge_agent.contract.manifest import Blob, Manifest, canonical, read_manifest
from edge_agent.contract.names import check_digest, check_name
from edge_agent.errors import ContractError


def check_manifest(manifest: Manifest) -> None:
    """Check a manifest in full: everything `check_fit` does, and names, files and numbers.

    Raises:
        ContractError: it may not be published; the text lists everything that is wrong.
    """
    problems = [problem.text for problem in manifest_problems(manifest)]
    if problems:
        raise ContractError(problem_text(problems), code="manifest_invalid")


def manifest_problems(manifest: Manifest) -> Iterator[Problem]:
    """Everything that keeps a manifest out, one sentence each."""
    for text in (
        *_encoding_problems(manifest),
        *_file_problems(manifest),
        *_metric_problems(manifest),
    ):
        yield Problem((), text)
    yield from fit_problems(manifest)


def _encoding_problems(manifest: Manifest) -> Iterator[str]:
    """A Struct that was built in Python has not been checked; one that was decoded has."""
    try:
        check_name("module", manifest.name)
        again = read_manifest(canonical(manifest))
    except ContractError as error:
        yield error.text
        return
    if canonical(again) != canonical(manifest):
        yield "the manifest does not survive being written and read"


def _file_problems(manifest: Manifest) -> Iterator[str]:
    paths: set[str] = set()
    sizes: dict[str, int] = {}
    for blob in manifest.blobs():
        yield from _blob_problems(blob)
        if blob.path in paths:
            yield f"file {blob.path!r} is listed more than once"
        paths.add(blob.path)
        if sizes.setdefault(blob.digest, blob.size) != blob.size:
            yield f"file {blob.path!r}: one digest has two sizes, so one of them is wrong"
    if not 1 <= manifest.model.blob.size <= MAX_MODEL_BYTES:
        yield f"the model expected 1 to {MAX_MODEL_BYTES} bytes, found {manifest.model.blob.size}"
    golden = manifest.health.golden
    if len(golden) > MAX_GOLDEN_FILES:
        yield f"golden files expected at most {MAX_GOLDEN_FILES}, found {len(golden)}"
    total = sum(blob.size for blob in golden)
    if total > MAX_GOLDEN_BYTES:
        yield f"golden files expected at most {MAX_GOLDEN_BYTES} bytes together, found {total}"


def _blob_problems(blob: Blob) -> Iterator[str]:
    parts = blob.path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in blob.path or "\0" in blob.path:
        yield (
            f"file {blob.path!r}: expected a path below the module's folder, "
            "with '/' between its parts and no '..'"
        )
    try:
        check_digest(blob.digest)
    except ContractError as error:
        yield f"file {blob.path!r}: {error.text}"


def _metric_problems(manifest: Manifest) -> Iterator[str]:
    for name, value in manifest.metrics.items():
        if not math.isfinite(value):
            yield f"metric {name!r} expected a finite number, found {value}"
    health = manifest.health
    for name, number in (
        ("tolerance", health.tolerance),
        ("max_p99_ms", health.max_p99_ms),
        ("trial.seconds", health.trial.seconds),
    ):
        if not math.isfinite(number):
            yield f"health.{name} expected a finite number, found {number}"
