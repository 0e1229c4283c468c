"""`shoal deploy` and `shoal remove`: what devices should run."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Reason, SlotName, Target
from cloud_sync.cli.placement import Placement
from cloud_sync.cli.session import open_client
from cloud_sync.cli.spread import spread

if TYPE_CHECKING:
    from cloud_sync.client import ShoalClient
    from cloud_sync.client.arrival import Arrival
    from cloud_sync.resources import DeploymentResult


@spread
def deploy(
    context: typer.Context,
    *,
    module: Annotated[
        str, typer.Argument(metavar="MODULE[/VERSION]", help="The newest if no version.")
    ],
    to: Target,
    placed: Placement,
    reason: Reason = "",
    wait: Annotated[
        float,
        typer.Option(
            "--wait", min=0, metavar="SECONDS", help="Wait until every device runs it; else fail."
        ),
    ] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Put a module on devices.

    Without --wait it returns as soon as the wish is stored: devices that are away get it when
    they are back. With --wait it exits with 1 unless every device runs exactly this module
    after its trial, and says which do not and why.

    It is a rollout of one stage, to all of them at once: `shoal rollout status` and `rollback`
    take the id that it prints. `shoal rollout start` goes in stages, and judges each.

    With --shadow it gets the messages of a slot that runs there, after they were answered, and
    publishes nothing: `shoal device shadows` shows how the two compare. Take it away with
    `shoal remove`, or deploy it without --shadow when it is to answer.

    \b
    Example:
      shoal deploy shuttle-anomaly/2 --to site=hall-2 --wait 60 --reason "better recall"
      shoal deploy shuttle-anomaly/3 --to line-1 --shadow
    """
    from cloud_sync.cli.output import print_json, print_line
    from cloud_sync.client.versions import parse_ref

    name, version = parse_ref("module", module)
    slot, shadows = placed.named_slot(), placed.shadows(name)
    with open_client(context) as client:
        result = client.deployments.deploy(
            name,
            to,
            version=version,
            slot=slot,
            shadows=shadows,
            config=placed.config(),
            reason=reason,
        )
        if not as_json:
            print_line(_summary(f"{result.module}/{result.version} wanted", result))
        arrivals = _wait(client, result, wait) if wait else ()
    if as_json:
        print_json(result)
    if arrivals:
        _report(arrivals, result.slot, quiet=as_json)


def remove(
    context: typer.Context,
    slot: SlotName,
    to: Target,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Take a slot off devices: its worker is stopped, and nothing runs there any more.

    \b
    Example:
      shoal remove shuttle-anomaly --to line-1
    """
    from cloud_sync.cli.output import print_done

    with open_client(context) as client:
        result = client.deployments.remove(slot, to, reason=reason)
    print_done(result, _removed(result), as_json=as_json)


def _removed(result: "DeploymentResult") -> str:
    """One line about a removal."""
    text = f"slot {result.slot} is removed from {_names(sorted(result.revisions))}"
    if result.unchanged:
        text += f"; {_names(sorted(result.unchanged))} did not have it"
    return text


def _summary(what: str, result: "DeploymentResult") -> str:
    """One line about a deployment; names are given where they can still be read."""
    text = f"{what} in slot {result.slot} on {_names(sorted(result.revisions))}"
    if result.unchanged:
        text += f"; {_names(sorted(result.unchanged))} wanted that already"
    for other, devices in _replaced_shadows(result).items():
        text += f"; the shadow {other} is replaced on {_names(sorted(devices))}"
    if result.rollout:
        text += f"; it is rollout {result.rollout}"
    return text


def _replaced_shadows(result: "DeploymentResult") -> dict[str, list[str]]:
    """The shadows whose place it takes, `module/version`, to the devices where they were."""
    found: dict[str, list[str]] = {}
    for device, old in result.replaced.items():
        if old.shadows:
            found.setdefault(f"{old.module}/{old.version}", []).append(device)
    return found


def _names(devices: list[str]) -> str:
    if not devices:
        return "no device"
    if len(devices) <= 5:
        return ", ".join(devices)
    return words.plural(len(devices), "device")


def _wait(
    client: "ShoalClient", result: "DeploymentResult", timeout_s: float
) -> "tuple[Arrival, ...]":
    if not sys.stderr.isatty():
        return client.deployments.wait(result, timeout_s)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from cloud_sync.cli.output import clean, console

    total = len(result.revisions) + len(result.unchanged)
    with Progress(
        TextColumn("waiting for devices"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console(to_stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)

        def show(arrivals: "tuple[Arrival, ...]") -> None:
            pending = [a for a in arrivals if a.state == "waiting"]
            first = f"{pending[0].device}: {pending[0].text}" if pending else ""
            bar.update(task, completed=total - len(pending), description=clean(first)[:80])

        return client.deployments.wait(result, timeout_s, show)


def _report(arrivals: "tuple[Arrival, ...]", slot: str, *, quiet: bool) -> None:
    """Say where the devices stand.

    Raises:
        ShoalError: not every device runs what was wanted.
    """
    from cloud_sync.cli.output import print_line
    from cloud_sync.errors import Unavailable

    late = [arrival for arrival in arrivals if arrival.state != "running"]
    if not late:
        if not quiet:
            print_line(f"running on {_names([arrival.device for arrival in arrivals])}")
        return
    lines = "\n".join(f"  {arrival.device}: {arrival.text}" for arrival in late[:20])
    more = f"\n  and {len(late) - 20} more" if len(late) > 20 else ""
    raise Unavailable(
        f"{words.plural(len(late), 'device')} of {len(arrivals)} expected to run it, found:\n"
        f"{lines}{more}",
        hint=f"`shoal device explain {late[0].device} {slot}` says more",
        code="not_running",
    )
