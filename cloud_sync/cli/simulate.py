"""`shoal fleet simulate`: thousands of light devices in one process, on a real broker."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cloud_sync.cli.options import JsonFlag
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cloud_sync.broker.session import Address
    from cloud_sync.client import ShoalClient
    from cloud_sync.simulator.behaviour import Behaviour
    from cloud_sync.simulator.tally import FleetNumbers

LOOK_S: Final = 1.0


def simulate(
    context: typer.Context,
    devices: Annotated[
        int, typer.Option("--devices", "-n", min=1, max=100_000, help="How many.")
    ] = 100,
    seconds: Annotated[
        float, typer.Option(min=0, help="How long; 0: until Ctrl-C.", metavar="SECONDS")
    ] = 0.0,
    name: Annotated[str, typer.Option(help="First part of the devices' names.")] = "sim",
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 1,
    sites: Annotated[
        int, typer.Option(min=0, help="Tag devices with so many sites; 0: no tags.")
    ] = 0,
    flaw: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'MODULE/VERSION KIND=NUMBER ...'",
            help="What is wrong with a version: wrong, errors, late, rejects, rolls_back, hangs, "
            "relapses (shares), memory (times), psi. May be repeated; the first that fits counts.",
        ),
    ] = None,
    messages_per_s: Annotated[
        float, typer.Option("--messages", min=0, help="Messages a second to each slot.")
    ] = 10.0,
    health_interval: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Between two health reports.")
    ] = 30.0,
    fetch: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="A download, on average.")
    ] = 2.0,
    trial: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="A trial, on average.")
    ] = 5.0,
    fails: Annotated[
        float, typer.Option(min=0, max=1, help="Devices that fail at first and try again.")
    ] = 0.0,
    slow: Annotated[
        float, typer.Option(min=0, max=1, help="Devices that take ten times as long.")
    ] = 0.0,
    away: Annotated[
        float, typer.Option(min=0, max=0.95, help="Share of its time that a device is away.")
    ] = 0.0,
    away_for: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long, on average.")
    ] = 60.0,
    broker: Annotated[
        str, typer.Option(metavar="URL", help="The service's broker, if not as it says itself.")
    ] = "",
    connects_per_s: Annotated[
        float, typer.Option(min=1, max=10_000, help="New connections a second.")
    ] = 500.0,
    as_json: JsonFlag = False,
) -> None:
    """Simulate a fleet: real messages over the real broker, no models.

    Devices connect, report, take what is deployed to them and count what it did. What each one
    does depends only on the seed, its name and the version, so that a run can be repeated.

    \b
    Example:
      shoal fleet simulate --devices 1000 --sites 5 --flaw 'shuttle/3 wrong=0.3'
      shoal fleet simulate -n 200 --away 0.1 --fails 0.05 --seconds 600 --json
    """
    import asyncio

    from cloud_sync.broker.session import parse_url
    from cloud_sync.cli.output import print_json
    from cloud_sync.errors import ContractError
    from cloud_sync.simulator.behaviour import Behaviour
    from cloud_sync.simulator.flaws import parse_flaw
    from cloud_sync.simulator.inventory import names, tags_of

    behaviour = Behaviour(
        seed=seed,
        fetch_s=fetch,
        trial_s=trial,
        messages_per_s=messages_per_s,
        health_interval_s=health_interval,
        fails=fails,
        slow=slow,
        away=away,
        away_s=away_for,
        flaws=tuple(map(parse_flaw, flaw or ())),
    )
    fleet = names(name, devices)
    with open_client(context) as client:
        address = parse_url(broker or client.telemetry.info().broker_url)
        tags = {device: tags_of(seed, device, sites) for device in fleet} if sites else {}
        show = _silent if as_json else _shown()
        last = asyncio.run(
            _run(client, address, fleet, behaviour, tags, seconds, connects_per_s, show)
        )
    if as_json:
        print_json(last)
    elif last.complaints:
        raise ContractError(
            f"the service said what the contract does not allow: {last.complaints[0]}",
            hint="both sides may be of different versions",
        )


async def _run(
    client: "ShoalClient",
    address: "Address",
    fleet: "Sequence[str]",
    behaviour: "Behaviour",
    tags: "Mapping[str, Mapping[str, str]]",
    seconds: float,
    connects_per_s: float,
    show: "Callable[[FleetNumbers], None]",
) -> "FleetNumbers":
    """Simulate until the time is over or somebody ends it; what was seen last."""
    import asyncio
    import signal
    from importlib.metadata import version

    from cloud_sync.simulator.fleet import SimulatedFleet
    from cloud_sync.simulator.profiles import Profiles
    from cloud_sync.simulator.tagging import tag_fleet
    from edge_agent.contract.state import AgentInfo

    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    agent = AgentInfo(version=version("shoal"), onnxruntime=version("onnxruntime"))
    ends = loop.time() + seconds if seconds else float("inf")
    profiles = Profiles()
    running = SimulatedFleet(
        address, fleet, behaviour, agent, profiles=profiles, connects_per_s=connects_per_s
    )
    async with running:
        tagging = asyncio.create_task(asyncio.to_thread(tag_fleet, client, tags, ended.is_set))
        reading = asyncio.create_task(asyncio.to_thread(profiles.read, client, ended.is_set))
        try:
            while not ended.is_set() and (left_s := ends - loop.time()) > 0:
                running.check()
                show(running.numbers())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), min(left_s, LOOK_S))
        finally:
            ended.set()  # else the threads of the two go on
        await tagging
        await reading
    return running.numbers()


def _silent(_numbers: "FleetNumbers") -> None:
    """For whoever wants JSON."""


def _shown() -> "Callable[[FleetNumbers], None]":
    """One line a look: drawn over the last one on a terminal, in a pipe only when it changes."""
    from cloud_sync.cli.output import clean

    is_terminal = sys.stdout.isatty()
    before = ""

    def show(numbers: "FleetNumbers") -> None:
        nonlocal before
        running = ", ".join(f"{what}: {count:,}" for what, count in numbers.versions.items())
        state = f"{numbers.connected:,} of {numbers.devices:,} connected; {running or 'no slots'}"
        if is_terminal:
            line = f"{numbers.seconds:6.0f} s  {state}; {numbers.messages:,} messages"
            sys.stdout.write(f"\r\x1b[K{clean(line)}")
        elif state != before:
            sys.stdout.write(f"{numbers.seconds:.0f} s: {clean(state)}\n")
        sys.stdout.flush()
        before = state

    return show
