"""`shoal fleet ...`: all devices at one glance."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli.options import JsonFlag, TagFilter, pairs
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_sync.errors import Unavailable
    from cloud_sync.resources import DeviceSummary

app = typer.Typer(help="See the whole fleet.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def status(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="GLOB", help="Only these devices.")] = "",
    tag: TagFilter = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep looking until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.2, metavar="SECONDS", help="How often to look.")
    ] = 2.0,
    as_json: JsonFlag = False,
) -> None:
    """Show devices, presence with its age, and what each slot should run and does run.

    A version is shown as wanted -> running. With --watch and --json one line of JSON is printed
    for every look. A service that goes away while it is watched is waited for, and said to be away.

    \b
    Example:
      shoal fleet status --watch --tag site=hall-2
    """
    from cloud_sync.cli.output import print_json
    from cloud_sync.cli.status import print_status

    tags = pairs(tag, "--tag")
    with open_client(context) as client:

        def look() -> "list[DeviceSummary]":
            return client.devices.search(name=name, tags=tags)

        if watch:
            _watch(look, every, as_json=as_json)
        elif as_json:
            print_json(look())
        else:
            print_status(look())


def _watch(look: "Callable[[], list[DeviceSummary]]", every_s: float, *, as_json: bool) -> None:
    """Look again and again; a service that goes away is waited for."""
    from cloud_sync.cli.failure import warn
    from cloud_sync.cli.output import print_json_line
    from cloud_sync.cli.status import print_status
    from cloud_sync.cli.watch import look_again

    if sys.stdout.isatty() and not as_json:
        _watch_live(look, every_s)
        return

    def say(error: "Unavailable", wait_s: float) -> None:
        warn(f"lost the service, trying again in {wait_s:g} s: {error.text}", as_json=as_json)

    for devices in look_again(look, every_s, on_lost=say):
        if as_json:
            print_json_line(devices)
        else:
            print_status(devices)
            sys.stdout.write("\n")
            sys.stdout.flush()


def _watch_live(look: "Callable[[], list[DeviceSummary]]", every_s: float) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from cloud_sync.cli import words
    from cloud_sync.cli.output import clean, console
    from cloud_sync.cli.status import EMPTY, status_view
    from cloud_sync.cli.watch import look_again

    def show(note: Text) -> None:
        body = status_view(devices) if devices else Text(EMPTY)
        live.update(Group(body, Text(), note), refresh=True)

    def say(error: "Unavailable", wait_s: float) -> None:
        # Old figures must not look current: say how old they are.
        age = words.since(looked, time.time())
        text = f"lost the service, trying again in {wait_s:g} s: {error.text}; "
        show(Text(clean(f"{text}the figures are from {age}"), style="red"))

    looks = look_again(look, every_s, on_lost=say)
    # Before the screen changes: a first look that fails leaves no trace on it.
    devices, looked = next(looks), time.time()
    with Live(console=console(), auto_refresh=False, screen=True) as live:
        while True:
            show(Text(f"{words.plural(len(devices), 'device')}, Ctrl-C ends", style="dim"))
            devices, looked = next(looks), time.time()
