"""What a lock on the device does to a plan: an update is not begun, and what runs goes on. Pure.

Only what begins a version waits. What keeps a slot running, ends a trial or takes a bad version
back never does, and neither does the removal of a slot.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from edge_agent.reconcile.steps import Begin, PutOff, Step
from edge_agent.store.slots import SlotRecord

_SAME_S: Final = 30.0
"""A lock that is renewed by less than this is not worth a note and a report."""


class LockSeen(Struct, frozen=True, kw_only=True):
    """A lock that may put an update off.

    Attributes:
        until: when the update goes on, at the latest, seconds since 1970.
        reason: for people; may be empty.
    """

    until: float
    reason: str = ""


def begins(steps: Sequence[Step]) -> bool:
    """Whether these steps bring a version, which a lock may put off."""
    return any(isinstance(step, Begin) for step in steps)


def put_off(steps: tuple[Step, ...], record: SlotRecord, lock: LockSeen) -> tuple[Step, ...]:
    """The same steps up to where a version is begun; that is put off instead.

    Args:
        steps: of one slot.
        record: of the slot.
        lock: what holds it.
    """
    at = next((number for number, step in enumerate(steps) if isinstance(step, Begin)), None)
    if at is None:
        return steps
    begin = steps[at]
    if not isinstance(begin, Begin):
        return steps
    is_noted = (
        record.is_put_off
        and record.target == begin.target
        and record.next_retry is not None
        and abs(record.next_retry - lock.until) < _SAME_S
    )
    kept = steps[:at]
    if is_noted:
        return kept
    return (*kept, PutOff(begin.slot, begin.target, lock.until, lock.reason))
