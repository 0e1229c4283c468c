"""`shoal rollout list`, `status`, `history`, `policy`: what is known of rollouts, at one look."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Limit
from cloud_sync.cli.rollout_watch import Id
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_sync.cli.output import Row
    from cloud_sync.client import ShoalClient
    from cloud_sync.rollout_resources import AssignmentSummary, RolloutEvent, RolloutSummary

DeviceFilter = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="Only of this device.")
]


def list_rollouts(
    context: typer.Context,
    module: Annotated[
        str, typer.Option("--module", metavar="GLOB", help="Only of these modules.")
    ] = "",
    active: Annotated[
        bool, typer.Option("--active", help="Only those that have not ended.")
    ] = False,
    limit: Limit = 20,
    as_json: JsonFlag = False,
) -> None:
    """List rollouts, the newest first.

    \b
    Example:
      shoal rollout list --active
    """
    from cloud_sync.cli.output import Column, print_json, print_table, right
    from cloud_sync.cli.rollout_view import ENDED
    from cloud_sync.rollout_resources import RolloutState

    states = [state for state in RolloutState if state not in ENDED] if active else []
    with open_client(context) as client:
        found = list(client.rollouts.search(module=module, states=states, limit=limit))
    if as_json:
        print_json(found)
        return
    columns = [
        Column("id"), Column("module"), Column("state"), Column("stage"), right("run it"),
        right("devices"), Column("asked by"), Column("when"), Column("to", wraps=True),
    ]  # fmt: skip
    now = time.time()
    empty = "no rollouts yet: shoal rollout start MODULE --to TARGET"
    print_table(columns, [_line(rollout, now) for rollout in found], empty)


def status(
    context: typer.Context,
    rollout: Id,
    devices: Annotated[
        bool, typer.Option("--devices", help="Show where each device stands, too.")
    ] = False,
    stage: Annotated[
        int, typer.Option("--stage", min=0, help="With --devices: of this stage, from 1; 0: all.")
    ] = 0,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="With --devices: only in it. Repeatable."),
    ] = None,
    limit: Limit = 100,
    as_json: JsonFlag = False,
) -> None:
    """Show how far a rollout is: stages, verdicts with their evidence, why it stopped.

    With --devices and --json the devices are printed, without --devices the rollout.

    \b
    Example:
      shoal rollout status r17
      shoal rollout status r17 --devices --stage 2 --state failed --state rolled_back
    """
    from cloud_sync.cli.output import print_json, print_line
    from cloud_sync.cli.rollout_view import print_rollout

    is_narrowed = bool(stage or state)
    if is_narrowed and not devices:
        raise typer.BadParameter("--stage and --state choose devices: they need --devices")
    with open_client(context) as client:
        detail = client.rollouts.show(rollout)
        stages = len(detail.summary.stages)
        if stage > stages:
            raise typer.BadParameter(
                f"--stage expected one of the {words.plural(stages, 'stage')}, found {stage}"
            )
        found = _assignments(client, rollout, stage, state or [], limit) if devices else []
    if as_json:
        print_json(found if devices else detail)
        return
    now = time.time()
    print_rollout(detail, now)
    if devices:
        print_line("")
        _print_assignments(found, now)
        if len(found) == limit:
            print_line(f"the first {limit}: --limit shows more, --stage and --state choose")


def history(
    context: typer.Context,
    rollout: Id,
    device: DeviceFilter = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every device's transitions, too.")
    ] = False,
    limit: Limit = 200,
    as_json: JsonFlag = False,
) -> None:
    """Show what happened in a rollout, the oldest first: who did what, why, on what evidence.

    Without --device and --all only what concerns the rollout and its stages.

    \b
    Example:
      shoal rollout history r17
      shoal rollout history r17 --device line-3
    """
    from cloud_sync.cli.output import Column, print_json, print_line, print_table

    with open_client(context) as client:
        found = list(
            client.rollouts.events(
                rollout, device=device, overview=not (device or everything), limit=limit
            )
        )
    if as_json:
        print_json(found)
        return
    rows: list[Row] = [row for event in found for row in _told(event)]
    columns = [Column("time"), Column("what happened", wraps=True)]
    print_table(columns, rows, "nothing happened yet")
    if len(found) == limit:
        print_line(f"the first {limit}: --limit shows more")


def policy(as_json: JsonFlag = False) -> None:
    """Print a policy with every key, its default and what it means, to begin a file with.

    \b
    Example:
      shoal rollout policy > careful.toml
    """
    import sys

    from cloud_sync.cli.output import print_json
    from cloud_sync.cli.rollout_policy import TEMPLATE
    from cloud_sync.rollout_policy import Policy

    if as_json:
        print_json(Policy())
        return
    sys.stdout.write(TEMPLATE)


def _told(event: "RolloutEvent") -> "Iterator[Row]":
    """A transition, and below it what it rests on, if that says more."""
    from cloud_sync.cli.output import Cell
    from cloud_sync.cli.rollout_view import event_line

    yield (words.clock(event.time), event_line(event))
    for key, value in event.evidence.items():
        if value not in (event.reason, event.after):
            yield ("", Cell(f"  {words.spaced(key)}: {words.short(value)}", "dim"))


def _line(rollout: "RolloutSummary", now: float) -> "Row":
    from cloud_sync.cli.rollout_tally import tally_all
    from cloud_sync.cli.rollout_view import focus, name_of, state_cell

    found = focus(rollout.stages)
    running = tally_all(rollout.stages).running
    return (
        rollout.id,
        name_of(rollout),
        state_cell(rollout.state),
        # A number alone does not say whether so many have passed, or one of them is under way.
        f"{found.number + 1}/{len(rollout.stages)} {words.spaced(found.state)}"
        if found
        else words.NOTHING,
        words.count(running),
        words.count(rollout.cohort),
        rollout.created_by,
        words.since(rollout.created, now),
        rollout.to,
    )


def _assignments(
    client: "ShoalClient", rollout: str, stage: int, states: list[str], limit: int
) -> "list[AssignmentSummary]":
    from cloud_sync.rollout_resources import AssignmentState

    known = {state.value: state for state in AssignmentState}
    wanted = [state.replace(" ", "_").replace("-", "_") for state in states]
    for state in wanted:
        if state not in known:
            raise typer.BadParameter(f"--state expected one of {', '.join(known)}; found {state!r}")
    found = client.rollouts.assignments(
        rollout,
        stage=stage - 1 if stage else None,
        states=[known[state] for state in wanted],
        limit=limit,
    )
    return list(found)


def _print_assignments(found: "list[AssignmentSummary]", now: float) -> None:
    from cloud_sync.cli.output import Column, print_table, right
    from cloud_sync.cli.rollout_view import assignment_cell
    from cloud_sync.cli.waiting import wait_text

    columns = [
        Column("device"), right("stage"), Column("version"), Column("before"), Column("state"),
        Column("for"), Column("next"), right("tries"), Column("why", wraps=True),
    ]  # fmt: skip
    rows: list[Row] = [
        (
            each.device,
            words.NOTHING if each.stage is None else str(each.stage + 1),
            f"{each.module}/{each.version}" if each.version else each.module,
            str(each.previous_version) if each.previous_version else "nothing",
            assignment_cell(each.state),
            words.duration(max(0.0, now - each.since)) if each.since else words.NOTHING,
            _next(each, now),
            str(each.attempts),
            wait_text(each.waiting, now) if each.waiting else each.reason or words.NOTHING,
        )
        for each in found
    ]
    print_table(columns, rows, "no devices match")


def _next(each: "AssignmentSummary", now: float) -> str:
    """What its time is running to."""
    if each.next_retry is not None:
        return f"retry {words.until(each.next_retry - now)}"
    if each.deadline is not None:
        return f"late {words.until(each.deadline - now)}"
    return words.NOTHING
