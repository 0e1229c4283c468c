"""Explanations: why a slot is not (or is) where it should be, in words. Pure."""

from typing import Final

from cloud_sync.errors import NotFound
from cloud_sync.fleet.presence import Presence, presence
from cloud_sync.fleet.summary import DeviceFacts, age, dated, is_slot_settled
from cloud_sync.resources import SlotExplanation
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.state import Phase, ReportedSlot, WantedSlot

_ADVICE: Final = {
    Phase.ABSENT: "The device knows what is wanted and is about to begin.",
    Phase.FETCHING: "The device is downloading; nothing needs doing.",
    Phase.VERIFIED: "The files are there and right; the installation follows.",
    Phase.INSTALLED: "It is installed; the trial follows.",
    Phase.TRIAL: "It is proving itself before it goes live; nothing needs doing.",
    Phase.ACTIVE: "The device runs another version and has not begun with the wanted one.",
    Phase.FAILED: "It failed and will be tried again by itself; the error says what stood in the "
    "way. 'shoal device retry' has it tried now.",
    Phase.REJECTED: "It can never run on this device and is not tried again: publish a corrected "
    "version, or deploy the one before.",
    Phase.ROLLED_BACK: "It did not prove itself, and the version before runs again: look at the "
    "error, publish a corrected version.",
}


def explain(facts: DeviceFacts, slot: str, now: float) -> SlotExplanation:
    """Explain one slot.

    Raises:
        NotFound: the slot is neither wanted nor reported.
    """
    wanted = facts.desired.slots.get(slot)
    reported = facts.reported.slots.get(slot) if facts.reported else None
    if wanted is None and reported is None:
        known = {*facts.desired.slots, *(facts.reported.slots if facts.reported else ())}
        raise NotFound(
            f"device {facts.device!r} has no slot {slot!r}",
            hint=did_you_mean(slot, known),
            code="slot_not_found",
        )
    there = presence(now, facts.state, facts.last_seen, facts.interval_s)
    error = reported.error if reported else None
    return SlotExplanation(
        device=facts.device,
        slot=slot,
        presence=there,
        wanted=f"{wanted.module}/{wanted.version}" if wanted else "",
        wanted_digest=wanted.digest if wanted else "",
        running=_running(reported),
        running_digest=reported.running if reported else "",
        phase=reported.phase.value if reported else "",
        error=f"{error.code}: {error.text}" if error else "",
        error_step=error.step if error else "",
        attempts=reported.attempts if reported else 0,
        next_retry=dated(facts, reported.next_retry) if reported else None,
        since=dated(facts, reported.since or None) if reported else None,
        reported_age_s=age(now, facts.reported_at),
        advice=_advice(facts, wanted, reported, there),
    )


def _running(reported: ReportedSlot | None) -> str:
    if reported is None or not reported.running:
        return ""
    return f"{reported.module}/{reported.running_version}"


def _advice(
    facts: DeviceFacts,
    wanted: WantedSlot | None,
    reported: ReportedSlot | None,
    there: Presence,
) -> str:
    if facts.reported is None:
        return (
            f"{facts.device} has never reported what it runs: start its agent, or look with "
            "`edge-agent check` whether it reaches the broker."
        )
    seen = facts.reported.revision_seen
    if is_slot_settled(wanted, reported):
        advice = "Nothing needs doing: it runs what it should."
        if wanted is not None and wanted.mode == "shadow":
            advice = _shadow_advice(facts, wanted)
    elif seen < facts.desired.revision:
        advice = (
            f"The device has seen revision {seen} of {facts.desired.revision}: it has not got the "
            "newest orders yet."
        )
    elif wanted is None:
        advice = "The slot should be empty; the device is about to stop what runs."
    elif reported is None:
        advice = "The device has seen the order and has not begun with this slot."
    elif reported.is_waiting_its_turn:
        advice = "It waits its turn, so that a fleet does not ask at once; nothing needs doing."
    else:
        advice = _ADVICE[reported.phase]
    if there == "offline":
        advice += " It is offline: all of this is as it was when it left."
    elif there == "unknown":
        advice += " It is silent: all of this may be out of date; is it powered and connected?"
    return advice


def _shadow_advice(facts: DeviceFacts, wanted: WantedSlot) -> str:
    advice = f"Nothing needs doing: it shadows {wanted.shadows}, and its answers are only compared."
    shadowed = facts.desired.slots.get(wanted.shadows)
    if shadowed is not None and shadowed.digest == wanted.digest:
        advice += (
            f" {wanted.shadows} should run this same version by now: remove the shadow, or deploy "
            "the next version into it."
        )
    return advice
