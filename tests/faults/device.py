"""One device for the walk: the agent's real parts, put together for one thread.

It does with errors what the daemon does: what failed is tried again, and a start that fails is
tried again as the service manager would. Any error that is not one of the agent's own gets out of
here, and is a defect.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Final, TypeVar

from edge_agent.contract.messages import Ack
from edge_agent.contract.state import DesiredState, WantedSlot
from edge_agent.daemon.housekeeping import (
    SETTLE_EVERY_TICKS,
    Housekeeping,
    room_maker,
    sweep,
)
from edge_agent.errors import ShoalError, Unavailable
from edge_agent.link.download import Downloader, Wanted
from edge_agent.reconcile.apply import Applier
from edge_agent.reconcile.locking import LockSeen
from edge_agent.reconcile.plan import plan
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.reconcile.steps import Step
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.ballast import Ballast
from edge_agent.store.blobs import BlobStore
from edge_agent.store.clock import SystemClock
from edge_agent.store.disk import DiskWatch
from edge_agent.store.files import make_folder
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.lock import StateLock
from edge_agent.store.locks import Locks
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_policy import OutboxLimits
from edge_agent.store.outbox_row import OutboxItem
from edge_agent.store.slots import SlotRecord
from edge_agent.store.space import SpaceRule
from tests.faults.inventory import writing_methods
from tests.faults.stand_in import StandInWorkers
from tests.faults.witness import Witness, witnessed
from tests.support.simulated_clock import SimulatedClock

NAME: Final = "line-1"
LIMITS: Final = OutboxLimits(max_bytes=2**20)
"""The least that an outbox may have: the story fills it."""

BALLAST_BYTES: Final = 64 * 1024
RUN_FOLDER: Final = "run"
MOST_ROUNDS: Final = 60
LONGEST_LOCK_S: Final = 600.0
MOST_ATTEMPTS: Final = 6

_JOURNAL_METHODS: Final = writing_methods(Journal)
_OUTBOX_METHODS: Final = writing_methods(Outbox)

T = TypeVar("T")


class CutOffDownloader(Downloader):
    """Downloads as ever, or finds no network."""

    is_online = True

    def fetch(
        self,
        blobs: BlobStore,
        wanted: Wanted,
        *,
        deadline: float,
        is_superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        """Bring a blob into the store."""
        if not self.is_online:
            raise Unavailable("there is no network")
        super().fetch(blobs, wanted, deadline=deadline, is_superseded=is_superseded)


class Device:
    """An agent that is started and stopped on a state directory.

    Args:
        folder: the state directory.
        cloud_url: where blobs come from.
        witness: told of everything that was written.
        make_workers: called at each start.
        trouble: called whenever something failed.
        aside: in it, what is done to the disk is the world's doing and not the agent's.
        run: unique on this state directory; part of the boot ids.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cloud_url: str,
        witness: Witness,
        make_workers: Callable[[], StandInWorkers],
        trouble: Callable[[], None] = lambda: None,
        aside: Callable[[], AbstractContextManager[object]] = nullcontext,
        run: str,
    ) -> None:
        self._folder = folder
        self._cloud_url = cloud_url
        self._witness = witness
        self._make_workers = make_workers
        self._trouble = trouble
        self._aside = aside
        self._run = run
        self._boots = 0
        self._open = ExitStack()
        self.committed: set[tuple[str, int]] = set()
        """Rows that the cloud has, by boot id and number."""
        self.sent_twice = 0
        """Rows that were sent although the cloud had said that it has them."""
        self.clock = SimulatedClock()
        self.during = "start"
        """What is being done, for the name of a fail point."""
        self.applied: set[str] = set()
        """Kinds of steps that were carried out."""
        self._journal_kind = witnessed(
            Journal, _JOURNAL_METHODS, lambda: witness.wrote(JOURNAL_FILE)
        )
        self._outbox_kind = witnessed(Outbox, _OUTBOX_METHODS, lambda: witness.wrote(OUTBOX_FILE))

    def boot(self) -> None:
        """Start the agent, as often as it takes."""
        self.during = "start"
        self._boots += 1
        self.insist(self._boot)

    def _boot(self) -> None:
        """In the order of the daemon: lock, journal, outbox, blobs, and what was interrupted."""
        with ExitStack() as opened:
            folder = make_folder(self._folder)
            opened.enter_context(StateLock(folder))
            sweep(folder, folder / RUN_FOLDER)
            boot_id = f"{self._run}-{self._boots}"
            disk = DiskWatch(folder, SpaceRule(low_percent=1.0))
            ballast = Ballast(folder, BALLAST_BYTES)
            self.floor = SystemClock(folder, is_kernel_synced=lambda: True)
            self.journal = self._journal_kind(
                folder, make_room=room_maker(folder, ballast), wall=self.clock.wall
            )
            opened.callback(self.journal.close)
            with suppress(ShoalError):  # the daemon notes it later
                self.journal.begin_boot(boot_id, self.clock.wall())
            self.outbox = self._outbox_kind(folder, boot_id, LIMITS)
            opened.callback(self.outbox.close)
            self.outbox.open()
            self.locks = Locks(folder, self.clock, max_s=LONGEST_LOCK_S)
            self.blobs = BlobStore(folder)
            self.workers = self._make_workers()
            self.downloader = CutOffDownloader(self._cloud_url, clock=self.clock)
            self.specs = WorkerSpecs(
                NAME,
                BrokerAddress(url="mqtt://127.0.0.1:1"),
                is_shared=False,
                blobs=self.blobs,
                run_folder=folder / RUN_FOLDER,
            )
            self.applier = Applier(
                journal=self.journal,
                blobs=self.blobs,
                downloader=self.downloader,
                workers=self.workers,
                specs=self.specs,
                clock=self.clock,
                on_change=lambda *_: None,
                forget_session=lambda _client_id: None,
                disk=disk,
            )
            self._housekeeping = Housekeeping(
                folder,
                disk=disk,
                ballast=ballast,
                journal=self.journal,
                outbox=self.outbox,
                on_event=lambda _event: None,
                collect=self.applier.collect,
                on_room=lambda: None,
            )
            self.applier.recover()
            self._housekeeping.start()
            self._open = opened.pop_all()

    def stop(self) -> None:
        """Stop the agent in good order."""
        self.during = "stop"
        self.floor.close()
        self._open.close()

    def restart(self) -> None:
        """Stop it and start it."""
        self.stop()
        self.boot()

    def insist(self, action: Callable[[], T]) -> T:
        """Do something until it succeeds.

        Raises:
            ShoalError: it never does.
        """
        for _ in range(MOST_ATTEMPTS - 1):
            try:
                return action()
            except ShoalError as error:
                self._note_trouble(error)
        return action()

    def want(self, slots: Mapping[str, WantedSlot]) -> None:
        """Have a desired state with the next revision accepted."""
        known = self.journal.desired()
        revision = known.revision + 1 if known is not None else 1
        self.accept(DesiredState(device=NAME, revision=revision, slots=dict(slots)))

    def accept(self, desired: DesiredState) -> None:
        """Have a desired state accepted."""
        self.during = "accept"
        self.insist(lambda: self.journal.accept_desired(desired))
        self._witness.note("accepted", revision=desired.revision)

    def settle(self, until: Callable[[], bool] = lambda: True) -> None:
        """Plan and apply until nothing is left to do, and something is true.

        Raises:
            AssertionError: it never is.
        """
        for _ in range(MOST_ROUNDS):
            is_busy = self.round()
            due_s = self._next_due_s()
            if not is_busy and due_s is None and until():
                self.look_after()
                return
            if due_s is not None:
                self.clock.advance(due_s)
        slots = self.insist(self.journal.slots)
        raise AssertionError(f"not settled after {MOST_ROUNDS} rounds: {slots}")

    def be_put_off(self, slot: str) -> None:
        """Plan and apply until a lock has put a slot's update off.

        Raises:
            AssertionError: it never has.
        """
        for _ in range(MOST_ROUNDS):
            self.round()
            if self.insist(lambda: self.record(slot)).is_put_off:
                return
        raise AssertionError(f"{slot} is not put off after {MOST_ROUNDS} rounds")

    def _next_due_s(self) -> float | None:
        """Until something is to be done, seconds: a retry, or what a lock puts off."""
        waits = [self.applier.next_due_s()]
        waits += [lock.until - self.clock.wall() for lock in self._locked().values()]
        return min((wait for wait in waits if wait is not None), default=None)

    def _locked(self) -> dict[str, LockSeen]:
        """The locks that hold slots."""
        desired = self.insist(self.journal.desired)
        return {
            slot: LockSeen(until=lock.until)
            for slot in (desired.slots if desired is not None else ())
            if (lock := self.locks.of(slot)) is not None
        }

    def look_after(self) -> None:
        """What is done every few seconds, whether anything happens or not."""
        self.during = "housekeeping"
        for _ in range(SETTLE_EVERY_TICKS):
            self._housekeeping.tick()

    def round(self) -> bool:
        """Plan and apply once. Returns whether there was anything to do."""
        try:
            plans = plan(self.journal.desired(), self.applier.observe(), self._locked())
        except ShoalError as error:
            self._note_trouble(error)
            return True
        for steps in plans.values():
            for step in steps:
                if not self.apply(step):
                    break
        return bool(plans)

    def apply(self, step: Step) -> bool:
        """Carry one step out. Returns whether it succeeded."""
        self.during = type(step).__name__
        self.applied.add(self.during)
        is_done = self.applier.run((step,), lambda: False)
        if not is_done:
            self._trouble()
        return is_done

    @property
    def journal_file(self) -> Path:
        """Where the journal is."""
        return self._folder / JOURNAL_FILE

    def record(self, slot: str) -> SlotRecord:
        """What the journal says about a slot."""
        return self.journal.slot(slot)

    def put(self, *items: OutboxItem) -> None:
        """Put items into the outbox."""
        self.during = "put"
        self.insist(lambda: self.outbox.put(items, self.clock.monotonic()))

    def tidy(self) -> None:
        """What the outbox does now and then."""
        self.during = "tidy"
        self.clock.advance(10.0)
        self.insist(lambda: self.outbox.tidy(self.clock.monotonic()))

    def connect(self) -> None:
        """There is a connection to the cloud, and it answers."""
        self.during = "connect"
        self.outbox.connected()
        self._answer()

    def deliver(self, limit: int = 100) -> int:
        """Send rows; the cloud commits them and says so. Returns how many there were."""
        self.during = "deliver"
        self.clock.advance(1.0)
        self._answer()
        now = self.clock.monotonic()
        rows = self.insist(lambda: self.outbox.due(now, limit=limit, max_bytes=2**20))
        for row in rows:
            if (row.boot_id, row.seq) in self.committed:
                self.sent_twice += 1
            self.committed.add((row.boot_id, row.seq))
            self._witness.note("committed", boot_id=row.boot_id, seq=row.seq)
        for boot_id in sorted({row.boot_id for row in rows}):
            seqs = tuple(row.seq for row in rows if row.boot_id == boot_id)
            self.outbox.acknowledge(Ack(boot_id=boot_id, seqs=seqs))
        return len(rows)

    def _answer(self) -> None:
        """The cloud is asked what it has of what it may have, and says so."""
        now = self.clock.monotonic()
        asked = self.insist(lambda: self.outbox.question(now))
        if asked is not None:
            known = tuple(seq for seq in asked.seqs if (asked.boot_id, seq) in self.committed)
            self.outbox.acknowledge(Ack(boot_id=asked.boot_id, seqs=known, answers=asked.id))

    def damage(self, path: Path) -> None:
        """The disk changes the bytes of a file."""
        self._witness.note("damaged", file=path.name)
        with self._aside():
            data = path.read_bytes()
            path.write_bytes(bytes(byte ^ 1 for byte in data))

    def litter(self) -> None:
        """An atomic write was cut off in an earlier life."""
        with self._aside():
            (self._folder / ".clock.json.0123abcd.tmp").write_bytes(b"{")

    def _note_trouble(self, error: ShoalError) -> None:
        self._witness.note("trouble", during=self.during, code=error.code, text=error.text)
        self._trouble()
