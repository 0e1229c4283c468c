"""What the demo shows: acts, steps with progress, the live table of devices, the summary."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cloud_sync.demo.score import Confusion, DeviceTally, Verdict, quantile

Report = Callable[[str, float | None], None]
"""`report(step, fraction)`: what a long step is doing, and how far it is (0 to 1, None unknown)."""


class Screen:
    """The demo's output on one console; plain lines when it is not a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def act(self, number: int, title: str) -> None:
        """Begin an act."""
        self.console.print()
        self.console.rule(f"[bold]Act {number}: {title}", align="left", style="cyan")

    def fact(self, label: str, value: str) -> None:
        """One line: a label and what was found or done."""
        row = Table.grid(padding=(0, 1))
        row.add_column(width=3, justify="right", style="green")
        row.add_column(width=11, style="bold")
        row.add_column(overflow="fold")
        row.add_row("✓", label, value)
        self.console.print(row)

    def command(self, line: str, what: str) -> None:
        """A command to try. Never wrapped by us, so that it can be copied as it is."""
        self.console.print(f"  # {what}", style="bright_black", highlight=False)
        self.console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)

    def verdict(self, went_well: bool, text: str) -> None:
        """A closing line: what it comes to."""
        row = Table.grid(padding=(0, 1))
        row.add_column(width=3, justify="right", style="bold green" if went_well else "bold red")
        row.add_column()
        row.add_row("✓" if went_well else "✗", text)
        self.console.print(row)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Report]:
        """A long step with a bar; use the yielded function to report how far it is."""
        progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with progress:
            task = progress.add_task(title, total=None)

            def report(step: str, fraction: float | None = None) -> None:
                total = None if fraction is None else 1.0
                progress.update(
                    task,
                    description=f"{title}: {step}" if step else title,
                    total=total,
                    completed=fraction or 0.0,
                )

            yield report

    @contextlib.contextmanager
    def live(self) -> Iterator[Callable[[RenderableType], None]]:
        """A region that is drawn again in place; use the yielded function to change it."""
        if not self.console.is_terminal:
            yield lambda _: None
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            yield lambda content: live.update(content, refresh=True)

    def show(self, content: RenderableType) -> None:
        """Print a table or a paragraph."""
        self.console.print(Padding(content, (0, 2)))


def device_table(
    devices: dict[str, DeviceTally],
    *,
    wanted: dict[str, int],
    phases: dict[str, str],
    rates: dict[str, float] | None,
) -> Table:
    """Devices, versions, rates, latencies, and the anomalies that they found and missed.

    Without `rates` (rows a second) there is no such column.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("device", no_wrap=True)
    table.add_column("version", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    speed = ("rows/s",) if rates is not None else ()
    for title in ("rows", *speed, "p50 ms", "p99 ms", "found", "missed", "false"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, tally in sorted(devices.items()):
        recent = sorted(tally.recent_ms)
        table.add_row(
            name,
            _version(tally.version, wanted.get(name, 0)),
            phases.get(name, "-"),
            f"{tally.answers:,}",
            *((f"{rates.get(name, 0):,.0f}",) if rates is not None else ()),
            f"{quantile(recent, 0.5):.1f}" if recent else "-",
            f"{quantile(recent, 0.99):.1f}" if recent else "-",
            f"{tally.found:,}",
            f"{tally.missed:,}",
            f"{tally.false_alarms:,}",
        )
    return table


def _version(answering: int, wanted: int) -> Text:
    """What answers, and what should if that is something else."""
    if answering == wanted or not wanted:
        return Text(f"v{answering}" if answering else "-", style="green")
    return Text(f"v{answering or '-'} → v{wanted}", style="yellow")


def progress_line(done: int, total: int, elapsed_s: float, note: str) -> Text:
    """How far the replay is, under the live table."""
    share = done / total if total else 0.0
    filled = int(30 * share)
    return Text.assemble(
        "\n",
        ("━" * filled, "cyan"),
        ("━" * (30 - filled), "bright_black"),
        f" {done:,} of {total:,} rows, {elapsed_s:.0f} s",
        (f"   {note}" if note else "", "yellow"),
    )


def replay_view(table: Table, line: Text) -> Group:
    """The live region of the replay."""
    return Group(Padding(table, (1, 0, 0, 2)), Padding(line, (0, 0, 0, 2)))


def summary(verdict: Verdict, versions: dict[int, Confusion], seconds: float) -> Table:
    """The last table: each fact in a row of its own."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    answered_by = ", ".join(f"v{v}: {n:,}" for v, n in verdict.answered_by.items())
    table.add_row("rows sent", f"{verdict.sent:,}")
    table.add_row("answered", f"{verdict.answered:,}  ({answered_by})")
    table.add_row("lost", f"{verdict.lost:,}")
    table.add_row("answered twice", f"{verdict.duplicated:,}")
    table.add_row("errors", f"{verdict.errors:,}")
    table.add_row(
        "anomalies",
        f"{verdict.mqtt.found:,} found, {verdict.mqtt.missed:,} missed, "
        f"{verdict.mqtt.false_alarms:,} false alarms",
    )
    table.add_row("F1 over MQTT", f"{verdict.f1_mqtt:.6f}")
    table.add_row("F1 offline", f"{verdict.f1_offline:.6f}  (same rows, same versions)")
    for version, counts in versions.items():
        table.add_row(f"F1 of v{version} alone", f"{counts.f1:.6f}  (all rows, offline)")
    table.add_row(
        "latency", f"p50 {verdict.p50_ms:.2f} ms, p99 {verdict.p99_ms:.2f} ms, sensor to reader"
    )
    table.add_row("took", f"{seconds:.0f} s")
    return table
