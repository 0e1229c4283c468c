"""The agent's status as lines of at most 100 characters. Pure; `--json` has every figure in full.

Where a table would be wider, names are cut in their middle; from a million on, counts are rounded.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from edge_agent.contract.messages import ShadowHealth, SlotHealth, Timing
from edge_agent.contract.providers import short_name
from edge_agent.contract.state import UNSETTLED
from edge_agent.daemon.clock_watch import shown
from edge_agent.daemon.status import AgentStatus, SlotStatus
from edge_agent.store.clock import ClockState

COLUMNS: Final = 100
MOST_NAME: Final = 16
MOST_ERROR: Final = 240
"""Characters that a slot's error has here; `explain` has all of it."""
NOTHING: Final = "-"

_SLOTS: Final = (
    "SLOT", "VERSION", "PHASE", "WORKER", "IN", "OUT", "FAILED", "DROPPED", "WAIT", "MEMORY",
)  # fmt: skip
_TIMES: Final = (
    "P50/P99 MS", "QUEUE", "DECODE", "RUN", "ENCODE", "TOTAL", "AGE", "ROWS/RUN",
)  # fmt: skip


def status_lines(status: AgentStatus) -> Iterator[str]:
    """What a person is shown."""
    yield from _agent(status)
    if not status.slots:
        yield "slots     none"
        return
    yield ""
    rows = (_slot(name, slot, status.is_held(name)) for name, slot in status.slots.items())
    yield from _table([_SLOTS, *rows])
    workers = {name: slot.worker for name, slot in status.slots.items() if slot.worker is not None}
    if workers:
        yield ""
        yield from _table([_TIMES, *(_times(name, worker) for name, worker in workers.items())])
    remarks = [*_failures(status)]
    remarks += [
        line
        for name, worker in workers.items()
        for text in _remarks(name, worker)
        for line in textwrap.wrap(f"{name}: {text}", COLUMNS, subsequent_indent="  ")
    ]
    remarks += [
        f"{name}: waits {span(wait_s)}, so that a fleet does not ask at once"
        for name, wait_s in _turns(status).items()
    ]
    remarks += _downloads(status)
    remarks += _locks(status)
    if remarks:
        yield ""
        yield from remarks


def worker_state(worker: SlotHealth) -> str:
    """How a worker does, in a word or two."""
    is_offline = worker.state == "running" and not worker.connected
    return "no broker" if is_offline else worker.state


def span(seconds: float) -> str:
    """A duration as people read it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _agent(status: AgentStatus) -> Iterator[str]:
    cloud = "connected" if status.cloud.is_connected else "not connected"
    reason = status.cloud.conflict or status.cloud.error
    yield f"device    {status.device}, agent {status.version}, process {status.pid}"
    yield f"up        {span(status.uptime_s)}"
    yield f"cloud     {status.cloud.broker} {cloud}{': ' + reason if reason else ''}"
    yield f"revision  {status.revision_applied} applied, {status.revision_seen} wanted"
    yield f"outbox    {_outbox(status)}"
    usable = ", ".join(map(short_name, status.hardware.providers))
    yield f"runs on   {usable or 'not known yet'}"
    for name, why in status.hardware.unusable.items():
        yield f"          not {short_name(name)}: {why}"
    low = ", low: nothing is downloaded or captured until there is more" if status.disk_low else ""
    yield f"disk      {status.disk_free_mb:.0f} MB free{low}"
    if status.http is not None:
        place = status.http.url or f"not listening: {status.http.error or 'starting'}"
        yield f"http      {place}"
    yield f"clock     {clock_text(status.clock)}"


def _outbox(status: AgentStatus) -> str:
    """What waits, and what was dropped of which class and why."""
    dropped = [
        f"{count} {name} ({reason})"
        for name, found in status.outbox.items()
        for reason, count in found.dropped.items()
    ]
    total = ", ".join(dropped) or str(status.outbox_dropped)
    again = f", {status.outbox_resent} sent again" if status.outbox_resent else ""
    return f"{status.outbox_rows} rows wait{again}, dropped: {total}"


def clock_text(clock: ClockState) -> str:
    """How the machine's clock does."""
    text = "synchronized" if clock.is_synced else "not synchronized"
    if clock.is_behind:
        text += f"; it shows {shown(clock.system)}, taken for {shown(clock.floor)}"
    if clock.steps:
        text += f"; set {_count(clock.steps, 'time')}, the last time by {clock.stepped_s:+.0f} s"
    return text


def _turns(status: AgentStatus) -> dict[str, float]:
    """Slots that have not begun with a new version yet, and for how many seconds more."""
    return {
        name: max(0.0, slot.state.next_retry - status.time)
        for name, slot in status.slots.items()
        if slot.state.is_waiting_its_turn and slot.state.next_retry is not None
    }


def _downloads(status: AgentStatus) -> Iterator[str]:
    """What is being fetched, and how much of it is here."""
    for name, slot in status.slots.items():
        if slot.progress is None:
            continue
        here, total = slot.progress.bytes_here, slot.progress.bytes_total
        percent = 100 * here // total if total else 100
        text = f"{percent} %, {here / 1e6:.1f} of {total / 1e6:.1f} MB"
        yield f"{name}: version {slot.state.wanted_version} is being fetched: {text}"


