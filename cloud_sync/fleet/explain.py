"""Explanations: why a slot is not (or is) where it should be, in words. Pure.

What the slot's own report says is explained as on the device (`contract.explanation`); here it is
put beside what is wanted and how old the report is.
"""

from collections.abc import Iterator

from msgspec import structs

from cloud_sync.errors import NotFound
from cloud_sync.fleet.presence import Presence, presence
from cloud_sync.fleet.summary import DeviceFacts, age, dated, is_slot_settled, settled_health
from cloud_sync.resources import SlotExplanation
from edge_agent.contract.explanation import explain_slot, worker_trouble
from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.state import Phase, ReportedSlot, WantedSlot


def explain(
    facts: DeviceFacts, slot: str, now: float, *, is_expected: bool = False
) -> SlotExplanation:
    """Explain one slot.

    Args:
        facts: of the device.
        slot: its name.
        now: seconds since 1970.
        is_expected: something is to come there, so that an empty slot is no mistake in its name.

    Raises:
        NotFound: the slot is neither wanted nor reported, nor expected.
    """
    wanted = facts.desired.slots.get(slot)
    reported = facts.reported.slots.get(slot) if facts.reported else None
    if wanted is None and reported is None and not is_expected:
        known = {*facts.desired.slots, *(facts.reported.slots if facts.reported else ())}
        raise NotFound(
            f"device {facts.device!r} has no slot {slot!r}",
            hint=did_you_mean(slot, known) or "nothing is wanted on it yet: deploy a module to it",
            code="slot_not_found",
        )
    there = presence(now, facts.state, facts.last_seen, facts.interval_s)
    since = dated(facts, reported.since or None) if reported else None
    next_retry = dated(facts, reported.next_retry) if reported else None
    locked_until = dated(facts, reported.locked_until) if reported else None
    if reported is not None:
        # In the service's time, as `now` is.
        reported = structs.replace(reported, since=since or 0.0, next_retry=next_retry)
    health = settled_health(facts, slot)
    told = explain_slot(slot, reported, now=now, wanted=wanted, health=health)
    found = structs.asdict(told)
    found["wanted"] = told.wanted if wanted else ""
    found["wanted_digest"] = told.wanted_digest if wanted else ""
    found["advice"] = " ".join(_advice(facts, wanted, reported, health, there, told.advice))
    return SlotExplanation(
        **found,
        device=facts.device,
        presence=there,
        next_retry=next_retry,
        since=since,
        reported_age_s=age(now, facts.reported_at),
        locked_until=None if locked_until is None or locked_until <= now else locked_until,
    )


def _advice(
    facts: DeviceFacts,
    wanted: WantedSlot | None,
    reported: ReportedSlot | None,
    health: SlotHealth | None,
    there: Presence,
    told: str,
) -> Iterator[str]:
    if facts.reported is None:
        yield (
            f"{facts.device} has never reported what it runs: start its agent, or look with "
            "`edge-agent check` whether it reaches the broker."
        )
        return
    seen = facts.reported.revision_seen
    if wanted is None and is_slot_settled(wanted, reported):
        yield "Nothing to do: the slot should be empty, and is."
    elif is_slot_settled(wanted, reported):
        shadowing = wanted is not None and wanted.mode == "shadow" and not worker_trouble(health)
        yield _shadow_advice(facts, wanted) if wanted is not None and shadowing else told
    elif seen < facts.desired.revision:
        yield (
            f"The device has seen revision {seen} of {facts.desired.revision}: it has not got the "
            "newest orders yet."
        )
        if trouble := worker_trouble(health):
            yield trouble
    elif wanted is None:
        yield "The slot should be empty; the device is about to stop what runs."
    elif reported is None:
        yield "The device has seen the order and has not begun with this slot."
    elif reported.phase is Phase.ACTIVE and not worker_trouble(health):
        yield "The device runs another version and has not begun with the wanted one."
    else:
        yield told
    if there == "offline":
        yield "It is offline: all of this is as it was when it left."
    elif there == "unknown":
        yield "It is silent: all of this may be out of date; is it powered and connected?"


def _shadow_advice(facts: DeviceFacts, wanted: WantedSlot) -> str:
    advice = f"Nothing to do: it shadows {wanted.shadows}, and its answers are only compared."
    shadowed = facts.desired.slots.get(wanted.shadows)
    if shadowed is not None and shadowed.digest == wanted.digest:
        advice += (
            f" {wanted.shadows} should run this same version by now: remove the shadow, or deploy "
            "the next version into it."
        )
    return advice
