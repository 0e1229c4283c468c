"""After the story: the fleet stays up, rows keep coming slowly, and there are commands to try."""

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cloud_sync.demo.programs import Programs, command
from cloud_sync.demo.screen import Screen
from cloud_sync.demo.story import Service, Story

RATE_PER_S: Final = 20.0


def stay(screen: Screen, story: Story, service: Service, programs: Programs, module: str) -> None:
    """Keep everything running and rows coming until Ctrl-C."""
    screen.console.print()
    screen.console.rule("[bold]Still running: try these", align="left", style="cyan")
    for line, what in _commands(service, module, story.settings):
        screen.command(line, what)
    screen.console.print(
        f"\n  {RATE_PER_S:g} rows a second keep coming. Ctrl-C ends everything.", style="bold"
    )
    programs.start("slow-sensor", story.sensor(service, count=0, rate_per_s=RATE_PER_S))
    try:
        while True:
            programs.check()
            time.sleep(1)
    except KeyboardInterrupt:
        screen.console.print("\n  Stopping everything.")


def _commands(
    service: Service, module: str, settings: Mapping[str, Path]
) -> Iterator[tuple[str, str]]:
    """Commands to try, and what each shows."""
    shoal = f"{_shown('shoal')} -s {service.url}"
    agent = _shown("edge-agent")
    device, config = next(iter(settings.items()))
    yield f"{shoal} fleet status --watch --name 'line-*'", "versions, rates and latencies, live"
    yield f"{shoal} fleet status --versions", "which version runs on how many devices"
    yield f"{shoal} rollout list", "the rollouts, and why the last one was taken back"
    yield f"{shoal} module list", "what is in the registry"
    yield f"{shoal} events", "what happened"
    yield f"{shoal} deploy {module}/1 --to {device} --wait 30", "one device back to version 1"
    yield f"{agent} status --config {config}", "what a device says of itself"
    yield f"{agent} explain {module} --config {config}", "why a slot is where it is"
    if shutil.which("mosquitto_sub") is not None:
        port = urlsplit(service.broker_url).port
        yield f"mosquitto_sub -p {port} -t 'data/+/results/#'", "the results as they come"


def _shown(name: str) -> str:
    """A program as a person in this folder would type it."""
    path = Path(command(name)[0])
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
