"""`shoal module init|golden|profile|build|check|publish`: what is done with a module's folder.

Works without a service, but for `publish` and for modules that name a registered model.
"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Reason

if TYPE_CHECKING:
    from cloud_sync.authoring.build import Built
    from edge_agent.contract.scores import ScoreBins

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The module's folder.")]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FILE", help="An ONNX file; it is copied.")
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample", metavar="FILE", help="Real messages, JSON or CSV: names and golden cases."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The module's name; else the folder's.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Make a module's folder: module.toml, and golden cases where a model can make them.

    With a model the binding is written to fit its signature, and the folder builds as it is.
    Without one there is a module.toml to fill in.

    \b
    Example:
      shoal module init wine --model wine.onnx --sample rows.csv
    """
    from cloud_sync.authoring.init import init_module
    from cloud_sync.cli.bars import step_line
    from cloud_sync.cli.output import print_json, print_line

    if sample is not None and model is None:
        raise typer.BadParameter("--sample is of use only with --model")
    chosen = name or folder.resolve().name.lower().replace("_", "-").replace(" ", "-")
    with step_line(f"making {folder}") as step:
        made = init_module(folder, chosen, model_file=model, sample=sample, progress=step)
    if as_json:
        print_json(
            {
                "module": chosen,
                "folder": str(made.folder),
                "files": made.files,
                "golden_cases": made.golden_cases,
                "warnings": made.warnings,
            }
        )
        return
    for file in made.files:
        print_line(f"wrote {folder / file}")
    if made.golden_cases:
        print_line(f"golden cases: {made.golden_cases}, the model's own answers")
    check = f"shoal module check {shlex.quote(str(folder))}"
    print_line(f"next: edit {shlex.quote(str(folder / 'module.toml'))}, then: {check}")
    _print_warnings(made.warnings)


