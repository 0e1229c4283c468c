"""How the state of devices and slots is drawn, the same wherever it is shown.

A terminal of 80 characters has no room for everything in one line: there a slot takes two, and
errors a table of their own. No value is cut.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from rich.console import Group

from cloud_sync.cli import words
from cloud_sync.cli.output import (
    Cell,
    Column,
    Row,
    print_line,
    print_table,
    right,
    table,
    table_width,
    terminal_columns,
)
from cloud_sync.resources import DeviceSummary, SlotSummary

EMPTY = "no devices yet: an agent becomes known when it first connects"

_WIDE = (
    Column("device"),
    Column("presence"),
    Column("slot"),
    Column("version"),
    Column("phase"),
    right("messages"),
    right("rate"),
    right("p50/p99 ms"),
    right("errors"),
)
_NARROW = (
    Column("device"),
    Column("slot"),
    Column("version"),
    Column("phase"),
    right("messages"),
    right("p50/p99 ms"),
    right("errors"),
)
_ERROR = Column("last error", wraps=True)

_PRESENCE = {"online": "green", "offline": "red", "unknown": "yellow"}
_PHASE = {"active": "green", "failed": "red", "rejected": "red", "rolled_back": "red"}


class Sheet(Struct, frozen=True):
    """A table that is not drawn yet."""

    columns: Sequence[Column]
    rows: Sequence[Row]

    def fits(self, width: int | None) -> bool:
        """Whether no value is cut in a line of so many characters; None is a line without end."""
        return width is None or table_width(self.columns, self.rows) <= width


def presence_cell(presence: str, age: str = "") -> Cell:
    """A device's presence in its colour, with the age of its last sign of life if given."""
    return Cell(f"{presence}, {age}" if age else presence, _PRESENCE.get(presence, ""))


def phase_cell(phase: str, shadows: str = "") -> Cell:
    """A slot's phase in its colour; what is on its way is yellow, and a shadow says so."""
    text = phase.replace("_", " ") or words.NOTHING
    return Cell(f"{text}, shadow" if shadows else text, _PHASE.get(phase, "yellow"))


def status_view(devices: Sequence[DeviceSummary]) -> Group:
    """The fleet, for a live display."""
    return Group(
        *(table(sheet.columns, sheet.rows) for sheet in sheets(devices, terminal_columns()))
    )


def nothing_shown(known: int) -> str:
    """What is said instead of a table that would have no device in it.

    Args:
        known: how many devices there are, whether or not they were asked for.
    """
    return f"none of {words.plural(known, 'device')} matches" if known else EMPTY


def print_status(devices: Sequence[DeviceSummary], empty: str = EMPTY) -> None:
    """Print the fleet.

    Args:
        devices: to show.
        empty: what is said if there is none.
    """
    for number, sheet in enumerate(sheets(devices, terminal_columns())):
        if number:
            print_line("")
        print_table(sheet.columns, sheet.rows, empty)


def sheets(devices: Sequence[DeviceSummary], width: int | None) -> tuple[Sheet, ...]:
    """The fleet as one table, or as two narrow ones.

    Args:
        devices: to show.
        width: characters in a line, or None if lines have no end.
    """
    errors = tuple(_errors(devices))
    # The widest column is left out where it would be empty.
    columns = (*_WIDE, _ERROR) if errors else _WIDE
    wide = Sheet(columns, [row[: len(columns)] for row in _wide_rows(devices)])
    if wide.fits(width):
        return (wide,)
    narrow = Sheet(_NARROW, list(_narrow_rows(devices)))
    if not errors:
        return (narrow,)
    return (narrow, Sheet((Column("device"), Column("slot"), _ERROR), errors))


def _wide_rows(devices: Sequence[DeviceSummary]) -> Iterator[Row]:
    for device in devices:
        start: tuple[str, Cell] = (device.device, presence_cell(device.presence, _age(device)))
        if not device.slots:
            yield (*start, *[words.NOTHING] * (len(_WIDE) - 1))
        for name, slot in sorted(device.slots.items()):
            yield (*start, *_slot(name, slot, device.presence), _error(slot))
            start = ("", Cell(""))


def _narrow_rows(devices: Sequence[DeviceSummary]) -> Iterator[Row]:
    """Two lines for each slot; below a device's first are its presence and the age of that."""
    for device in devices:
        name, below = device.device, (presence_cell(device.presence), _age(device))
        if not device.slots:
            yield (name, *[words.NOTHING] * (len(_NARROW) - 1))
            yield (*below, *[""] * (len(_NARROW) - 2))
        for slot_name, slot in sorted(device.slots.items()):
            *first, rate, latency, failed = _slot(slot_name, slot, device.presence)
            yield (name, *first, latency, failed)
            yield (*below, "", "", rate, "", "")
            name, below = "", (Cell(""), "")


def _errors(devices: Sequence[DeviceSummary]) -> Iterator[Row]:
    for device in devices:
        for name, slot in sorted(device.slots.items()):
            if slot.error:
                yield (device.device, name, _error(slot))


def _age(device: DeviceSummary) -> str:
    return "never seen" if device.age_s is None else words.age(device.age_s)


def _slot(name: str, slot: SlotSummary, presence: str) -> Row:
    # Figures of a silent device are history: they are dimmed, their age stands beside.
    figures = "" if presence == "online" else "dim"
    is_settled = slot.running_version == slot.wanted_version
    return (
        name,
        Cell(versions(name, slot), "" if is_settled else "yellow"),
        phase_cell(slot.phase, slot.shadows),
        Cell(words.count(slot.messages_in), figures),
        Cell(words.rate(slot.messages_per_s), figures),
        Cell(f"{words.milliseconds(slot.p50_ms)}/{words.milliseconds(slot.p99_ms)}", figures),
        Cell(words.count(slot.failed), "red" if slot.failed else figures),
    )


def _error(slot: SlotSummary) -> Cell:
    return Cell(slot.error or words.NOTHING, "red" if slot.error else "")


def versions(slot_name: str, slot: SlotSummary) -> str:
    """`module/wanted -> running`; the module is left out where the slot has its name."""
    module = "" if slot.module == slot_name else f"{slot.module}/"
    wanted = f"{module}{slot.wanted_version}" if slot.wanted_version else "nothing"
    running = str(slot.running_version) if slot.running_version else "nothing"
    return f"{wanted} -> {running}"
