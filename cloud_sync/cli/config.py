"""`shoal config ...`: configuration in layers, and where a device's values come from."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Reason, pairs
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.fleet_resources import ConfigChange, EffectiveSetting, LayerKind

app = typer.Typer(
    help="Configure the fleet, groups and devices in layers, and see what holds and why.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Fleet = Annotated[bool, typer.Option("--fleet", help="For every device.")]
Group = Annotated[str, typer.Option("--group", metavar="NAME", help="For devices of a group.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="For one device.")]
Slot = Annotated[
    str, typer.Option("--slot", metavar="SLOT", help="For this slot; else for every slot.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say whom it would concern.")]


@app.command("set")
def set_values(
    context: typer.Context,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE...",
            help="input_topic, output_topic, uplink, or health_interval_s.",
        ),
    ] = None,
    fleet: Fleet = False,
    group: Group = "",
    device: Device = "",
    slot: Slot = "",
    dry_run: DryRun = False,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Set values for the fleet, a group or a device.

    The nearest layer holds: module, fleet, group, device, deployment, from the farthest to the
    nearest. Exactly the devices whose values change are told, at once; if one of them could not
    have it, none has.

    \b
    Example:
      shoal config set uplink=changes --fleet
      shoal config set uplink=all --group winter --slot shuttle-anomaly --dry-run
      shoal config set health_interval_s=120 --device line-1
    """
    from cloud_sync.fleet_resources import ConfigChange

    layer, name = _layer(fleet=fleet, group=group, device=device)
    given = pairs(values, "KEY=VALUE")
    if not given:
        raise typer.BadParameter("expected at least one KEY=VALUE")
    wish = ConfigChange(layer=layer, name=name, slot=slot, set=given, dry_run=dry_run)
    _change(context, wish, reason, as_json=as_json)


@app.command()
def unset(
    context: typer.Context,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="What to take away.")],
    fleet: Fleet = False,
    group: Group = "",
    device: Device = "",
    slot: Slot = "",
    dry_run: DryRun = False,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Take values of a layer away; what the layers below say holds again.

    \b
    Example:
      shoal config unset uplink --group winter --slot shuttle-anomaly
    """
    from cloud_sync.fleet_resources import ConfigChange

    layer, name = _layer(fleet=fleet, group=group, device=device)
    wish = ConfigChange(layer=layer, name=name, slot=slot, unset=tuple(keys), dry_run=dry_run)
    _change(context, wish, reason, as_json=as_json)


@app.command()
def show(
    context: typer.Context,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="What holds for this device, and why.")
    ] = "",
    slot: Annotated[
        str, typer.Option("--slot", metavar="SLOT", help="Only this slot of the device.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Show what is set in which layer; or what holds for a device, and where it comes from.

    \b
    Example:
      shoal config show
      shoal config show --device line-1
    """
    from cloud_sync.cli.output import Column, print_json, print_table, right

    if slot and not device:
        raise typer.BadParameter("--slot is of a device: it needs --device")
    with open_client(context) as client:
        if device:
            found = client.configuration.effective(device)
            _print_effective([s for s in found if not slot or s.slot == slot], as_json=as_json)
            return
        values = client.configuration.values()
    if as_json:
        print_json(values)
        return
    now = time.time()
    rows = [
        (
            f"{value.layer} {value.name}".rstrip(),
            value.slot or words.NOTHING,
            value.key,
            value.value,
            words.since(value.changed, now),
            value.changed_by,
        )
        for value in values
    ]
    columns = [
        Column("layer"),
        Column("slot"),
        Column("key"),
        Column("value", wraps=True),
        right("changed"),
        Column("by"),
    ]
    print_table(columns, rows, "nothing is set: modules and deployments say what holds")


def _layer(*, fleet: bool, group: str, device: str) -> "tuple[LayerKind, str]":
    if [fleet, bool(group), bool(device)].count(True) != 1:
        raise typer.BadParameter("expected one of --fleet, --group NAME and --device NAME")
    if fleet:
        return "fleet", ""
    return ("group", group) if group else ("device", device)


def _change(context: typer.Context, wish: "ConfigChange", reason: str, *, as_json: bool) -> None:
    from cloud_sync.cli.output import print_json, print_line

    with open_client(context) as client:
        result = client.configuration.change(wish, reason=reason)
    if as_json:
        print_json(result)
        return
    changes = "would change" if wish.dry_run else "changes"
    devices = sorted(result.revisions)
    named = ", ".join(devices) if len(devices) <= 5 else words.plural(len(devices), "device")
    text = f"the configuration of {named or 'no device'} {changes}"
    if result.unchanged:
        text += f"; {words.plural(result.unchanged, 'other')} keep theirs"
    print_line(text)


def _print_effective(settings: "list[EffectiveSetting]", *, as_json: bool) -> None:
    from cloud_sync.cli.output import Column, print_json, print_table

    if as_json:
        print_json(settings)
        return
    rows = [
        (
            setting.slot or words.NOTHING,
            setting.key,
            setting.value,
            setting.origin,
            "; ".join(f"{o.value} ({o.origin})" for o in setting.overridden) or words.NOTHING,
        )
        for setting in settings
    ]
    columns = [
        Column("slot"),
        Column("key"),
        Column("value", wraps=True),
        Column("from"),
        Column("instead of", wraps=True),
    ]
    print_table(columns, rows, "nothing runs there, and nothing is set")
