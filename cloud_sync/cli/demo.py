"""`shoal demo`: the whole of Shoal on one machine, in a minute."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

PLAIN_WIDTH: Final = 110
"""Columns where the output is no terminal: nobody's window wraps a log file."""


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Run the story and exit: 0 if all went well, else 1.")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=1, max=5000, help="Sensor rows a second, over all devices.")
    ] = 1000,
    rows: Annotated[
        int, typer.Option(min=0, help="How many held-out rows to replay; 0 for all of them.")
    ] = 0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with settings, states and logs.")
    ] = False,
) -> None:
    """Watch three devices score real sensor rows with a model trained minutes ago.

    Starts the service with its broker and three device agents on this machine, trains and
    publishes a model, deploys it, replays held-out rows over MQTT, and deploys a second version
    while rows keep coming. Then a third version, which is subtly wrong, goes to a simulated fleet
    in stages, is caught in the first one and taken back.

    Example: shoal demo --once --rate 500
    """
    # Loaded here: no other command needs any of it.
    from rich.console import Console

    from cloud_sync.client import ShoalClient
    from cloud_sync.demo.afterwards import stay
    from cloud_sync.demo.programs import Programs
    from cloud_sync.demo.screen import Screen
    from cloud_sync.demo.shuttle import ShuttleModule
    from cloud_sync.demo.story import Story

    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    screen = Screen(console)
    folder = Path(tempfile.mkdtemp(prefix="shoal-demo-"))
    went_well = False
    try:
        module = ShuttleModule(folder)
        with Programs(folder / "logs") as programs:
            story = Story(screen, folder, programs, module, rows=rows, rate_per_s=rate)
            service = story.start_fleet()
            versions = story.train()
            with ShoalClient(service.url, actor="demo") as client:
                story.deploy(client, story.publish(client, versions[0]))
                went_well = story.replay(client, service, versions)
                went_well = went_well and story.mislead(client, versions[1])
            if went_well and not once:
                stay(screen, story, service, programs, module.name)
    except KeyboardInterrupt:
        console.print("\nInterrupted: stopping everything.")
        raise typer.Exit(130) from None
    finally:
        if keep or not went_well:
            console.print(f"Settings, states and logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not went_well:
        raise typer.Exit(1)
