"""`shoal module ...`: the published modules; composes the commands on a module's folder."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import ending, module_folder, words
from cloud_sync.cli.options import JsonFlag, Most, Retired
from cloud_sync.cli.session import open_client
from cloud_sync.cli.spread import spread

if TYPE_CHECKING:
    from cloud_sync.cli.output import Cell
    from cloud_sync.resources import ModuleVersion
    from edge_agent.contract.manifest import Manifest

app = typer.Typer(
    help="Make modules from models, prove that they work, and publish them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("init")(module_folder.init)
app.command("golden")(module_folder.golden)
app.command("profile")(module_folder.profile)
app.command("build")(module_folder.build)
app.command("check")(module_folder.check)
app.command("publish")(module_folder.publish)


@app.command("list")
def list_modules(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="GLOB", help="Only these names.")] = "",
    retired: Retired = False,
    limit: Most = None,
    as_json: JsonFlag = False,
) -> None:
    """List the published versions of all modules.

    \b
    Example:
      shoal module list --name 'shuttle*'
    """
    from cloud_sync.cli.output import Column, print_json, print_table, right

    with open_client(context) as client:
        modules = list(client.modules.search(name=name, retired=retired, limit=limit))
    if as_json:
        print_json(modules)
        return
    now = time.time()
    rows = [
        (
            f"{module.name}/{module.version}",
            words.size(module.size),
            _metrics(module),
            module.license or words.NOTHING,
            words.since(module.created, now),
            module.created_by + (" (retired)" if module.retired else ""),
            words.short(module.digest),
        )
        for module in modules
    ]
    columns = [
        Column("module"),
        right("size"),
        Column("metrics", wraps=True),
        Column("license"),
        right("created"),
        Column("by"),
        Column("digest"),
    ]
    print_table(columns, rows, "no modules match")


@app.command()
def show(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="NAME[/VERSION]", help="The newest if no version.")],
    as_json: JsonFlag = False,
) -> None:
    """Show what a published module takes in, gives out, and consists of.

    With --json the manifest is printed as it is signed for.

    \b
    Example:
      shoal module show shuttle-anomaly/2
    """
    from cloud_sync.cli.output import (
        Column,
        print_facts,
        print_json,
        print_line,
        print_table,
        right,
    )
    from cloud_sync.client.versions import parse_ref

    with open_client(context) as client:
        module = client.modules.show(*parse_ref("module", ref))
        manifest = client.modules.manifest(module)
    if as_json:
        print_json({"module": module, "manifest": manifest})
        return
    print_facts(_facts(module, manifest))
    print_line("")
    rows = [(blob.path, words.size(blob.size), blob.digest) for blob in manifest.blobs()]
    print_table([Column("file"), right("size"), Column("digest")], rows, "no files")


@app.command()
@spread
def retire(
    context: typer.Context,
    *,
    ref: ending.Ref,
    asked: ending.Asked,
    as_json: JsonFlag = False,
) -> None:
    """Take a version out of use. Devices that run it go on; it is no longer deployed.

    \b
    Example:
      shoal module retire shuttle-anomaly/1 --reason "replaced by 2"
      shoal module retire 'model-for-*' --keep 1 --dry-run
    """
    ending.end(context, "module", "retire", ref, asked, as_json=as_json)


@app.command()
@spread
def delete(
    context: typer.Context,
    *,
    ref: ending.Ref,
    asked: ending.Asked,
    as_json: JsonFlag = False,
) -> None:
    """Delete a version. Refused while devices run it or should run it; they are named.

    With a pattern, those that a device or a rollout needs stay, and are listed.

    \b
    Example:
      shoal module delete shuttle-anomaly/1 --reason "never deployed"
      shoal module delete 'model-for-*' --keep 2
    """
    ending.end(context, "module", "delete", ref, asked, as_json=as_json)


def _metrics(module: "ModuleVersion") -> str:
    return words.tags({name: f"{value:.4g}" for name, value in module.metrics.items()})


def _facts(module: "ModuleVersion", manifest: "Manifest") -> "dict[str, str | Cell]":
    window = manifest.input.window
    golden = words.plural(len(manifest.health.golden), "golden file")
    facts: dict[str, str | Cell] = {
        "module": f"{module.name}/{module.version}" + (" (retired)" if module.retired else ""),
        "digest": module.digest,
        "description": module.description or words.NOTHING,
        "license": module.license or words.NOTHING,
        "input": f"{manifest.input.topic} ({manifest.input.codec})"
        + (f", windows of {window.size} rows every {window.step}" if window else ""),
        "output": f"{manifest.output.topic}, uplink {manifest.output.uplink}",
        "takes": "; ".join(str(spec) for spec in manifest.model.inputs),
        "gives": "; ".join(str(spec) for spec in manifest.model.outputs),
        "proof": f"{golden}, tolerance {manifest.health.tolerance:g}",
        "metrics": _metrics(module),
    }
    if manifest.parity:
        facts["parity"] = (
            f"{manifest.parity.label_agreement:.2%} of {manifest.parity.rows:,} rows agree, "
            f"largest difference {manifest.parity.max_difference:.2g}"
        )
    facts["created"] = f"{words.clock(module.created)} by {module.created_by}"
    return facts
