"""`shoal rollout ...`: a version goes to a fleet in stages, each judged by what the version did."""

from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import rollout_orders, rollout_records
from cloud_sync.cli.options import JsonFlag, Target
from cloud_sync.cli.placement import Placement
from cloud_sync.cli.rollout_back import rollback
from cloud_sync.cli.rollout_options import Asked
from cloud_sync.cli.rollout_replay import replay
from cloud_sync.cli.rollout_watch import EVERY_S, follow, watch
from cloud_sync.cli.session import open_client
from cloud_sync.cli.spread import spread

if TYPE_CHECKING:
    from cloud_sync.client import ShoalClient
    from cloud_sync.rollout_resources import RolloutDetail, RolloutPlan

app = typer.Typer(
    help="Send a version to a fleet in stages, and take it back if it does worse.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command()(replay)

Module = Annotated[
    str, typer.Argument(metavar="[MODULE[/VERSION]]", help="The newest if no version.")
]


@app.command()
@spread
def plan(
    context: typer.Context,
    *,
    to: Target,
    module: Module = "",
    placed: Placement,
    asked: Asked,
    as_json: JsonFlag = False,
) -> None:
    """Say what a rollout would do, and do nothing.

    Shows the devices and their stages, which devices cannot take it and why, which are wanted by
    another rollout, the bytes to be sent and the expected time. Devices come in an order of
    chance; the seed repeats it, so that the rollout can have exactly these stages.

    \b
    Example:
      shoal rollout plan wine/3 --to "site=oslo and not tag:lab" --stages 1,10%,100% --soak 24h
      shoal rollout plan --per-device model-for-{device} --slot model --to all
    """
    from cloud_sync.cli.output import print_json
    from cloud_sync.cli.rollout_plan import print_plan

    wish = asked.wish(module, to, placed)
    with open_client(context) as client:
        found = client.rollouts.plan(wish)
    if as_json:
        print_json(found)
        return
    print_plan(found, to, asked.arguments(module, to, placed, found.seed))


@app.command()
@spread
def start(
    context: typer.Context,
    *,
    module: Annotated[
        str,
        typer.Argument(
            metavar="[MODULE[/VERSION]|ROLLOUT]", help="What goes out; without --to, a draft's id."
        ),
    ] = "",
    to: Target = "",
    placed: Placement,
    asked: Asked,
    draft: Annotated[
        bool, typer.Option("--draft", help="Keep it, and offer nothing until it is started.")
    ] = False,
    if_clear: Annotated[
        bool,
        typer.Option("--if-clear", help="Not if a device cannot take it or another wants it."),
    ] = False,
    watch_it: Annotated[
        bool, typer.Option("--watch", "-w", help="Watch it, as `shoal rollout watch` does.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send a version to devices in stages.

    Without options: 1 device, 1 %, 10 %, 50 %, all; the first two stages as a shadow first; each
    stage runs for 30 minutes and answers 200 messages, then it is judged. One that fails stops
    the rollout. `shoal rollout policy` prints everything that can be chosen.

    Devices that cannot take it and those that another rollout wants are named before it begins.
    With --shadow it only runs beside a slot and is compared with it, as `shoal deploy --shadow`.

    \b
    Example:
      shoal rollout start wine/3 --to site=oslo --reason "better recall" --watch
      shoal rollout start wine/3 --to all --stages 1,10%,100% --soak 24h --on-error rollback
      shoal rollout start r17
    """
    if module and not to:
        if draft or if_clear or (placed, asked) != (Placement(), Asked(reason=asked.reason)):
            raise typer.BadParameter(
                f"without --to, {module} is the id of a draft, which keeps what it was asked "
                "with: expected --reason, --watch and --json at most"
            )
        with open_client(context) as client:
            detail = client.rollouts.order(module, "start", reason=asked.reason)
            _show(client, detail, watch_it=watch_it, as_json=as_json)
        return
    if not to:
        raise typer.BadParameter("expected --to TARGET, or the id of a draft")
    wish = asked.wish(module, to, placed)
    with open_client(context) as client:
        _warn(client.rollouts.plan(wish), if_clear=if_clear, as_json=as_json)
        detail = client.rollouts.create(wish, start=not draft)
        _show(client, detail, watch_it=watch_it, as_json=as_json)


def _show(client: "ShoalClient", detail: "RolloutDetail", *, watch_it: bool, as_json: bool) -> None:
    """Say where it stands, and follow it from there on if that is wanted."""
    from cloud_sync.cli.output import print_json

    if as_json and not watch_it:
        print_json(detail)
    elif not as_json:
        rollout_orders.print_state(detail)
    if watch_it:
        follow(client, detail.summary.id, EVERY_S, as_json=as_json)


def _warn(found: "RolloutPlan", *, if_clear: bool, as_json: bool) -> None:
    """Say which devices stand in the way.

    Raises:
        Conflict: there are some, and it was to begin only if there are none.
    """
    from cloud_sync.cli.failure import warn
    from cloud_sync.cli.rollout_plan import obstacles_text
    from cloud_sync.errors import Conflict

    said = []
    if found.unfit:
        said.append(obstacles_text(found.unfit, "left out, cannot take it"))
    if found.conflicts:
        said.append(obstacles_text(found.conflicts, "in conflict with what is there"))
    if said and if_clear:
        raise Conflict(
            f"expected a clear way, found {'; '.join(said)}",
            hint="`shoal rollout plan` shows all of them; without --if-clear it begins",
            code="not_clear",
        )
    for text in said:
        warn(text, as_json=as_json)


app.command("list")(rollout_records.list_rollouts)
app.command("status")(rollout_records.status)
app.command("watch")(watch)
app.command("history")(rollout_records.history)
for action, text in rollout_orders.ORDERS.items():
    app.command(action, help=text)(rollout_orders.order(action))
app.command()(rollback)
app.command("policy")(rollout_records.policy)
