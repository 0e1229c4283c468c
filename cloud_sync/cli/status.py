"""How the state of devices and slots is drawn: one table, the same wherever it is shown."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from cloud_sync.cli import words
from cloud_sync.cli.output import Cell, Column, Row, print_table, right, table
from cloud_sync.resources import DeviceSummary, SlotSummary

EMPTY = "no devices yet: an agent becomes known when it first connects"

_COLUMNS = (
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
_ERROR = Column("last error", wraps=True)

_PRESENCE = {"online": "green", "offline": "red", "unknown": "yellow"}
_PHASE = {"active": "green", "failed": "red", "rejected": "red", "rolled_back": "red"}


def presence_cell(presence: str, age_s: float | None = None) -> Cell:
    """A device's presence in its colour, with the age of its last sign of life if given."""
    text = presence if age_s is None else f"{presence}, {words.age(age_s)}"
    return Cell(text, _PRESENCE.get(presence, ""))


def phase_cell(phase: str) -> Cell:
    """A slot's phase in its colour; what is on its way is yellow."""
    return Cell(phase.replace("_", " ") or words.NOTHING, _PHASE.get(phase, "yellow"))


def status_table(devices: Sequence[DeviceSummary]) -> Table:
    """The fleet as a table, for a live display."""
    return table(_columns(devices), list(_rows(devices)))


def print_status(devices: Sequence[DeviceSummary]) -> None:
    """Print the fleet."""
    print_table(_columns(devices), list(_rows(devices)), EMPTY)


def _has_errors(devices: Sequence[DeviceSummary]) -> bool:
    return any(slot.error for device in devices for slot in device.slots.values())


def _columns(devices: Sequence[DeviceSummary]) -> Sequence[Column]:
    # The widest column is left out where it would be empty: a terminal has 80 characters.
    return (*_COLUMNS, _ERROR) if _has_errors(devices) else _COLUMNS


def _rows(devices: Sequence[DeviceSummary]) -> Iterator[Row]:
    with_error = _has_errors(devices)
    for device in devices:
        start = (device.device, presence_cell(device.presence, device.age_s))
        if device.age_s is None:
            start = (device.device, presence_cell(f"{device.presence}, never seen"))
        if not device.slots:
            yield (*start, *[words.NOTHING] * (len(_columns(devices)) - 2))
        for name, slot in sorted(device.slots.items()):
            # Figures of a silent device are history: they are dimmed, their age stands beside.
            cells = _slot(name, slot, "" if device.presence == "online" else "dim")
            yield (*start, name, *cells, *([_error(slot)] if with_error else []))
            start = ("", Cell(""))


def _slot(name: str, slot: SlotSummary, figures: str) -> Row:
    is_settled = slot.running_version == slot.wanted_version
    return (
        Cell(versions(name, slot), "" if is_settled else "yellow"),
        phase_cell(slot.phase),
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
