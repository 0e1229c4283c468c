"""How a version ends, a model's as a module's: taken out of use, or deleted."""

from typing import Literal

import typer

from cloud_sync.cli.session import open_client

Kind = Literal["model", "module"]


def retire(context: typer.Context, kind: Kind, ref: str, reason: str, *, as_json: bool) -> None:
    """Take a version out of use, and print what became of it."""
    from cloud_sync.cli.output import print_json, print_line
    from cloud_sync.client.versions import parse_exact

    name, version = parse_exact(kind, ref)
    with open_client(context) as client:
        group = client.models if kind == "model" else client.modules
        retired = group.retire(name, version, reason=reason)
    if as_json:
        print_json(retired)
        return
    print_line(f"retired {retired.name}/{retired.version}")


def delete(context: typer.Context, kind: Kind, ref: str, reason: str, *, as_json: bool) -> None:
    """Delete a version, and print what was deleted."""
    from cloud_sync.cli.output import print_json, print_line
    from cloud_sync.client.versions import parse_exact

    name, version = parse_exact(kind, ref)
    with open_client(context) as client:
        group = client.models if kind == "model" else client.modules
        deleted = group.delete(name, version, reason=reason)
    if as_json:
        print_json(deleted)
        return
    print_line(f"deleted {deleted.what}")
