"""`shoal group ...`: devices put together by name."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Members, Reason
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.fleet_resources import GroupChange, GroupChanged

app = typer.Typer(
    help="Put devices together, to mean and to configure them together.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
Rank = Annotated[
    int | None,
    typer.Option("--rank", help="Of two groups, the higher one's configuration counts."),
]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]


@app.command("list")
def list_groups(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the groups.

    \b
    Example:
      shoal group list
    """
    from cloud_sync.cli.output import Column, print_json, print_table, right

    with open_client(context) as client:
        groups = client.groups.all()
    if as_json:
        print_json(groups)
        return
    now = time.time()
    rows = [
        (
            group.name,
            words.count(group.size),
            str(group.rank),
            words.since(group.created, now),
            group.created_by,
            group.description or words.NOTHING,
        )
        for group in groups
    ]
    columns = [
        Column("group"),
        right("devices"),
        right("rank"),
        right("created"),
        Column("by"),
        Column("description", wraps=True),
    ]
    print_table(columns, rows, "there are no groups; make one with shoal group add")


@app.command()
def show(context: typer.Context, name: Name, as_json: JsonFlag = False) -> None:
    """Show the devices of a group, one a line.

    \b
    Example:
      shoal group show winter
    """
    from cloud_sync.cli.output import print_json, print_line

    with open_client(context) as client:
        detail = client.groups.show(name)
    if as_json:
        print_json(detail)
        return
    for device in detail.devices:
        print_line(device)


@app.command()
def add(
    context: typer.Context,
    name: Name,
    target: Members,
    rank: Rank = None,
    description: Description = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Put devices into a group; it is made if it is not there.

    Those that match now: a device that matches later is not in it by itself. Their configuration
    becomes that of the group at once.

    \b
    Example:
      shoal group add winter 'site=oslo or site=bergen' --description "heated in winter"
      shoal group add winter line-7
    """
    from cloud_sync.fleet_resources import GroupChange

    wish = GroupChange(add=target, rank=rank, description=description)
    _change(context, name, wish, reason, as_json=as_json)


@app.command("set")
def set_group(
    context: typer.Context,
    name: Name,
    rank: Rank = None,
    description: Description = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Change a group's rank or description.

    \b
    Example:
      shoal group set winter --rank 10
    """
    from cloud_sync.fleet_resources import GroupChange

    if rank is None and description is None:
        raise typer.BadParameter("expected --rank or --description")
    wish = GroupChange(rank=rank, description=description)
    _change(context, name, wish, reason, as_json=as_json)


@app.command()
def remove(
    context: typer.Context,
    name: Name,
    target: Members,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Take devices out of a group, and the group's configuration off them.

    \b
    Example:
      shoal group remove winter 'site=bergen'
    """
    from cloud_sync.fleet_resources import GroupChange

    _change(context, name, GroupChange(remove=target), reason, as_json=as_json)


@app.command()
def delete(
    context: typer.Context, name: Name, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Delete a group and what is configured for it. Its devices stay.

    \b
    Example:
      shoal group delete winter
    """
    from cloud_sync.cli.output import print_done

    with open_client(context) as client:
        deleted = client.groups.delete(name, reason=reason)
    print_done(deleted, f"deleted {deleted.what}", as_json=as_json)


def _change(
    context: typer.Context, name: str, wish: "GroupChange", reason: str, *, as_json: bool
) -> None:
    from cloud_sync.cli.output import print_done

    with open_client(context) as client:
        result = client.groups.change(name, wish, reason=reason)
    print_done(result, _changed(result), as_json=as_json)


def _changed(result: "GroupChanged") -> str:
    """One line about a change."""
    text = f"group {result.group.name}: {words.plural(result.group.size, 'device')}"
    moved = [f"{len(result.added):,} added"] if result.added else []
    moved += [f"{len(result.removed):,} removed"] if result.removed else []
    if moved:
        text += f" ({', '.join(moved)})"
    if result.revisions:
        text += f"; the configuration of {words.plural(len(result.revisions), 'device')} changes"
    return text
