"""`shoal events`, `results`, `audit`, `info`: what devices and the service noted down."""

from typing import Annotated

import msgspec
import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Limit
from cloud_sync.cli.session import open_client

DeviceFilter = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="Only of this device.")
]
AfterId = Annotated[
    int | None, typer.Option("--after-id", min=0, metavar="ID", help="Only later ones.")
]
LEVELS = {"warning": "yellow", "error": "red"}


def events(
    context: typer.Context,
    device: DeviceFilter = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Only of this name.")] = "",
    after_id: AfterId = None,
    limit: Limit = 50,
    as_json: JsonFlag = False,
) -> None:
    """Show what happened on devices, newest first.

    \b
    Example:
      shoal events --device line-1 --limit 20
    """
    from cloud_sync.cli.output import Cell, Column, print_json, print_table, right

    with open_client(context) as client:
        found = client.telemetry.events(device=device, name=name, after_id=after_id, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(event.id),
            words.clock(event.time),
            event.device or words.NOTHING,
            event.slot or words.NOTHING,
            Cell(event.level, LEVELS.get(event.level, "")),
            event.name,
            event.text,
        )
        for event in found
    ]
    columns = [
        right("id"),
        Column("time"),
        Column("device"),
        Column("slot"),
        Column("level"),
        Column("event"),
        Column("text", wraps=True),
    ]
    print_table(columns, rows, "no events")


def results(
    context: typer.Context,
    device: DeviceFilter = "",
    slot: Annotated[str, typer.Option("--slot", metavar="SLOT", help="Only of this slot.")] = "",
    after_id: AfterId = None,
    limit: Limit = 50,
    as_json: JsonFlag = False,
) -> None:
    """Show the results that devices sent home, newest first.

    Which ones they send is the module's uplink rule, see `shoal deploy --uplink`.

    \b
    Example:
      shoal results --slot shuttle-anomaly --limit 5 --json
    """
    from cloud_sync.cli.output import Column, print_json, print_table, right

    with open_client(context) as client:
        found = client.telemetry.results(device=device, slot=slot, after_id=after_id, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = []
    for entry in found:
        result = msgspec.json.decode(entry.result, type=_Result)
        rows.append(
            (
                str(entry.id),
                words.clock(entry.time),
                entry.device,
                entry.slot,
                f"{result.module}/{result.version}",
                result.topic,
                bytes(result.outputs).decode("utf-8", "replace"),
            )
        )
    columns = [
        right("id"),
        Column("time"),
        Column("device"),
        Column("slot"),
        Column("module"),
        Column("topic"),
        Column("outputs", wraps=True),
    ]
    print_table(columns, rows, "no results: does a module's uplink rule send any?")


def audit(context: typer.Context, limit: Limit = 50, as_json: JsonFlag = False) -> None:
    """Show who changed what, when and why, newest first.

    \b
    Example:
      shoal audit --limit 20
    """
    from cloud_sync.cli.output import Column, print_json, print_table, right

    with open_client(context) as client:
        found = client.telemetry.audit(limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(entry.id),
            words.clock(entry.time),
            entry.actor,
            entry.action,
            entry.subject,
            entry.reason or words.NOTHING,
            words.short(words.tags(entry.detail)),
        )
        for entry in found
    ]
    columns = [
        right("id"),
        Column("time"),
        Column("actor"),
        Column("action"),
        Column("subject"),
        Column("reason", wraps=True),
        Column("detail", wraps=True),
    ]
    print_table(columns, rows, "nothing was changed yet")


def info(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Show what the service is and whether its parts work; exits with 1 if one does not.

    \b
    Example:
      shoal --server http://cloud:8080 info
    """
    from cloud_sync.cli.output import Cell, print_facts, print_json

    with open_client(context) as client:
        found = client.telemetry.info()
        url = client.url
    if as_json:
        print_json(found)
    else:
        connected = found.broker_connected
        print_facts(
            {
                "service": f"{url}, version {found.version}",
                "state": Cell("ok", "green") if found.ok else Cell("not ok", "red"),
                "database": found.database,
                "broker": f"{found.broker} at {found.broker_url}",
                "broker link": Cell("connected", "green") if connected else Cell("down", "red"),
            }
        )
    if not found.ok:
        raise typer.Exit(1)


class _Result(msgspec.Struct):
    """The parts of a result that are shown; what is missing in it stays empty."""

    module: str = ""
    version: int = 0
    topic: str = ""
    outputs: msgspec.Raw = msgspec.Raw(b"{}")
