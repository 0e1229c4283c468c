"""Why a slot of this device is where it is: from the running agent, or from the disk without one.

Pure. The words are those of `contract.explanation`, so that the cloud says the same.
"""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec import structs

from edge_agent.contract.explanation import Explanation, explain_slot
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.state import ReportedSlot
from edge_agent.daemon.local import AGENT_SILENT
from edge_agent.daemon.report import reported_slot
from edge_agent.daemon.status import AgentStatus
from edge_agent.daemon.status_text import COLUMNS, NOTHING, span
from edge_agent.errors import NotFound, StorageError, Unavailable
from edge_agent.store.contents import Contents
from edge_agent.store.remains import DATABASE_MISSING, Remains
from edge_agent.store.slots import SlotRecord

_DOUBLED: Final = (
    "Two agents use this device's name, and this one waits: give each its own agent.device and "
    "restart it."
)


class DeviceExplanation(Explanation, frozen=True, kw_only=True):
    """A slot, explained at its device.

    Attributes:
        device: its name.
        agent: whether the agent told all this; else the disk did, and what runs is not known
            where an agent runs that does not answer.
        cloud: the way to the cloud, in words.
        is_held: nothing happens to the slot until another agent of this name is gone.
    """

    device: str
    agent: Literal["answers", "does not answer", "does not run"]
    cloud: str
    is_held: bool = False


def explain_running(slot: str, status: AgentStatus) -> DeviceExplanation:
    """Explain a slot of a running agent.

    Raises:
        NotFound: it is neither wanted nor here.
    """
    found = status.slots.get(slot)
    if found is None:
        raise _unknown(slot, status.device, status.slots)
    cloud = "connected" if status.cloud.is_connected else "not connected"
    if status.cloud.conflict or status.cloud.error:
        cloud += f": {status.cloud.conflict or status.cloud.error}"
    is_held = status.is_held(slot)
    told = explain_slot(
        slot,
        found.state,
        now=status.time,
        health=found.worker,
        held=_DOUBLED if is_held else "",
    )
    if status.cloud.conflict and not is_held:
        told = structs.replace(told, advice=f"{_DOUBLED} {told.advice}")
    return DeviceExplanation(
        **structs.asdict(told),
        device=status.device,
        agent="answers",
        cloud=cloud,
        is_held=is_held,
    )


def explain_left(
    slot: str, device: str, remains: Remains, unavailable: Unavailable, now: float
) -> DeviceExplanation:
    """Explain a slot from what the agent left on the disk.

    Args:
        slot: its name.
        device: its name.
        remains: of the journal.
        unavailable: why the agent itself did not say it.
        now: seconds since 1970.

    Raises:
        NotFound: it is neither wanted nor here.
        Unavailable: the one given: no agent has ever written anything here.
        StorageError: what it has written cannot be read, nor its copy.
    """
    if not remains.source:
        if remains.code == DATABASE_MISSING:
            raise unavailable
        raise StorageError(
            f"{remains.problem}, and there is no sound copy of it; {unavailable.text}",
            hint=remains.hint,
            code=remains.code,
        )
    slots = stored_slots(remains.contents)
    if slot not in slots:
        raise _unknown(slot, device, slots)
    told = explain_slot(slot, slots[slot], now=now)
    advice = (
        f"{unavailable.text}: {unavailable.hint}. What was next when it last wrote: {told.advice}"
    )
    if remains.problem:
        advice = f"{remains.problem}: {remains.hint}. {advice}"
    is_silent = unavailable.code == AGENT_SILENT
    return DeviceExplanation(
        **structs.asdict(structs.replace(told, advice=advice)),
        device=device,
        agent="does not answer" if is_silent else "does not run",
        cloud="not known: the agent does not answer"
        if is_silent
        else "not connected: no agent runs",
    )


def explanation_lines(told: DeviceExplanation) -> Iterator[str]:
    """What a person is shown."""
    since = "" if told.since_s is None else f", for {span(told.since_s)}"
    rows = {
        "slot": f"{told.slot} on {told.device}",
        "wanted": told.wanted or "nothing",
        "runs": "not known: the agent does not answer"
        if told.agent == "does not answer"
        else told.running or "nothing",
        "phase": f"{told.phase}{since}{', and waits' if told.is_held else ''}",
        told.error_row: _error(told),
        "attempts": str(told.attempts),
        "next try": NOTHING if told.next_retry_s is None else f"in {span(told.next_retry_s)}",
        "cloud": told.cloud,
        "what to do": told.advice,
    }
    width = max(map(len, rows)) + 2
    for name, text in rows.items():
        yield textwrap.fill(
            text, COLUMNS, initial_indent=name.ljust(width), subsequent_indent=" " * width
        )


def _error(told: DeviceExplanation) -> str:
    if not told.error:
        return NOTHING
    text = f"{told.error} (step {told.error_step})" if told.error_step else told.error
    if told.is_error_past and told.since_s is not None:
        text += f", more than {span(told.since_s)} ago"
    return text


def stored_slots(contents: Contents) -> dict[str, ReportedSlot]:
    """Every slot that is wanted or known, as a report would say it, with nothing running."""
    wanted = contents.desired.slots if contents.desired is not None else {}
    return {
        slot: reported_slot(
            contents.slots.get(slot) or SlotRecord(slot=slot), wanted.get(slot), None
        )
        for slot in sorted({*contents.slots, *wanted})
    }


def _unknown(slot: str, device: str, known: Iterable[str]) -> NotFound:
    return NotFound(
        f"slot {slot!r} is not on device {device}",
        hint=did_you_mean(slot, known) or "nothing is wanted on this device yet",
        code="slot_not_found",
    )
