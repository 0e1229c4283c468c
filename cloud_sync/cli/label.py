"""`shoal label ...`: tell what the right answers were, when somebody knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Limit, Reason
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.label_resources import LabelsTaken

app = typer.Typer(
    help="Tell what the right answers to messages were, for gates that judge by it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="That answered.")]
Slot = Annotated[str, typer.Option("--slot", metavar="SLOT", help="That answered.")]


@app.command()
def add(
    context: typer.Context,
    message: Annotated[str, typer.Argument(metavar="ID", help="Of the message, and its result.")],
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="The right answer.")] = None,
    device: Device = "",
    slot: Slot = "",
    right: Annotated[
        bool | None,
        typer.Option("--right/--wrong", help="Instead of a value: whether the answer was right."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", help="Compare this output.", show_default="the first")
    ] = "",
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="How far a number may be off.")
    ] = 0.0,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Tell the right answer to one message, or whether the answer was right.

    Its result may be there already, or still be on its way. Told again, it counts once; told
    otherwise, it is corrected.

    \b
    Example:
      shoal label add row-7 1 --device line-1 --slot shuttle-anomaly
      shoal label add row-8 --wrong --device line-1 --slot shuttle-anomaly
    """
    from cloud_sync.cli.label_file import as_label

    label = as_label(
        {
            "device": device,
            "slot": slot,
            "id": message,
            "value": value,
            "right": right,
            "output": output,
            "tolerance": tolerance,
        }
    )
    with open_client(context) as client:
        taken = client.labels.add([label], reason=reason)
    _print_taken(taken, as_json)


@app.command("import")
def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header, or JSON.")],
    device: Device = "",
    slot: Slot = "",
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Tell the labels of a file: columns or keys device, slot, id, and value or right.

    Output and tolerance may stand there, too. The options fill in what a row leaves out.

    \b
    Example:
      shoal label import inspected.csv --slot shuttle-anomaly
    """
    from cloud_sync.cli.failure import warn
    from cloud_sync.cli.label_file import read_labels

    labels = read_labels(file, device=device, slot=slot)
    if not labels:
        warn(f"labels {file}: no rows in it, so nothing was told", as_json=as_json)
    with open_client(context) as client:
        taken = client.labels.add(labels, reason=reason)
    _print_taken(taken, as_json)


@app.command("list")
def list_labels(
    context: typer.Context,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="Only of this device.")
    ] = "",
    slot: Annotated[str, typer.Option("--slot", metavar="SLOT", help="Only of this slot.")] = "",
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those whose result is not there.")
    ] = False,
    limit: Limit = 50,
    as_json: JsonFlag = False,
) -> None:
    """Show the labels that were told, newest first, and what became of them.

    \b
    Example:
      shoal label list --waiting
    """
    from cloud_sync.cli.output import Cell, Column, print_json, print_table

    with open_client(context) as client:
        found = client.labels.all(device=device, slot=slot, waiting=waiting, limit=limit)
    if as_json:
        print_json(found)
        return
    marks = {True: Cell("right", "green"), False: Cell("wrong", "red"), None: Cell("waits")}
    rows = [
        (
            words.clock(label.received),
            label.device,
            label.slot,
            label.message,
            words.NOTHING if label.label.value is None else str(label.label.value),
            marks[label.is_right],
            words.short(label.digest) or words.NOTHING,
        )
        for label in found
    ]
    columns = [
        Column("told"),
        Column("device"),
        Column("slot"),
        Column("message"),
        Column("value"),
        Column("answer"),
        Column("by"),
    ]
    print_table(columns, rows, "no labels")


def _print_taken(taken: "LabelsTaken", as_json: bool) -> None:
    from cloud_sync.cli.failure import warn
    from cloud_sync.cli.output import print_done

    if taken.strange:
        warn(
            f"no such slot on its device, so far: {', '.join(taken.strange)}; "
            "labels of it wait for results that may never come",
            as_json=as_json,
        )
    print_done(
        taken,
        f"{words.plural(taken.labels, 'label')}: {taken.right:,} right, {taken.wrong:,} wrong, "
        f"{taken.waiting:,} whose result is not there yet",
        as_json=as_json,
    )
