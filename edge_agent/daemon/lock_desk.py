"""Where programs on the device ask for a lock, and are told whether it holds.

Asked through the local door. A lock is taken at once; whether an update was past the point where
it can still be put off is said with it.
"""

import logging
from collections.abc import Callable, Collection
from typing import Final

from msgspec import Struct

from edge_agent.contract.failure import Failure, failure_of
from edge_agent.errors import NotFound, ShoalError
from edge_agent.store.locks import ALL_SLOTS, Locks, SlotLock

log: Final = logging.getLogger("edge_agent.locks")


class LockAnswer(Struct, frozen=True, kw_only=True):
    """What became of a request.

    Attributes:
        slot: that it was about; `*` for all.
        lock: that holds it now, its own or that of all; None if none does.
        is_busy: whether work on it has not stopped yet: an update may still switch. Ask again.
        was_held: of an unlock, whether there was a lock.
        ended: of an unlock, whose locks there were: a slot, or `*` for that of all.
        failure: why it was refused; None if it was not.
    """

    slot: str
    lock: SlotLock | None = None
    is_busy: bool = False
    was_held: bool = False
    ended: tuple[str, ...] = ()
    failure: Failure | None = None


class LockDesk:
    """Takes and releases locks. Any thread.

    Args:
        locks: of the device.
        known: names of the slots that there are, or are wanted.
        busy: names of the slots that are being worked on.
        on_change: told after each change; must not block.
    """

    def __init__(
        self,
        locks: Locks,
        *,
        known: Callable[[], Collection[str]],
        busy: Callable[[], Collection[str]],
        on_change: Callable[[], None],
    ) -> None:
        self._locks = locks
        self._known = known
        self._busy = busy
        self._on_change = on_change

    def lock(self, slot: str, for_s: float, reason: str) -> LockAnswer:
        """Lock a slot, or all; never raises."""
        try:
            self._check(slot)
            self._locks.take(slot, for_s, reason)
        except ShoalError as error:
            return LockAnswer(slot=slot, failure=failure_of(error))
        log.info("event=locked slot=%s for_s=%g reason=%r", slot, for_s, reason[:200])
        self._on_change()
        return self.ask(slot)

    def unlock(self, slot: str) -> LockAnswer:
        """End a lock, or every one there is; never raises.

        Args:
            slot: whose lock; `*` for that of all and for those of single slots.
        """
        if slot == ALL_SLOTS:
            ended = self._locks.release_all()
        else:
            ended = (slot,) if self._locks.release(slot) else ()
            if not ended:
                try:
                    self._check(slot)
                except ShoalError as error:
                    return LockAnswer(slot=slot, failure=failure_of(error))
        for name in ended:
            log.info("event=unlocked slot=%s", name)
        if ended:
            self._on_change()
        return LockAnswer(slot=slot, lock=self._locks.of(slot), was_held=bool(ended), ended=ended)

    def ask(self, slot: str) -> LockAnswer:
        """How a slot stands, without a change; never raises."""
        busy = self._busy()
        is_busy = bool(busy) if slot == ALL_SLOTS else slot in busy
        return LockAnswer(slot=slot, lock=self._locks.of(slot), is_busy=is_busy)

    def _check(self, slot: str) -> None:
        known = self._known()
        if slot != ALL_SLOTS and slot not in known:
            raise NotFound(
                f"slot {slot!r} is not on this device",
                hint=f"name one of {', '.join(sorted(known)) or 'those to come'}, or leave it out "
                "to mean all",
            )
