"""How shadows are drawn: each beside the slot that it shadows, in lines of at most 100 characters.

Figures are those of the last health report; how old it is stands below them.
"""

from collections.abc import Iterator
from typing import Final

from cloud_sync.cli import words
from cloud_sync.cli.output import Cell, Column, Row, print_line, print_table, right
from cloud_sync.resources import DeviceSummary, SlotSummary
from edge_agent.contract.messages import ShadowHealth

DIFFERENT_PSI: Final = 0.25
ALIKE_PSI: Final = 0.1

_COMPARED: Final = (
    Column("shadow"),
    Column("of"),
    right("seen"),
    right("left out"),
    right("agree"),
    right("one failed"),
    right("max diff"),
    right("psi"),
    right("cpu"),
)
_BESIDE: Final = (
    Column("slot"),
    Column("version"),
    Column("role"),
    right("messages"),
    right("failed"),
    right("p50/p99 ms"),
    right("memory"),
    right("restarts"),
)


def print_shadows(device: DeviceSummary, *, interval_s: float | None, now: float) -> None:
    """Print how every shadow compares, and its own figures beside those of its slot.

    Args:
        interval_s: seconds between two health reports of the device; None if it sent none yet.
        now: seconds since 1970.
    """
    shadows = {name: slot for name, slot in sorted(device.slots.items()) if slot.shadows}
    rows = [_compared(name, slot) for name, slot in shadows.items()]
    print_table(_COMPARED, rows, f"{device.device} has no shadow: shoal deploy MODULE --shadow")
    if not shadows:
        return
    print_line("")
    print_table(_BESIDE, list(_beside(device, shadows)), "")
    for name, slot in shadows.items():
        if slot.shadow is None:
            print_line(f"{name}: {_nothing_yet(slot, interval_s, now)}")
        for reason in _left_out(slot.shadow):
            print_line(f"{name}: {reason}")
        for note in slot.notes:
            print_line(f"{name}: {note}")
    if device.presence != "online":
        print_line(f"{device.device} is {device.presence}: last seen {words.age(device.age_s)}")


def psi_cell(psi: float | None) -> Cell:
    """The index in the colour that it is usually read in."""
    if psi is None:
        return Cell(words.NOTHING)
    style = "green" if psi < ALIKE_PSI else "yellow" if psi < DIFFERENT_PSI else "red"
    return Cell(f"{psi:.3f}", style)


def agreement_cell(shadow: ShadowHealth) -> Cell:
    """The share of compared messages on which both agree."""
    if not shadow.seen:
        return Cell(words.NOTHING)
    share = shadow.agreed / shadow.seen
    # 100.0 % is kept for all of them.
    text = "100.0 %" if shadow.agreed == shadow.seen else f"{min(share * 100, 99.9):.1f} %"
    return Cell(text, "green" if shadow.agreed == shadow.seen else "yellow")


def _compared(name: str, slot: SlotSummary) -> Row:
    shadow = slot.shadow
    if shadow is None:
        return (name, slot.shadows, *[words.NOTHING] * (len(_COMPARED) - 2))
    return (
        name,
        f"{slot.shadows}/{shadow.version}" if shadow.version else slot.shadows,
        words.count(shadow.seen),
        words.count(sum(shadow.shed.values())),
        agreement_cell(shadow),
        Cell(words.count(shadow.failed), "red" if shadow.failed else ""),
        f"{shadow.max_difference:.3g}",
        psi_cell(shadow.psi),
        f"{shadow.cpu_share * 100:.1f} %",
    )


def _beside(device: DeviceSummary, shadows: dict[str, SlotSummary]) -> Iterator[Row]:
    for name, slot in shadows.items():
        live = device.slots.get(slot.shadows)
        if live is not None:
            yield _figures(slot.shadows, live, "answers")
        yield _figures(name, slot, "shadow")


def _figures(name: str, slot: SlotSummary, role: str) -> Row:
    return (
        name,
        f"{slot.module}/{slot.running_version}" if slot.running_version else "nothing",
        role,
        words.count(slot.messages_in),
        Cell(words.count(slot.failed), "red" if slot.failed else ""),
        f"{words.milliseconds(slot.p50_ms)}/{words.milliseconds(slot.p99_ms)}",
        f"{slot.memory_mb:.0f} MB" if slot.memory_mb else words.NOTHING,
        words.count(slot.restarts),
    )


def _nothing_yet(slot: SlotSummary, interval_s: float | None, now: float) -> str:
    """Why a shadow has no figures, and when it will."""
    stands = f"{slot.phase.replace('_', ' ')} " if slot.phase else "not reported yet "
    stands += f"for {words.duration(now - slot.since)}" if slot.since else ""
    every = f", every {interval_s:g} s" if interval_s else ""
    return f"no figures yet, {stands.strip()}; they come with the next health report{every}"


def _left_out(shadow: ShadowHealth | None) -> Iterator[str]:
    if shadow is None:
        return
    for reason, count in sorted(shadow.shed.items()):
        yield f"{words.plural(count, 'message')} left out: {_REASONS.get(reason, reason)}"


_REASONS: Final = {
    "full": "it had no processor time left for them",
    "too_large": "they are larger than a datagram",
    "window": "its window held other rows",
    "run_timeout": "its run took too long, at the lowest priority",
    "reply_refused": "they were refused for the topic that they wanted their answer on",
    "no_common_output": "the two versions have no output of the same name",
    "overloaded": "the slot refused them because too many waited",
    "overload": "the slot dropped them for newer ones because too many waited",
    "superseded": "the slot dropped them for a newer one of the same topic",
    "deadline": "they waited in the slot for longer than its deadline",
    "expired": "they expired before the slot came to them",
    "poison": "they had ended process after process, so the slot refused them",
}