def _locks(status: AgentStatus) -> Iterator[str]:
    """Slots that a program on this device has locked, and what it puts off."""
    for name, slot in status.slots.items():
        state = slot.state
        if state.locked_until is None:
            continue
        text = f"{name}: locked for {span(max(0.0, state.locked_until - status.time))}"
        if state.is_put_off and state.error is not None and state.next_retry is not None:
            goes_on = span(max(0.0, state.next_retry - status.time))
            text += f"; an update waits for at most {goes_on}: {state.error.text}"
        yield from textwrap.wrap(text, COLUMNS, subsequent_indent="  ")


def _failures(status: AgentStatus) -> Iterator[str]:
    """Slots whose wanted version did not get there: why, what follows, and where to read more."""
    for name, slot in status.slots.items():
        state = slot.state
        if state.phase not in UNSETTLED or state.error is None:
            continue
        error = textwrap.shorten(state.error.text, MOST_ERROR, placeholder=" ...")
        due = ""
        if state.next_retry is not None:
            due = f"; next try in {span(max(0.0, state.next_retry - status.time))}"
        text = f"{name}: {state.error.code}: {error}{due}"
        yield from textwrap.wrap(text, COLUMNS, subsequent_indent="  ")
        yield f"  what to do: edge-agent explain {name}"  # to be copied, so never broken


def _slot(name: str, slot: SlotStatus, is_held: bool) -> tuple[str, ...]:
    state, worker = slot.state, slot.worker
    figures: tuple[str, ...] = (NOTHING,) * 7
    if worker is not None:
        figures = (
            worker_state(worker),
            _number(worker.messages_in),
            _number(worker.messages_out),
            _number(sum(worker.failed.values())),
            _number(sum(worker.dropped.values())),
            _number(worker.waiting),
            _memory(worker.memory_mb),
        )
    runs, wanted = state.running_version or NOTHING, state.wanted_version or NOTHING
    version = str(runs) if runs == wanted else f"{wanted} -> {runs}"
    phase = "waits" if is_held or state.is_put_off else state.phase.value.replace("_", " ")
    return (name, version, phase, *figures)


def _times(name: str, worker: SlotHealth) -> tuple[str, ...]:
    stages = (worker.queue, worker.decode, worker.run, worker.encode, worker.total, worker.age)
    batches = worker.batches
    rows = f"{batches.rows / batches.runs:.1f}, <= {batches.largest}" if batches.runs else NOTHING
    return (name, *map(_timing, stages), rows)


def _timing(timing: Timing) -> str:
    if not timing.count and not timing.max_ms:
        return NOTHING
    return f"{_ms(timing.p50_ms)}/{_ms(timing.p99_ms)}"


def _ms(value: float) -> str:
    """Two to three digits: 0.42, 7.1, 120."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _remarks(name: str, worker: SlotHealth) -> Iterator[str]:
    """What no column has room for, one sentence each."""
    if worker.module != name:
        yield f"module {worker.module}"
    if worker.runs_on:
        threads = f", {_count(worker.threads, 'thread')}" if worker.threads else ""
        yield f"runs on {', '.join(map(short_name, worker.runs_on))}{threads}"
    if worker.error and worker.state == "running":  # of one that ended, its crashes tell
        yield worker.error
    if worker.failed:
        yield f"failed: {_reasons(worker.failed)}"
    if worker.dropped:
        yield f"dropped: {_reasons(worker.dropped)}"
    if worker.restarts or worker.crashes:
        crashes = f"; ended by itself: {_reasons(worker.crashes)}" if worker.crashes else ""
        last = f"; last: {worker.last_crash}" if worker.last_crash else ""
        yield f"started again {_count(worker.restarts, 'time')}{crashes}{last}"
    if worker.shadow is not None:
        yield from _shadow(worker.shadow)
    yield from worker.notes


def _shadow(shadow: ShadowHealth) -> Iterator[str]:
    of = f"{shadow.of} (version {shadow.version})" if shadow.version else shadow.of
    if not shadow.seen:
        yield f"shadows {of}; has compared nothing yet"
    else:
        psi = "not known yet" if shadow.psi is None else f"{shadow.psi:.3f}"
        yield (
            f"shadows {of}; agrees on {shadow.agreed} of {_count(shadow.seen, 'message')}, one of "
            f"both failed on {shadow.failed}, largest difference {shadow.max_difference:.3g}, "
            f"PSI {psi}, {shadow.cpu_share:.1%} of a core"
        )
    if shadow.shed:
        yield f"left out: {_reasons(shadow.shed)}"


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(name: str) -> str:
    if len(name) <= MOST_NAME:
        return name
    half = (MOST_NAME - 2) // 2
    return f"{name[:half]}..{name[-half:]}"


def _number(count: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def _memory(size_mb: float) -> str:
    return f"{size_mb:.0f} MB" if size_mb < 10_000 else f"{size_mb / 1024:.0f} GB"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Aligned columns: names to the left, figures to the right."""
    columns = range(len(rows[0]))
    widths = [max(len(row[column]) for row in rows) for column in columns]
    if sum(widths) + 2 * (len(widths) - 1) > COLUMNS:
        rows = [(_short(row[0]), *row[1:]) for row in rows]
        widths[0] = max(len(row[0]) for row in rows)
    figures = [
        column > 0 and all(row[column][:1].isdigit() or row[column] == NOTHING for row in rows[1:])
        for column in columns
    ]
    for row in rows:
        cells = (
            cell.rjust(width) if is_figure else cell.ljust(width)
            for cell, width, is_figure in zip(row, widths, figures, strict=True)
        )
        yield "  ".join(cells).rstrip()