def golden(
    context: typer.Context,
    folder: Folder,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample", metavar="FILE", help="Real messages, JSON or CSV; else they are made up."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write golden/samples.json anew, after the binding in module.toml was changed.

    Its messages fit the fields, ranges and formats as they are now; its answers are the model's
    own. Other golden files stay as they are.

    \b
    Example:
      shoal module golden my-module
    """
    from cloud_sync.authoring.golden_samples import renew_golden
    from cloud_sync.cli.bars import step_line
    from cloud_sync.cli.output import print_json, print_line
    from cloud_sync.cli.registered import registered_models

    with registered_models(context) as fetch, step_line(f"sampling {folder}") as step:
        made = renew_golden(folder, sample=sample, fetch_model=fetch, progress=step)
    if as_json:
        print_json({"file": str(made.file), "cases": made.cases, "warnings": made.warnings})
        return
    cases = words.plural(made.cases, "golden case")
    print_line(f"wrote {made.file} anew: {cases}, the model's own answers; no other file changed")
    print_line(f"next: shoal module check {shlex.quote(str(folder))}")
    _print_warnings(made.warnings)


def profile(
    context: typer.Context,
    folder: Folder,
    sample: Annotated[
        Path,
        typer.Option(
            "--sample", metavar="FILE", help="Typical messages, JSON or CSV: 200 at least."
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Note how the model's scores are spread over typical messages, for the next build.

    Devices count their scores by the same bins, so that a rollout's gate sees when a version's
    answers drift. Written to measured.json, which training may have made; what stands there stays.

    \b
    Example:
      shoal module profile my-module --sample march.csv
    """
    from cloud_sync.authoring.profile import renew_profile
    from cloud_sync.cli.bars import step_line
    from cloud_sync.cli.output import Column, print_json, print_line, print_table, right
    from cloud_sync.cli.registered import registered_models

    with registered_models(context) as fetch, step_line(f"running {folder}") as step:
        made = renew_profile(folder, sample, fetch_model=fetch, progress=step)
    if as_json:
        document = {"file": str(made.file), "warnings": made.warnings, "profile": made.profile}
        print_json(document)
        return
    rows = words.plural(made.profile.rows, "row")
    print_line(f"wrote {made.file}: scores of output {made.profile.output!r}, {rows}")
    table = [
        (str(number), name, words.percent(share))
        for number, column in enumerate(made.profile.columns)
        for name, share in zip(_bin_names(column), column.shares, strict=True)
    ]
    print_table([right("score"), Column("bin"), right("share")], table, "no scores")
    print_line(f"next: shoal module build {shlex.quote(str(folder))}")
    _print_warnings(made.warnings)


def build(
    context: typer.Context,
    folder: Folder,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", metavar="FILE", help="Write the manifest's bytes here."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Build a module and run its golden cases; nothing is sent anywhere.

    The same folder gives the same digest, byte for byte, on every machine. The manifest is
    written to DIR/build/manifest.json, where `edge-agent infer DIR FILE` finds it.

    \b
    Example:
      shoal module build my-module
    """
    from cloud_sync.authoring.build import build as build_folder
    from cloud_sync.authoring.built_folder import write_build
    from cloud_sync.cli.bars import step_line
    from cloud_sync.cli.output import print_json
    from cloud_sync.cli.registered import registered_models
    from edge_agent.contract.manifest import canonical

    with registered_models(context) as fetch:
        with step_line(f"building {folder}") as step:
            built = build_folder(folder, fetch_model=fetch, progress=step)
        write_build(folder, built)
        if manifest is not None:
            manifest.write_bytes(canonical(built.manifest))
    if as_json:
        print_json({"digest": built.digest, "warnings": built.warnings, "manifest": built.manifest})
        return
    _print_built(built)


def check(context: typer.Context, folder: Folder, as_json: JsonFlag = False) -> None:
    """Prove that a module works: build it, run its golden cases, report figures.

    \b
    Example:
      shoal module check my-module
    """
    from cloud_sync.authoring.check import check as check_folder
    from cloud_sync.cli.bars import step_line
    from cloud_sync.cli.output import print_facts, print_json
    from cloud_sync.cli.registered import registered_models

    with registered_models(context) as fetch, step_line(f"checking {folder}") as step:
        report = check_folder(folder, fetch_model=fetch, progress=step)
    if as_json:
        print_json(report)
        return
    print_facts(
        {
            "module": report.name,
            "digest": report.digest,
            "size": words.size(report.size_bytes),
            "golden cases": f"{words.plural(report.cases, 'case')} passed, largest difference "
            f"{report.max_difference:.2g} (allowed {report.tolerance:g})",
            "one answer": f"{words.milliseconds(report.p99_ms)} ms (p99, here)"
            if report.cases
            else words.NOTHING,
            "load": f"{words.milliseconds(report.load_ms)} ms",
            "memory": f"{report.peak_rss_mb:.0f} MB at most",
            "metrics": words.tags({k: f"{v:.4g}" for k, v in report.metrics.items()}),
        }
    )
    _print_warnings(report.warnings)


def publish(
    context: typer.Context, folder: Folder, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Build a module and publish it as the next version of its name.

    Files that the service has already are not sent again; a module that has not changed since it
    was published stays the version that it is.

    \b
    Example:
      shoal module publish my-module --reason "trained on March"
    """
    from cloud_sync.authoring.build import build as build_folder
    from cloud_sync.cli.bars import step_line, transfer_bars
    from cloud_sync.cli.output import print_json, print_line
    from cloud_sync.cli.registered import registered_models
    from cloud_sync.cli.session import open_client

    with registered_models(context) as fetch, open_client(context) as client:
        # Asked first: nobody wants to wait for a build to learn that the service is away.
        client.telemetry.info()
        with step_line(f"building {folder}") as step:
            built = build_folder(folder, fetch_model=fetch, progress=step)
        with transfer_bars() as bars:
            published = client.modules.publish(built, reason=reason, on_progress=bars)
    if as_json:
        print_json(published)
        return
    module = published.module
    what = "published" if published.created else "unchanged, already published as"
    print_line(f"{what} {module.name}/{module.version}, {words.size(module.size)}, {module.digest}")
    _print_warnings(built.warnings)


def _bin_names(bins: "ScoreBins") -> list[str]:
    if bins.labels:
        return [*(str(label) for label in bins.labels), "any other"]
    return [*(f"up to {edge:g}" for edge in bins.edges), "larger", "not a number"]


def _print_built(built: "Built") -> None:
    from cloud_sync.cli.output import Column, print_facts, print_line, print_table, right

    manifest = built.manifest
    print_facts(
        {
            "module": manifest.name,
            "digest": built.digest,
            "takes": "; ".join(str(spec) for spec in manifest.model.inputs),
            "gives": "; ".join(str(spec) for spec in manifest.model.outputs),
            "golden cases": f"{words.plural(built.rehearsal.cases, 'case')} passed",
        }
    )
    print_line("")
    rows = [(blob.path, words.size(blob.size), blob.digest) for blob in manifest.blobs()]
    print_table([Column("file"), right("size"), Column("digest")], rows, "no files")
    _print_warnings(built.warnings)


def _print_warnings(warnings: tuple[str, ...]) -> None:
    """Warnings go to standard error, so that what a script reads stays what it asked for."""
    from cloud_sync.cli.failure import warn

    for warning in warnings:
        warn(warning, as_json=False)
