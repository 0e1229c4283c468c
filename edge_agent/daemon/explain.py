"""Why a slot of this device is where it is: from the running agent, or from the disk without one.

Pure. The words are those of `contract.explanation`, so that the cloud says the same.
"""

import textwrap
from collections.abc import Iterable, Iterator

from msgspec import structs

from edge_agent.contract.explanation import Explanation, explain_slot
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.state import ReportedSlot
from edge_agent.daemon.report import reported_slot
from edge_agent.daemon.status import AgentStatus
from edge_agent.daemon.status_text import COLUMNS, NOTHING, span
from edge_agent.errors import NotFound
from edge_agent.store.contents import Contents
from edge_agent.store.slots import SlotRecord


class DeviceExplanation(Explanation, frozen=True, kw_only=True):
    """A slot, explained at its device.

    Attributes:
        device: its name.
        is_agent_running: whether the running agent told all this; else the disk did.
        cloud: the way to the cloud, in words.
    """

    device: str
    is_agent_running: bool
    cloud: str


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
    told = explain_slot(slot, found.state, now=status.time, health=found.worker)
    if status.cloud.conflict:
        advice = (
            "Two agents use this device's name, and this one waits: give each its own "
            f"agent.device and restart it. {told.advice}"
        )
        told = structs.replace(told, advice=advice)
    return DeviceExplanation(
        **structs.asdict(told), device=status.device, is_agent_running=True, cloud=cloud
    )


def explain_stopped(slot: str, device: str, contents: Contents, now: float) -> DeviceExplanation:
    """Explain a slot from what the agent left on the disk.

    Args:
        slot: its name.
        device: its name.
        contents: of the journal.
        now: seconds since 1970.

    Raises:
        NotFound: it is neither wanted nor here.
    """
    slots = stored_slots(contents)
    if slot not in slots:
        raise _unknown(slot, device, slots)
    told = explain_slot(slot, slots[slot], now=now)
    advice = (
        "No agent answers, so nothing runs or happens: start it with `edge-agent run` (or "
        "systemctl start edge-agent), or see its log. What was next when it last wrote: "
        f"{told.advice}"
    )
    return DeviceExplanation(
        **structs.asdict(structs.replace(told, advice=advice)),
        device=device,
        is_agent_running=False,
        cloud="not connected: no agent answers",
    )


def explanation_lines(told: DeviceExplanation) -> Iterator[str]:
    """What a person is shown."""
    since = "" if told.since_s is None else f", for {span(told.since_s)}"
    rows = {
        "slot": f"{told.slot} on {told.device}",
        "wanted": told.wanted or "nothing",
        "runs": told.running or "nothing",
        "phase": f"{told.phase}{since}",
        "error": f"{told.error} (step {told.error_step or NOTHING})" if told.error else NOTHING,
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
