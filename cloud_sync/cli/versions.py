"""Which version runs on which devices, and how old each of these values is.

The counterpart of `status`: a line for every version of a slot instead of one for every device.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from rich.console import Group

from cloud_sync.cli import words
from cloud_sync.cli.output import Cell, Column, Row, print_table, right, table, terminal_columns
from cloud_sync.cli.status import Sheet
from cloud_sync.resources import DeviceSummary

NAMED: Final = 6
"""Devices of a version that are named; the JSON has all of them."""

LEAST_NAMES: Final = 24
"""Characters below which a list of names says too little to be worth its column."""


class VersionLine(Struct, frozen=True, kw_only=True):
    """One version in one slot, over all devices.

    Attributes:
        module, version: empty and 0 for devices that run nothing in a slot where they should.
        running: device to the age of this value in seconds: since the device last said so.
        wanted: devices that should run it.
        silent: devices of `running` that are not online: what they run now nobody knows.
    """

    slot: str
    module: str
    version: int
    running: dict[str, float | None]
    wanted: tuple[str, ...]
    silent: tuple[str, ...]


def version_lines(devices: Iterable[DeviceSummary]) -> list[VersionLine]:
    """Count the fleet by version: slots by name, in each the newest version first."""
    found: dict[tuple[str, str, int], tuple[dict[str, float | None], list[str], list[str]]] = {}
    for device in devices:
        for name, slot in device.slots.items():
            module = slot.module if slot.running_version else ""
            running, _, silent = found.setdefault(
                (name, module, slot.running_version), ({}, [], [])
            )
            running[device.device] = slot.running_age_s
            if device.presence != "online":
                silent.append(device.device)
            if slot.wanted_version:
                key = (name, slot.module, slot.wanted_version)
                found.setdefault(key, ({}, [], []))[1].append(device.device)
    return [
        VersionLine(
            slot=slot,
            module=module,
            version=version,
            running=running,
            wanted=tuple(wanted),
            silent=tuple(silent),
        )
        for (slot, module, version), (running, wanted, silent) in sorted(
            found.items(), key=lambda item: (item[0][0], -item[0][2], item[0][1])
        )
    ]


def versions_sheet(lines: Sequence[VersionLine], width: int | None) -> Sheet:
    """A line for every version.

    Args:
        lines: of `version_lines`.
        width: characters in a line, or None if lines have no end.
    """
    columns = (
        Column("slot"), Column("version"), right("run it"), right("should"), right("silent"),
        right("newest"), right("oldest"), Column("devices, oldest value first", wraps=True),
    )  # fmt: skip
    sheet = Sheet(columns, [_row(line) for line in lines])
    bare = Sheet(columns[:-1], [row[:-1] for row in sheet.rows])
    return sheet if bare.fits(None if width is None else width - LEAST_NAMES) else bare


def print_versions(lines: Sequence[VersionLine], empty: str) -> None:
    """Print the versions, or `empty` if there are none."""
    sheet = versions_sheet(lines, terminal_columns())
    print_table(sheet.columns, sheet.rows, empty)


def versions_view(lines: Sequence[VersionLine]) -> Group:
    """The versions, for a live display."""
    sheet = versions_sheet(lines, terminal_columns())
    return Group(table(sheet.columns, sheet.rows))


def _row(line: VersionLine) -> Row:
    ages = [age for age in line.running.values() if age is not None]
    stray = len(set(line.running) - set(line.wanted))
    return (
        line.slot,
        f"{line.module}/{line.version}" if line.version else "nothing",
        Cell(words.count(len(line.running)), "yellow" if stray else ""),
        words.count(len(line.wanted)),
        Cell(words.count(len(line.silent)), "yellow") if line.silent else words.NOTHING,
        words.age(min(ages)) if ages else words.NOTHING,
        words.age(max(ages)) if ages else words.NOTHING,
        _names(line),
    )


def _names(line: VersionLine) -> str:
    """The first devices, each with the age of its value."""
    oldest = sorted(
        line.running.items(), key=lambda item: (item[1] is not None, -(item[1] or 0.0), item[0])
    )
    named = [f"{device} ({words.age(age)})" for device, age in oldest[:NAMED]]
    more = len(oldest) - NAMED
    text = ", ".join(named) or words.NOTHING
    return f"{text} and {words.count(more)} more" if more > 0 else text
