"""The reconcile loop: observe, plan, let each slot's thread apply, observe again.

One thread plans; a slot that has work gets a thread for as long as that work lasts, so that one
slow download or hung trial holds up nobody else. A slot that is being worked on is not planned
again, but told when what it works on is not wanted any more.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from edge_agent.contract.state import DesiredState, Phase, WantedSlot
from edge_agent.contract.wire import decode
from edge_agent.daemon.workforce import Workforce
from edge_agent.errors import Conflict, ContractError, NotFound, ShoalError
from edge_agent.reconcile.apply import Applier
from edge_agent.reconcile.interruption import note_end
from edge_agent.reconcile.locking import LockSeen, begins
from edge_agent.reconcile.plan import SlotSeen, plan, wanted_version
from edge_agent.reconcile.steps import Step, TryAgain
from edge_agent.store.clock import Clock
from edge_agent.store.journal import Journal
from edge_agent.store.locks import Locks

log: Final = logging.getLogger("edge_agent.reconcile")

ROUND_S: Final = 1.0
LEAST_WAIT_S: Final = 0.02
STOP_S: Final = 1.0


def on_own_thread(slot: str, work: Callable[[], None]) -> None:
    """How a slot's steps are carried out: beside everything else."""
    threading.Thread(target=work, name=f"slot-{slot}", daemon=True).start()


