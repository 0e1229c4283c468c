"""`shoal model ...`: models in the registry."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from cloud_sync.cli import ending, words
from cloud_sync.cli.options import ExactRef, JsonFlag, Most, Retired, TagFilter, pairs
from cloud_sync.cli.session import open_client
from cloud_sync.cli.spread import spread
from cloud_sync.cli.tagging import Tagging

if TYPE_CHECKING:
    from cloud_sync.client import ShoalClient
    from cloud_sync.resources import ModelVersion

app = typer.Typer(
    help="Register, find and fetch models: named, versioned files of any framework.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Ref = Annotated[str, typer.Argument(metavar="NAME[/VERSION]", help="The newest if no version.")]


class Wanted(Struct, frozen=True, kw_only=True):
    """Which versions are looked for, besides by name: an option a field."""

    tag: TagFilter = None
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="KEY=VALUE", help="Only with this property."),
    ] = None
    retired: Retired = False
    limit: Most = None

    def search(self, client: "ShoalClient", name: str) -> "Iterator[ModelVersion]":
        """Those that match, page by page; `name` is a pattern."""
        return client.models.search(
            name=name,
            tags=pairs(self.tag, "--tag"),
            properties=pairs(self.properties, "--property"),
            retired=self.retired,
            limit=self.limit,
        )


@app.command()
def register(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files, or folders with all in them.")
    ],
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="To find it by; can be changed."),
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="KEY=VALUE", help="A fact; cannot be changed."),
    ] = None,
    framework: Annotated[
        str, typer.Option("--framework", help="What the files are of; else by their names.")
    ] = "",
    description: Annotated[str, typer.Option("--description", help="Free text.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Register files as the next version of a model.

    Files that the service has already are not sent again.

    \b
    Example:
      shoal model register shuttle model.onnx labels.txt --tag stage=trial --property f1=0.998
    """
    from cloud_sync.cli.bars import transfer_bars
    from cloud_sync.cli.output import print_done

    tags, facts = pairs(tag, "--tag"), pairs(properties, "--property")
    with open_client(context) as client, transfer_bars() as bars:
        model = client.models.register(
            name,
            files,
            framework=framework,
            description=description,
            tags=tags,
            properties=facts,
            on_progress=bars,
        )
    print_done(model, f"registered {model.name}/{model.version}: {_extent(model)}", as_json=as_json)


@app.command("list")
@spread
def list_models(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option("--name", metavar="GLOB", help="Only these names.")] = "",
    wanted: Wanted,
    as_json: JsonFlag = False,
) -> None:
    """List the versions of all models.

    \b
    Example:
      shoal model list --name 'shuttle*' --tag stage=trial
    """
    with open_client(context) as client:
        _print_models(wanted.search(client, name), as_json=as_json)


@app.command()
@spread
def search(
    context: typer.Context,
    *,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Part of the name, or a glob with '*' or '?'.")
    ] = "",
    wanted: Wanted,
    as_json: JsonFlag = False,
) -> None:
    """Find models by a part of their name, by tags and by properties.

    \b
    Example:
      shoal model search shut --property framework-version=1.6
    """
    is_glob = any(character in text for character in "*?[")
    pattern = text if is_glob or not text else f"*{text}*"
    with open_client(context) as client:
        _print_models(wanted.search(client, pattern), as_json=as_json)


@app.command()
def show(context: typer.Context, ref: Ref, as_json: JsonFlag = False) -> None:
    """Show everything about one version.

    \b
    Example:
      shoal model show shuttle/3
    """
    from cloud_sync.cli.output import (
        Column,
        print_facts,
        print_json,
        print_line,
        print_table,
        right,
    )

    with open_client(context) as client:
        model = _find(client, ref)
    if as_json:
        print_json(model)
        return
    now = time.time()
    print_facts(
        {
            "model": f"{model.name}/{model.version}" + (" (retired)" if model.retired else ""),
            "framework": model.framework or words.NOTHING,
            "description": model.description or words.NOTHING,
            "tags": words.tags(model.tags),
            "properties": words.tags(model.properties),
            "created": f"{words.clock(model.created)} by {model.created_by} "
            f"({words.since(model.created, now)})",
        }
    )
    print_line("")
    rows = [(blob.path, words.size(blob.size), blob.digest) for blob in model.files]
    print_table([Column("file"), right("size"), Column("digest")], rows, "no files")


