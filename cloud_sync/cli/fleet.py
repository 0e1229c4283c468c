"""`shoal fleet ...`: all devices at one glance."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from cloud_sync.cli.options import JsonFlag, TagFilter, pairs
from cloud_sync.cli.session import open_client
from cloud_sync.cli.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Group

    from cloud_sync.errors import Unavailable
    from cloud_sync.resources import DeviceSummary

    Look = Callable[[], tuple[list[DeviceSummary], str]]


class Form(Struct, frozen=True):
    """How the fleet is shown.

    Attributes:
        show: prints devices, or the sentence for a fleet without any.
        draw: the same for a live display.
        plain: what is printed as JSON.
    """

    show: "Callable[[Sequence[DeviceSummary], str], None]"
    draw: "Callable[[Sequence[DeviceSummary]], Group]"
    plain: "Callable[[Sequence[DeviceSummary]], object]"


app = typer.Typer(
    help="See the whole fleet, or simulate one.", no_args_is_help=True, rich_markup_mode=None
)
app.command()(simulate)


@app.command()
def status(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="GLOB", help="Only these devices.")] = "",
    tag: TagFilter = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="Show which version runs where, by version.")
    ] = False,
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

    With --versions there is a line for every version of a slot: how many devices run it and how
    many should, how many of these are silent, and how old the values are: since the device last
    said that this version runs.

    \b
    Example:
      shoal fleet status --watch --tag site=hall-2
      shoal fleet status --versions
    """
    from cloud_sync.cli.deafness import warn_if_deaf
    from cloud_sync.cli.output import print_json
    from cloud_sync.cli.status import nothing_shown

    form = _by_version() if versions else _by_device()
    tags = pairs(tag, "--tag")
    with open_client(context) as client:

        def look() -> "tuple[list[DeviceSummary], str]":
            """The devices, and what is said where there is none."""
            found = client.devices.search(name=name, tags=tags)
            known = len(client.devices.search()) if not found and (name or tags) else len(found)
            return found, nothing_shown(known)

        if watch:
            _watch(look, every, form, as_json=as_json)
            return
        found, empty = look()
        if as_json:
            print_json(form.plain(found))
        else:
            form.show(found, empty)
        warn_if_deaf(client, (device.presence for device in found), as_json=as_json)


def _by_device() -> Form:
    from cloud_sync.cli.status import print_status, status_view

    return Form(print_status, status_view, lambda devices: devices)


def _by_version() -> Form:
    from cloud_sync.cli.versions import print_versions, version_lines, versions_view

    return Form(
        lambda devices, empty: print_versions(version_lines(devices), empty),
        lambda devices: versions_view(version_lines(devices)),
        version_lines,
    )


def _watch(look: "Look", every_s: float, form: Form, *, as_json: bool) -> None:
    """Look again and again; a service that goes away is waited for."""
    from cloud_sync.cli.failure import warn
    from cloud_sync.cli.output import print_json_line
    from cloud_sync.cli.watch import look_again

    if sys.stdout.isatty() and not as_json:
        _watch_live(look, every_s, form)
        return

    def say(error: "Unavailable", wait_s: float) -> None:
        warn(f"lost the service, trying again in {wait_s:g} s: {error.text}", as_json=as_json)

    for devices, empty in look_again(look, every_s, on_lost=say):
        if as_json:
            print_json_line(form.plain(devices))
        else:
            form.show(devices, empty)
            sys.stdout.write("\n")
            sys.stdout.flush()


def _watch_live(look: "Look", every_s: float, form: Form) -> None:
    from rich.text import Text

    from cloud_sync.cli import words
    from cloud_sync.cli.live import watch_live

    watch_live(
        look,
        every_s,
        lambda seen: form.draw(seen[0]) if seen[0] else Text(seen[1]),
        lambda seen: f"{words.plural(len(seen[0]), 'device')}, Ctrl-C ends",
    )
