"""The numbers of a device's slots, drawn: where time goes, batches, memory, what was left out.

No table is wider than 100 characters, with slot names of up to 24.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from cloud_sync.cli import words
from cloud_sync.cli.output import Cell, Column, Row, print_line, print_table, right
from cloud_sync.resources import DeviceDetail
from edge_agent.contract.messages import SlotHealth, Timing
from edge_agent.contract.providers import short_name

_TIMES: Final = (
    Column("p50/p99 ms"),
    right("queue"),
    right("decode"),
    right("run"),
    right("encode"),
    right("total"),
    right("age"),
)
_LOAD: Final = (
    Column("slot"),
    right("in"),
    right("out"),
    right("failed"),
    right("dropped"),
    right("waiting"),
    right("batch"),
    right("memory"),
    right("restarts"),
    Column("runs on"),
)


def print_numbers(detail: DeviceDetail) -> None:
    """Print the figures of the last health report, if there was one."""
    slots = detail.health.slots if detail.health is not None else {}
    if not slots:
        print_line("no figures yet: they come with the next health report")
        return
    ordered = dict(sorted(slots.items()))
    print_table(_LOAD, [_load(name, slot) for name, slot in ordered.items()], "")
    print_line("")
    print_table(_TIMES, [_times(name, slot) for name, slot in ordered.items()], "")
    for line in _remarks(ordered):
        print_line(line)


def _load(name: str, slot: SlotHealth) -> Row:
    failed, dropped = sum(slot.failed.values()), sum(slot.dropped.values())
    providers = ", ".join(map(short_name, slot.runs_on)) or words.NOTHING
    return (
        name,
        words.count(slot.messages_in),
        words.count(slot.messages_out),
        Cell(words.count(failed), "red" if failed else ""),
        Cell(words.count(dropped), "yellow" if dropped else ""),
        words.count(slot.waiting),
        _batch(slot),
        f"{slot.memory_mb:.0f} MB" if slot.memory_mb else words.NOTHING,
        Cell(words.count(slot.restarts), "yellow" if slot.restarts else ""),
        f"{providers} x{slot.threads}" if slot.threads else providers,
    )


def _batch(slot: SlotHealth) -> str:
    """Mean and largest number of rows of a run."""
    if not slot.batches.runs:
        return words.NOTHING
    return f"{slot.batches.rows / slot.batches.runs:.1f}/{slot.batches.largest}"


def _times(name: str, slot: SlotHealth) -> Row:
    stages = (slot.queue, slot.decode, slot.run, slot.encode, slot.total, slot.age)
    return (name, *map(_timing, stages))


def _timing(timing: Timing) -> str:
    if not timing.count and not timing.max_ms:
        return words.NOTHING
    return f"{words.milliseconds(timing.p50_ms)}/{words.milliseconds(timing.p99_ms)}"


def _remarks(slots: Mapping[str, SlotHealth]) -> Iterator[str]:
    """What a figure alone does not say: reasons, and what is not as it was asked for."""
    for name, slot in slots.items():
        kinds = (("failed", slot.failed), ("dropped", slot.dropped), ("crashes", slot.crashes))
        for what, counts in kinds:
            if counts:
                told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
                yield f"{name}: {what}: {told}"
        for note in slot.notes:
            yield f"{name}: {note}"
        if slot.error or slot.last_crash:
            yield f"{name}: {slot.error or f'last crash: {slot.last_crash}'}"