@app.command()
def download(
    context: typer.Context,
    ref: Ref,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    as_json: JsonFlag = False,
) -> None:
    """Fetch all files of a version. What was broken off is continued, what is there is kept.

    \b
    Example:
      shoal model download shuttle/3 ./shuttle
    """
    from cloud_sync.cli.bars import transfer_bars
    from cloud_sync.cli.output import print_done

    with open_client(context) as client, transfer_bars() as bars:
        model = _find(client, ref)
        client.models.download(model, folder, bars)
    print_done(
        model,
        f"fetched {model.name}/{model.version} to {folder}: {_extent(model)}, verified",
        as_json=as_json,
    )


@app.command()
@spread
def tag(
    context: typer.Context,
    *,
    ref: ExactRef,
    tagging: Tagging,
    as_json: JsonFlag = False,
) -> None:
    """Set tags of a version, or take them away.

    \b
    Example:
      shoal model tag shuttle/3 stage=production --remove candidate
    """
    from cloud_sync.cli.output import print_done

    changes = tagging.changes()
    name, version = _exact(ref)
    with open_client(context) as client:
        model = client.models.tag(name, version, set_tags=changes, remove=tagging.remove or ())
    print_done(model, f"{model.name}/{model.version}: {words.tags(model.tags)}", as_json=as_json)


@app.command()
@spread
def retire(
    context: typer.Context,
    *,
    ref: ending.Ref,
    asked: ending.Asked,
    as_json: JsonFlag = False,
) -> None:
    """Take a version out of use without deleting it.

    \b
    Example:
      shoal model retire shuttle/2 --reason "replaced by 3"
      shoal model retire 'line-*' --keep 1
    """
    ending.end(context, "model", "retire", ref, asked, as_json=as_json)


@app.command()
@spread
def delete(
    context: typer.Context,
    *,
    ref: ending.Ref,
    asked: ending.Asked,
    as_json: JsonFlag = False,
) -> None:
    """Delete a version. Refused while devices run, or should run, what was made of it.

    With a pattern, those that a device or a rollout needs stay, and are listed.

    \b
    Example:
      shoal model delete shuttle/1 --reason "trained on the wrong rows"
      shoal model delete 'line-*/1' --dry-run
    """
    ending.end(context, "model", "delete", ref, asked, as_json=as_json)


def _exact(ref: str) -> tuple[str, int]:
    from cloud_sync.client.versions import parse_exact

    return parse_exact("model", ref)


def _find(client: "ShoalClient", ref: str) -> "ModelVersion":
    from cloud_sync.client.versions import parse_ref

    return client.models.show(*parse_ref("model", ref))


def _extent(model: "ModelVersion") -> str:
    total = words.size(sum(blob.size for blob in model.files))
    return f"{words.plural(len(model.files), 'file')}, {total}"


def _print_models(models: "Iterator[ModelVersion]", *, as_json: bool) -> None:
    from cloud_sync.cli.output import Column, print_json, print_table, right

    found = list(models)
    if as_json:
        print_json(found)
        return
    now = time.time()
    rows = [
        (
            f"{model.name}/{model.version}",
            model.framework or words.NOTHING,
            str(len(model.files)),
            words.size(sum(blob.size for blob in model.files)),
            words.tags(model.tags),
            words.tags(model.properties),
            words.since(model.created, now),
            model.created_by + (" (retired)" if model.retired else ""),
        )
        for model in found
    ]
    columns = [
        Column("model"),
        Column("framework"),
        right("files"),
        right("size"),
        Column("tags", wraps=True),
        Column("properties", wraps=True),
        right("created"),
        Column("by"),
    ]
    print_table(columns, rows, "no models match")
