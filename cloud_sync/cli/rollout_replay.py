"""`shoal rollout replay`: what other policies would have made of a recorded rollout."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli.options import JsonFlag
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.client import ShoalClient
    from cloud_sync.rollout_policy import Policy
    from cloud_sync.rollout_resources import RolloutDetail
    from cloud_sync.simulator.replay import Replayed


def replay(
    context: typer.Context,
    rollout: Annotated[str, typer.Argument(metavar="ROLLOUT", help="As r17.")],
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            "--policy", metavar="FILE", help="A policy to try. May be repeated.", exists=True
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Play a recorded rollout again under other policies, and compare.

    The planner and its verdicts are the service's own; what a device does is what it did, and for
    one that was never asked, what another one did. Nothing is sent to any device.

    \b
    Example:
      shoal rollout policy > careful.toml
      shoal rollout replay r17 --policy careful.toml --policy fast.toml
    """
    from cloud_sync.cli.output import print_json
    from cloud_sync.simulator.past import past_of
    from cloud_sync.simulator.replay import replay as play

    with open_client(context) as client:
        detail = client.rollouts.show(rollout)
        number = detail.summary.id
        past = past_of(
            detail,
            list(client.rollouts.assignments(number)),
            client.rollouts.events(number),
            sites=_sites(client, detail.policy.site_tag),
            away=_away(client, detail),
        )
    found = {name: play(past, tried) for name, tried in _policies(detail, policy or ())}
    if as_json:
        print_json(found)
    else:
        _show(found)


def _policies(detail: "RolloutDetail", files: Sequence[Path]) -> "list[tuple[str, Policy]]":
    from cloud_sync.cli.rollout_policy import read_policy

    found = [("as recorded", detail.policy)]
    found.extend((path.name, read_policy(path.read_text(), str(path))) for path in files)
    return found


def _sites(client: "ShoalClient", tag: str) -> dict[str, str]:
    return {d.device: d.tags[tag] for d in client.devices.search() if tag in d.tags}


def _away(
    client: "ShoalClient", detail: "RolloutDetail"
) -> dict[str, tuple[tuple[float, float], ...]]:
    """When devices were not connected while the rollout ran: the last thousand such events."""
    from cloud_sync.simulator.past import away_of

    started = detail.summary.started or detail.summary.created
    events = [
        event
        for name in ("offline", "online")
        for event in client.telemetry.events(name=name, since=started, limit=1_000)
    ]
    moments = sorted((event.time, event.device, event.name) for event in events)
    return away_of(moments, started, detail.summary.ended)


def _show(found: "dict[str, Replayed]") -> None:
    from cloud_sync.cli import words
    from cloud_sync.cli.output import Column, clean, print_table, right

    columns = (
        Column("policy"),
        Column("ends"),
        right("after"),
        right("stages"),
        right("asked"),
        right("answered"),
        right("failed"),
        right("at once"),
        Column("why", wraps=True),
    )
    rows = [
        (
            name,
            one.state.value,
            words.duration(one.seconds),
            f"{one.stages_passed} of {one.stages}",
            f"{one.offered} of {one.devices}",
            words.count(one.answered),
            words.count(one.failed),
            words.count(one.most_in_flight),
            one.reason,
        )
        for name, one in found.items()
    ]
    print_table(columns, rows, "no policy")
    for name, one in found.items():
        if one.unmeasured:
            gates = ", ".join(one.unmeasured)
            typer.echo(f"{clean(name)}: never measured in this rollout, counted as passed: {gates}")
