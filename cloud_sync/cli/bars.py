"""Progress bars on standard error, for a person who watches; nothing at all in a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cloud_sync.client.progress import Progress, Transfer, ignore

if TYPE_CHECKING:
    from rich.progress import TaskID

VERBS = {"hash": "reading", "upload": "sending", "download": "fetching"}


@contextmanager
def transfer_bars() -> Iterator[Progress]:
    """Hand out a callback that draws one bar for each file and step."""
    if not sys.stderr.isatty():
        yield ignore
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    from cloud_sync.cli.output import clean, console

    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console(to_stderr=True),
        transient=True,
    ) as bars:
        tasks: dict[tuple[str, str], TaskID] = {}

        def show(transfer: Transfer) -> None:
            key = (transfer.step, transfer.what)
            if key not in tasks:
                title = clean(f"{VERBS[transfer.step]} {transfer.what}")
                tasks[key] = bars.add_task(title, total=transfer.total)
            bars.update(tasks[key], completed=transfer.done, total=transfer.total)
            if transfer.done >= transfer.total:
                # A model of a thousand files must not leave a thousand bars.
                bars.remove_task(tasks.pop(key))

        yield show


@contextmanager
def step_line(what: str) -> Iterator[Callable[[str], None]]:
    """Hand out a callback for steps of unknown length; the current one is shown with its time."""
    if not sys.stderr.isatty():
        yield _say_nothing
        return
    from rich.progress import Progress as Bars
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    from cloud_sync.cli.output import clean, console

    with Bars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console(to_stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task(clean(what))
        yield lambda step: bars.update(task, description=clean(f"{what}: {step}"))


def _say_nothing(_: str) -> None:
    """For output that nobody watches."""
