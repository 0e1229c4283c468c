"""Doing what a plan says: every side effect of a step is here, in one `match`.

A step either does its work and journals the phase it reached, or raises; then the failure is
journalled and the slot's remaining steps are void. Slots are worked on by one thread each; a step
looks up whether it is still wanted before it begins and wherever it waits.
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.contract.admission import check_manifest
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, Manifest, Trial, read_manifest
from edge_agent.contract.state import Phase, SlotError
from edge_agent.errors import ShoalError, StorageError, Superseded, Unsupported
from edge_agent.link.answer import TryLater
from edge_agent.link.download import Downloader, Wanted
from edge_agent.reconcile import transition
from edge_agent.reconcile.arrival import Arrival
from edge_agent.reconcile.failure import after_failure
from edge_agent.reconcile.garbage import needed
from edge_agent.reconcile.interruption import take_interruption
from edge_agent.reconcile.manifests import Manifests
from edge_agent.reconcile.plan import SlotSeen
from edge_agent.reconcile.progress import Progress, progress_of
from edge_agent.reconcile.proof import prove
from edge_agent.reconcile.retry import delay_s, first_delay_s, remaining_s
from edge_agent.reconcile.room import NO_ROOM, Room
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.reconcile.steps import (
    Begin,
    Commit,
    Fetch,
    Install,
    Prove,
    PutOff,
    Reject,
    Remove,
    RollBack,
    Run,
    Settle,
    Step,
    Stop,
    Switch,
    TryAgain,
)
from edge_agent.reconcile.workers import Workers
from edge_agent.store.blobs import BlobStore
from edge_agent.store.clock import Clock
from edge_agent.store.disk import DiskWatch
from edge_agent.store.journal import Journal
from edge_agent.store.slots import Installed, SlotRecord

log: Final = logging.getLogger("edge_agent.reconcile")

SHADOW_TRIAL: Final = Trial(seconds=0, messages=0, max_error_rate=1)
"""A shadow answers nobody, so it needs no trial on live messages: it is kept once it runs."""

MANIFEST_ROOM_BYTES: Final = 64 * 1024
"""What a manifest needs whose size is not known yet; few are longer."""

Observer = Callable[[str, SlotRecord, SlotRecord], None]


class Applier:
    """Carries steps out. Safe for several threads, one thread a slot.

    Args:
        journal: where every step is noted.
        blobs: the device's files.
        downloader: brings files from the cloud.
        workers: runs the versions.
        specs: what workers are told.
        clock: for waits, and for the times that are journalled.
        on_change: told the slot, its record before and its record after every change.
        forget_session: called with a removed slot's MQTT client id; must not raise.
        disk: where the files are; None for the usual limits.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        blobs: BlobStore,
        downloader: Downloader,
        workers: Workers,
        specs: WorkerSpecs,
        clock: Clock,
        on_change: Observer,
        forget_session: Callable[[str], None],
        disk: DiskWatch | None = None,
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._manifests = Manifests(blobs)
        self._arrival = Arrival(blobs, downloader, clock)
        self._room = Room(blobs, disk or DiskWatch(blobs.folder), self.collect)
        self._workers = workers
        self._specs = specs
        self._clock = clock
        self._on_change = on_change
        self._forget_session = forget_session
        self._due: dict[str, float] = {}
        # Held while files are listed as needed, and while what nothing needs is removed.
        self._collecting = threading.Lock()

    def recover(self) -> None:
        """At the start of the agent, before anything is planned.

        Raises:
            StorageError: the journal cannot be read. On a full disk it can, and that is enough.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        was_interrupted = take_interruption(self._journal)
        for record in self._journal.slots().values():
            try:
                self._put(record, transition.restarted(record, was_interrupted=was_interrupted))
            except StorageError as error:
                log.error("event=journal_failed slot=%s text=%r", record.slot, error.text)
            # What a lock put off is due as soon as the lock is gone.
            due = None if record.is_put_off else record.next_retry
            self._due[record.slot] = now + remaining_s(due, record.since, wall)

    def observe(self) -> dict[str, SlotSeen]:
        """Every slot that is in the journal or has a worker, as it is now."""
        records = self._journal.slots()
        workers = self._workers.seen()
        now = self._clock.monotonic()
        seen = {}
        for slot in {*records, *workers}:
            record = records.get(slot, SlotRecord(slot=slot))
            worker = workers.get(slot)
            seen[slot] = SlotSeen(
                record=record,
                running=worker.version if worker else None,
                trial=worker.trial if worker else None,
                is_damaged=bool(worker and worker.is_damaged),
                is_retry_due=now >= self._due.get(slot, now),
                outputs=self._manifests.outputs(record.target.digest) if record.target else None,
            )
        return seen

    def progress(self, record: SlotRecord) -> Progress | None:
        """How far the version has come that a slot fetches; None if it does not, or its manifest
        is not here yet."""
        if record.phase is not Phase.FETCHING or record.target is None:
            return None
        manifest = self._manifests.of(record.target.digest)
        return None if manifest is None else progress_of(manifest, self._blobs)

    def next_due_s(self) -> float | None:
        """Seconds until the next attempt is due, or None if none waits."""
        now = self._clock.monotonic()
        waits = [due - now for due in list(self._due.values()) if due > now]
        return min(waits) if waits else None

    def run(self, steps: Sequence[Step], is_superseded: Callable[[], bool]) -> bool:
        """Carry the steps of one slot out, up to the first that fails.

        Args:
            steps: of one slot, in order.
            is_superseded: whether something else is wanted by now. Asked from this thread.

        Returns:
            Whether no step failed.
        """
        for step in steps:
            try:
                if is_superseded():
                    return True
                log.info("event=step slot=%s step=%s", step.slot, type(step).__name__)
                self._apply(step, is_superseded)
                if (
                    isinstance(step, Begin)
                    and self._due.get(step.slot, 0.0) > self._clock.monotonic()
                ):
                    return True  # its turn comes later, and it is planned again then
            except Superseded:
                log.info("event=superseded slot=%s step=%s", step.slot, type(step).__name__)
                return True
            except ShoalError as error:
                self._fail(step, error)
                return False
        return True

    # The table of what each step does: long, but flat.
    def _apply(self, step: Step, is_superseded: Callable[[], bool]) -> None:  # noqa: C901
        now = self._clock.wall()
        record = self._journal.slot(step.slot)
        match step:
            case Begin(target=target, spread_s=spread_s):
                self._begin(record, target, spread_s, now)
            case PutOff(target=target, until=until, reason=reason):
                self._put(record, transition.put_off(record, target, until, reason, now))
            case Fetch(target=target):
                self._fetch(record, target, is_superseded)
            case Install(target=target):
                self._install(record, target)
            case Prove(target=target):
                self._prove(record, target, is_superseded)
            case Switch(target=target):
                self._switch(record, target, is_superseded)
            case Run(version=version):
                self._workers.run(step.slot, version, self._specs.working(record, version))
            case Stop():
                self._workers.stop(step.slot)
            case Commit():
                self._put(record, transition.committed(record, now))
                self.collect()
            case RollBack(error=error):
                self._roll_back(record, error)
            case Settle():
                self._due.pop(step.slot, None)
                self._put(record, transition.settled(record, now))
                self.collect()
            case Reject(target=target, error=error):
                self._put(record, transition.rejected(record, target, error, now))
            case TryAgain():
                self._due.pop(step.slot, None)
                if record.target is not None:
                    self._put(record, transition.asked_again(record, now))
            case Remove():
                self._workers.stop(step.slot)
                self._journal.remove_slot(step.slot)
                self._due.pop(step.slot, None)
                self._forget_session(self._specs.client_id(step.slot))
                self._on_change(step.slot, record, SlotRecord(slot=step.slot))
                self.collect()

    def _begin(self, record: SlotRecord, target: Installed, spread_s: float, now: float) -> None:
        """Note that work begins. What has to be asked for waits its turn among many devices."""
        wait_s = 0.0
        if record.target != target and not self._is_here(target):
            wait_s = first_delay_s(spread_s, random.random())  # noqa: S311  # jitter, no secret
        if wait_s > 0.0:
            log.info("event=spread slot=%s wait_s=%.1f", record.slot, wait_s)
            self._due[record.slot] = self._clock.monotonic() + wait_s
        else:
            self._due.pop(record.slot, None)
        due = now + wait_s if wait_s > 0.0 else None
        self._put(record, transition.begun(record, target, now, due=due))

    def _is_here(self, target: Installed) -> bool:
        """Whether the cloud need not be asked for anything of a version, whoever brought it."""
        files = self._manifests.files(target.digest)
        return bool(files) and all(map(self._blobs.has, (target.digest, *files)))

    def _fetch(
        self, record: SlotRecord, target: Installed, is_superseded: Callable[[], bool]
    ) -> None:
        manifest = self._fetch_manifest(target, is_superseded)
        files = {blob.digest: blob.size for blob in manifest.blobs()}
        with self._collecting:
            record = self._put(record, transition.listed(record, tuple(files)))
        with self._room.promised(files) as is_over:
            for digest, size in files.items():
                if is_superseded():
                    raise Superseded(f"{target.module} is not wanted any more")
                wanted = Wanted(digest=digest, limit=size, size=size)
                self._arrival.bring(wanted, is_over(is_superseded))
        self._put(record, transition.arrived(record, Phase.VERIFIED, self._clock.wall()))

    def _fetch_manifest(self, target: Installed, is_superseded: Callable[[], bool]) -> Manifest:
        size = 0 if self._blobs.has(target.digest) else MANIFEST_ROOM_BYTES
        with self._room.promised({target.digest: size} if size else {}) as is_over:
            wanted = Wanted(digest=target.digest, limit=MAX_MANIFEST_BYTES)
            self._arrival.bring(wanted, is_over(is_superseded))
        return read_manifest(self._blobs.read(target.digest, limit=MAX_MANIFEST_BYTES))

    def _install(self, record: SlotRecord, target: Installed) -> None:
        manifest = read_manifest(self._blobs.read(target.digest, limit=MAX_MANIFEST_BYTES))
        if manifest.name != target.module:
            raise Unsupported(
                f"manifest {target.digest} expected module {target.module!r}, "
                f"found {manifest.name!r}",
                hint="deploy the module again",
                code="wrong_module",
            )
        check_manifest(manifest)
        self._put(record, transition.arrived(record, Phase.INSTALLED, self._clock.wall()))

    def _prove(
        self, record: SlotRecord, target: Installed, is_superseded: Callable[[], bool]
    ) -> None:
        record = self._put(record, transition.arrived(record, Phase.TRIAL, self._clock.wall()))
        passed = prove(self._workers, self._specs, record, target, is_superseded)
        log.info(
            "event=proved slot=%s version=%d cases=%d p99_ms=%.3f max_difference=%g "
            "peak_rss_mb=%.1f",
            record.slot,
            target.version,
            passed.cases,
            passed.p99_ms,
            passed.max_difference,
            passed.peak_rss_mb,
        )

    def _switch(
        self, record: SlotRecord, target: Installed, is_superseded: Callable[[], bool]
    ) -> None:
        manifest = read_manifest(self._blobs.read(target.digest, limit=MAX_MANIFEST_BYTES))
        now = self._clock.wall()
        record = self._put(record, transition.arrived(record, Phase.TRIAL, now, step="switch"))
        # 1. The new version is loaded and warm while the old one still answers.
        spec = self._specs.working(record, target)
        self._workers.prepare(record.slot, target, spec, is_superseded)
        # 2. The old one finishes and leaves; 3. the new one connects. A crash up to here finds
        # the old version in the journal, and its worker is started again.
        self._workers.hand_over(record.slot)
        # 4. From here on a crash finds the candidate. `active` is what it falls back to.
        rule = SHADOW_TRIAL if target.shadows else manifest.health.trial
        self._put(record, transition.flipped(record, rule, self._clock.wall()))
        if target.shadows and record.serving is not None and not record.serving.shadows:
            # What answered messages here does so no more: its session would only fill up.
            self._forget_session(self._specs.client_id(record.slot))

    def _roll_back(self, record: SlotRecord, error: SlotError | None) -> None:
        """Journal first: whatever happens after it, the good version is what is started."""
        now = self._clock.wall()
        if error is None:
            after = transition.withdrawn(record)
        elif record.active is not None:
            after = transition.rolled_back(record, error, now)
        else:
            after = transition.failed(
                transition.withdrawn(record), error, now + self._wait(record, 0.0), now
            )
        self._put(record, after)
        if after.active is None:
            self._workers.stop(record.slot)
        else:
            self._workers.run(record.slot, after.active, self._specs.working(after, after.active))

    def _wait(self, record: SlotRecord, at_least_s: float) -> float:
        """Set when the slot is due again. Returns seconds from now."""
        chance = random.random()  # noqa: S311  # jitter, no secret
        seconds = delay_s(record.attempts + 1, chance, at_least_s=at_least_s)
        self._due[record.slot] = self._clock.monotonic() + seconds
        return seconds

    def _fail(self, step: Step, error: ShoalError) -> None:
        """Journal a failure: tried again, never again, or the old version goes on."""
        name = type(step).__name__.lower()
        reason = SlotError(code=error.code, text=str(error), step=name)
        log.warning(
            "event=step_failed slot=%s step=%s code=%s text=%r",
            step.slot,
            name,
            error.code,
            error.text,
        )
        try:
            record = self._journal.slot(step.slot)
            # In memory first: the disk may be full.
            seconds = self._wait(record, error.after_s if isinstance(error, TryLater) else 0.0)
            if not isinstance(step, Begin | Fetch | Install | Prove | Switch):
                return
            now = self._clock.wall()
            failed = after_failure(record, step.target, error, reason, wait_s=seconds, now=now)
            self._put(record, failed)
        except ShoalError as again:
            log.error(
                "event=journal_failed slot=%s code=%s text=%r", step.slot, again.code, again.text
            )

    def room_again(self) -> None:
        """There is space again: what failed for want of it is due at once. Any thread."""
        for slot, record in self._journal.slots().items():
            if record.error is not None and record.error.code in NO_ROOM:
                self._due.pop(slot, None)

    def collect(self) -> None:
        """Remove every file that no version needs that is installed, on its way or wanted.

        Raises:
            StorageError: the disk refused.
        """
        with self._collecting:
            desired = self._journal.desired()
            if desired is None:
                return  # who has forgotten what is wanted does not throw it away
            records = (*self._journal.slots().values(), *self._journal.copied.values())
            files, freed = self._blobs.collect(needed(records, desired, self._manifests.files))
        if files:
            log.info("event=collected files=%d bytes=%d", files, freed)

    def _put(self, before: SlotRecord, after: SlotRecord) -> SlotRecord:
        if after != before:
            self._journal.put_slot(after)
            self._on_change(after.slot, before, after)
        return after
