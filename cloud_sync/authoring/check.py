"""Check: a module's folder built and judged by its own bounds, with figures for a person.

Writes nothing.
"""

from pathlib import Path

from msgspec import Struct

from cloud_sync.authoring.build import FetchModel, Progress, build


class CheckReport(Struct, frozen=True, kw_only=True):
    """What a check found. Everything in it passed: what fails raises.

    Attributes:
        name: of the module.
        digest: that publishing this folder would give.
        size_bytes: of the model and the golden files together.
        cases: golden cases that passed.
        max_difference: largest difference of a number from what a golden case expects.
        tolerance: what was allowed.
        load_ms: reading, verifying and loading the model on this machine, milliseconds.
        p99_ms: 99th percentile of one answer, payload to result, on this machine; 0 without cases.
        peak_rss_mb: memory of a process that runs nothing but this module, 2**20 bytes.
        metrics: scores that the module claims.
        warnings: what a person should know, one sentence each.
    """

    name: str
    digest: str
    size_bytes: int
    cases: int
    max_difference: float
    tolerance: float
    load_ms: float
    p99_ms: float
    peak_rss_mb: float
    metrics: dict[str, float]
    warnings: tuple[str, ...]


def check(
    folder: Path,
    *,
    fetch_model: FetchModel | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Build a module's folder and report what its golden cases showed.

    A latency above the module's own bound is a warning here, because devices differ from this
    machine; on the device it ends the trial.

    Args:
        folder: holds module.toml.
        fetch_model: as for `build`.
        progress: told about each step.

    Raises:
        ModuleError, Unsupported, ModelError: as `build`.
    """
    built = build(folder, fetch_model=fetch_model, progress=progress)
    manifest, rehearsal = built.manifest, built.rehearsal
    warnings = list(built.warnings)
    bound = manifest.health.max_p99_ms
    if bound and rehearsal.p99_ms > bound:
        warnings.append(
            f"99 % of answers expected within {bound:g} ms, found {rehearsal.p99_ms:.3g} ms "
            "on this machine"
        )
    return CheckReport(
        name=manifest.name,
        digest=built.digest,
        size_bytes=sum(blob.size for blob in manifest.blobs()),
        cases=rehearsal.cases,
        max_difference=rehearsal.max_difference,
        tolerance=manifest.health.tolerance,
        load_ms=rehearsal.load_ms,
        p99_ms=rehearsal.p99_ms,
        peak_rss_mb=rehearsal.peak_rss_mb,
        metrics=manifest.metrics,
        warnings=tuple(warnings),
    )
