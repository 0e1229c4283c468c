"""How versions end: taken out of use, or deleted; one of them, or many that a pattern means."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from msgspec import Struct

from cloud_sync.cli import words
from cloud_sync.cli.options import Reason
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.resources import EndedVersions

Kind = Literal["model", "module"]
Verb = Literal["retire", "delete"]

Ref = Annotated[
    str,
    typer.Argument(
        metavar="NAME/VERSION", help="Which version; or NAME or NAME/VERSION with '*' and '?'."
    ),
]

_WILD: Final = frozenset("*?")
_DONE: Final = {"retire": "retired", "delete": "deleted"}
_SHOWN: Final = 20


class Asked(Struct, frozen=True, kw_only=True):
    """What was typed besides the version: an option a field."""

    keep: Annotated[
        int,
        typer.Option(
            "--keep", min=0, help="With a pattern: so many of each name stay, the newest."
        ),
    ] = 0
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With a pattern: only say which it would concern.")
    ] = False
    reason: Reason = ""


def end(
    context: typer.Context, kind: Kind, verb: Verb, ref: str, asked: Asked, *, as_json: bool
) -> None:
    """Take versions out of use or delete them, and print what became of them."""
    if _WILD & set(ref):
        _end_many(context, kind, verb, ref, asked, as_json=as_json)
        return
    if asked.keep or asked.dry_run:
        raise typer.BadParameter("--keep and --dry-run are for patterns, as 'model-for-*'")
    _end_one(context, kind, verb, ref, asked.reason, as_json=as_json)


def _end_one(
    context: typer.Context, kind: Kind, verb: Verb, ref: str, reason: str, *, as_json: bool
) -> None:
    from cloud_sync.cli.output import print_done
    from cloud_sync.client.versions import parse_exact

    name, version = parse_exact(kind, ref)
    with open_client(context) as client:
        group = client.models if kind == "model" else client.modules
        if verb == "delete":
            deleted = group.delete(name, version, reason=reason)
            print_done(deleted, f"deleted {deleted.what}", as_json=as_json)
            return
        retired = group.retire(name, version, reason=reason)
    print_done(retired, f"retired {retired.name}/{retired.version}", as_json=as_json)


def _end_many(
    context: typer.Context, kind: Kind, verb: Verb, ref: str, asked: Asked, *, as_json: bool
) -> None:
    from cloud_sync.cli.output import print_json
    from cloud_sync.resources import EndingWish

    name, slash, number = ref.partition("/")
    if slash and not number.isdecimal():
        raise typer.BadParameter(f"expected a number behind '/', found {number!r}")
    version = int(number) if slash else None
    wish = EndingWish(kind=kind, name=name, version=version, keep=asked.keep, dry_run=asked.dry_run)
    with open_client(context) as client:
        endings = client.endings
        result = (endings.retire if verb == "retire" else endings.delete)(wish, reason=asked.reason)
    if as_json:
        print_json(result)
        return
    _print_many(kind, verb, result, dry_run=asked.dry_run)


def _print_many(kind: Kind, verb: Verb, result: "EndedVersions", *, dry_run: bool) -> None:
    from cloud_sync.cli.output import print_line

    done = f"would be {_DONE[verb]}" if dry_run else _DONE[verb]
    what = words.plural(len(result.ended), f"{kind} version")
    print_line(f"{what} {done}" + (":" if result.ended else ""))
    _print_some(result.ended)
    if result.kept:
        print_line(f"{words.plural(len(result.kept), 'version')} kept:")
        _print_some([f"{one.ref}: {one.reason}" for one in result.kept])


def _print_some(lines: "tuple[str, ...] | list[str]") -> None:
    from cloud_sync.cli.output import print_line

    for line in lines[:_SHOWN]:
        print_line(f"  {line}")
    if len(lines) > _SHOWN:
        print_line(f"  and {len(lines) - _SHOWN:,} more; --json gives all")