class Reconciler:
    """Brings the device to its desired state.

    Args:
        device: its name.
        journal: where the desired state is kept.
        applier: carries steps out.
        supervisor: asked each round what is due.
        clock: for everything that waits.
        on_desired: told when a new desired state was accepted; must not block.
        begin_work: carries a slot's steps out; who drives `round` itself may do it in place.
        locks: what programs on the device said "not now" to; None where none can be taken.
    """

    def __init__(
        self,
        device: str,
        *,
        journal: Journal,
        applier: Applier,
        supervisor: Workforce,
        clock: Clock,
        on_desired: Callable[[DesiredState], None],
        begin_work: Callable[[str, Callable[[], None]], None] = on_own_thread,
        locks: Locks | None = None,
    ) -> None:
        self._device = device
        self._journal = journal
        self._applier = applier
        self._supervisor = supervisor
        self._clock = clock
        self._on_desired = on_desired
        self._begin_work = begin_work
        self._locks = locks
        self._desired = journal.desired()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._paused = False
        self._lock = threading.Lock()
        self._busy: dict[str, float] = {}
        self._to_retry: set[str] = set()
        self._thread: threading.Thread | None = None
        self.progress = self._clock.monotonic()
        """When the loop last went round, seconds, monotonic. For the watchdog."""

    @property
    def desired(self) -> DesiredState | None:
        """What should run; None before anything was ever wanted."""
        return self._desired

    @property
    def busy(self) -> tuple[str, ...]:
        """Slots that are being worked on."""
        with self._lock:
            return tuple(sorted(self._busy))

    def working(self) -> dict[str, float]:
        """Slots that are being worked on, to when their thread last asked whether to go on.

        Seconds, monotonic. For the watchdog.
        """
        with self._lock:
            return dict(self._busy)

    def loading(self) -> tuple[str, ...]:
        """Slots with something installed whose worker has not got to loading it, or is at it.

        Raises:
            StorageError: the journal cannot be read.
        """
        health = self._supervisor.health()
        busy = self.busy
        return tuple(
            slot
            for slot, record in self._journal.slots().items()
            if record.serving is not None
            and (health[slot].state == "starting" if slot in health else slot in busy)
        )

    def start(self) -> None:
        """Start the workers of what is installed, then the loop. Called by the main thread."""
        self.recover()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)
        self._thread.start()

    def recover(self) -> None:
        """Take up what the last run left, and start the workers of what is installed."""
        self._applier.recover()
        self._plan_and_begin()

    def stop(self) -> None:
        """Stop planning; what is being applied is told to stop too. Called by the main thread."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_S)
        note_end(self._journal)

    def wake(self) -> None:
        """Something may have changed. Any thread."""
        self._wake.set()

    def pause(self, is_paused: bool) -> None:
        """Stop all workers and plan nothing, or go on. Any thread.

        For an agent that has found another one with its name on a broker that workers use too.
        """
        self._paused = is_paused
        self._wake.set()

    def retry(self, slot: str) -> None:
        """Have a failed or refused version tried at once. Any thread; the slot's own does it.

        Raises:
            NotFound: no such slot.
            Conflict: `nothing_failed`: the slot runs what it should.
            StorageError: the journal cannot be read.
        """
        record = self._journal.slot(slot)
        if record.target is None:
            raise NotFound(
                f"slot {slot!r} is not on this device",
                hint="name one of those that `edge-agent status` lists",
            )
        if record.phase is Phase.ACTIVE and record.error is None:
            raise Conflict(
                f"slot {slot!r} is active: nothing has failed that could be tried again",
                hint="to have its process started anew, restart the slot",
                code="nothing_failed",
            )
        with self._lock:
            self._to_retry.add(slot)
        self._wake.set()

    def accept(self, payload: bytes) -> DesiredState | None:
        """Take a desired state as it came from the cloud. The link's thread.

        Returns:
            It, if it is new; None if it is the one that is known.

        Raises:
            ContractError: malformed, for another device, or older than the one that is known.
            StorageError: it cannot be kept, so it is not followed.
        """
        desired = decode(DesiredState, payload)
        if desired.device != self._device:
            raise ContractError(
                f"desired state expected for device {self._device!r}, found {desired.device!r}",
                hint="check who may publish to this device's topics",
                code="wrong_device",
            )
        known = self._desired
        if known is not None and desired.revision <= known.revision:
            if desired == known:
                return None
            raise ContractError(
                f"desired state expected a revision above {known.revision}, "
                f"found {desired.revision}",
                hint="the service was set back; it publishes a higher revision when it sees "
                "this device's report",
                code="revision_old",
            )
        self._journal.accept_desired(desired)
        self._desired = desired
        self._on_desired(desired)
        self._wake.set()
        return desired

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self.round())
            self._wake.clear()

    def round(self) -> float:
        """Go round once: restart what is due, look, plan, and begin what is planned.

        Returns:
            In how many seconds to go round again, if nothing happens before.
        """
        self.progress = now = self._clock.monotonic()
        due = self._supervisor.tick(now)
        self._plan_and_begin()
        waits = [ROUND_S, self._applier.next_due_s()]
        waits.append(due - now if due is not None else None)
        return max(LEAST_WAIT_S, min(wait for wait in waits if wait is not None))

    def _plan_and_begin(self) -> None:
        try:
            if self._paused:
                self._supervisor.stop_all()
                return
            # Taken once: what is wanted by the time a step begins may be something else.
            desired = self._desired
            seen = self._applier.observe()
            plans = plan(desired, seen, self._holding(desired, seen))
        except ShoalError as error:
            # The journal cannot be read: what runs goes on running, and the next round tries.
            log.error("event=round_failed code=%s text=%r", error.code, error.text)
            return
        with self._lock:
            asked = {slot: (TryAgain(slot),) for slot in self._to_retry if slot not in self._busy}
            self._to_retry -= asked.keys()
        for slot, steps in {**plans, **asked}.items():
            wish = _wish(desired, slot)
            self._begin(slot, steps, wish, self._may_wait(steps, seen.get(slot), wish))

    def _holding(
        self, desired: DesiredState | None, seen: Mapping[str, SlotSeen]
    ) -> dict[str, LockSeen]:
        """The locks that put updates off now."""
        found: dict[str, LockSeen] = {}
        if self._locks is None or desired is None:
            return found
        for slot, wish in desired.slots.items():
            lock = self._locks.of(slot)
            since = _put_off_since(seen.get(slot), wish)
            if lock is not None and self._locks.may_put_off(since, wish.lock_max_s):
                until = self._locks.put_off_until(lock, since, wish.lock_max_s)
                found[slot] = LockSeen(until=until, reason=lock.reason)
        return found

    def _may_wait(
        self, steps: Sequence[Step], seen: SlotSeen | None, wish: WantedSlot | None
    ) -> bool:
        """Whether these steps stop for a lock that is taken while they are carried out."""
        if self._locks is None or wish is None or not begins(steps):
            return False
        return self._locks.may_put_off(_put_off_since(seen, wish), wish.lock_max_s)

    def _begin(
        self, slot: str, steps: Sequence[Step], wish: WantedSlot | None, may_wait: bool
    ) -> None:
        with self._lock:
            if slot in self._busy or self._stop.is_set():
                return
            self._busy[slot] = self._clock.monotonic()
        self._begin_work(slot, lambda: self._work(slot, steps, wish, may_wait))

    def _work(
        self, slot: str, steps: Sequence[Step], wish: WantedSlot | None, may_wait: bool
    ) -> None:
        def is_superseded() -> bool:
            self._busy[slot] = self._clock.monotonic()
            if may_wait and self._locks is not None and self._locks.of(slot) is not None:
                return True
            return self._stop.is_set() or self._paused or _wish(self._desired, slot) != wish

        is_done = False
        try:
            is_done = self._applier.run(steps, is_superseded)
        finally:
            with self._lock:
                self._busy.pop(slot, None)
        # What failed waits for the next round: a disk that takes nothing, not even the journal's
        # note of when to try again, must not turn this into a busy loop.
        if is_done:
            self._wake.set()


def _wish(desired: DesiredState | None, slot: str) -> WantedSlot | None:
    return desired.slots.get(slot) if desired is not None else None


def _put_off_since(seen: SlotSeen | None, wish: WantedSlot) -> float | None:
    """When a lock first put off what is wanted in a slot; None if none did."""
    if seen is None or seen.record.target != wanted_version(wish):
        return None
    return seen.record.put_off_since
