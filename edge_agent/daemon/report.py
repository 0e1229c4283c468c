"""What the device says about itself, built from the journal and the workers as they are now."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from msgspec.structs import replace

from edge_agent.contract.messages import Health, SlotHealth
from edge_agent.contract.state import (
    UNSETTLED,
    DesiredState,
    Hardware,
    Phase,
    ReportedSlot,
    ReportedState,
    WantedSlot,
)
from edge_agent.daemon.http.protocol import HttpStatus
from edge_agent.daemon.machine import agent_info, cpu_seconds, rss_mb
from edge_agent.daemon.memory import MemoryShares, with_memory
from edge_agent.daemon.status import AgentStatus, LinkStatus, RecentEvent, SlotStatus
from edge_agent.daemon.workforce import Workforce
from edge_agent.errors import StorageError
from edge_agent.reconcile.plan import is_settled, wanted_version
from edge_agent.reconcile.progress import Progress
from edge_agent.store.clock import Clock
from edge_agent.store.journal import Journal
from edge_agent.store.outbox_row import OutboxSize
from edge_agent.store.slots import SlotRecord
from edge_agent.store.space import DiskState

log: Final = logging.getLogger("edge_agent.daemon")

SHORTEST_LOAD_S: Final = 1.0
"""Over less than this, a few ticks of the kernel's would be told as a load."""

REVISION_APPLIED: Final = "revision_applied"


class Reporter:
    """Builds the reports of one run of the agent. Any thread, one at a time.

    Args:
        device: its name.
        boot_id: of this run.
        started: when it began, seconds since 1970.
        disk: looks at the disk of the state directory.
        pid: of the agent.
        clock: for the times that are reported.
        hardware: what the device is, now.
        locked_until: when a slot's lock ends, seconds since 1970; None if it is not locked.
    """

    def __init__(
        self,
        device: str,
        boot_id: str,
        *,
        started: float,
        disk: Callable[[], DiskState],
        pid: int,
        clock: Clock,
        journal: Journal,
        supervisor: Workforce,
        hardware: Callable[[], Hardware],
        locked_until: Callable[[str], float | None] = lambda _slot: None,
    ) -> None:
        self.device = device
        self.boot_id = boot_id
        self.started = started
        self._clock = clock
        self._disk = disk
        self._pid = pid
        self._journal = journal
        self._supervisor = supervisor
        self._agent = agent_info(started)
        self._hardware = hardware
        self._locked_until = locked_until
        self._applied = journal.counter(REVISION_APPLIED)
        self._shares = MemoryShares(clock.monotonic)
        self._cpu: dict[int, float] = {}
        self._cpu_at: float | None = None
        self._cpu_percent: float | None = None

    @property
    def agent_version(self) -> str:
        """Version of the installed package."""
        return self._agent.version

    @property
    def uptime_s(self) -> float:
        """Seconds since this run began."""
        return self._clock.moment().uptime_s

    def revisions(self, desired: DesiredState | None) -> tuple[int, int]:
        """The highest revision seen, and the last one that was fully applied.

        Raises:
            StorageError: the journal cannot be read.
        """
        if desired is None:
            return 0, 0
        records = self._journal.slots()
        slots = {*records, *desired.slots}
        if self._applied < desired.revision and all(
            is_settled(desired.slots.get(slot), records.get(slot) or SlotRecord(slot=slot))
            for slot in slots
        ):
            self._applied = desired.revision
            try:
                self._journal.set_counter(REVISION_APPLIED, desired.revision)
            except StorageError as error:
                # The next start finds the slots settled, and counts again.
                log.warning("event=journal_failed text=%r", error.text)
        return desired.revision, self._applied

    def state(self, desired: DesiredState | None, seq: int) -> ReportedState:
        """The reported state, now."""
        seen, applied = self.revisions(desired)
        moment = self._clock.moment()
        return ReportedState(
            device=self.device,
            boot_id=self.boot_id,
            seq=seq,
            time=moment.time,
            revision_seen=seen,
            revision_applied=applied,
            slots=self.slots(desired),
            agent=self._agent,
            hardware=self._hardware(),
            clock_synced=moment.clock_synced,
            uptime_s=round(moment.uptime_s, 3),
        )

    def slots(self, desired: DesiredState | None) -> dict[str, ReportedSlot]:
        """Every slot that is wanted or known, now."""
        records = self._journal.slots()
        wanted = desired.slots if desired is not None else {}
        health = self._supervisor.health()
        return {
            slot: reported_slot(
                records.get(slot) or SlotRecord(slot=slot),
                wanted.get(slot),
                health.get(slot),
                locked_until=self._locked_until(slot),
            )
            for slot in sorted({*records, *wanted})
        }

    def health(self, interval_s: float, outbox: OutboxSize) -> Health:
        """The health report, now. Processor time is since the last one."""
        pids = [self._pid, *self._supervisor.pids()]
        shares = self._shares.of(pids)
        moment = self._clock.moment()
        disk = self._disk()
        return Health(
            device=self.device,
            boot_id=self.boot_id,
            time=moment.time,
            uptime_s=round(moment.uptime_s, 3),
            interval_s=interval_s,
            slots=with_memory(self._supervisor.health(), shares),
            cpu_percent=self._load(pids),
            rss_mb=round(sum(rss_mb(pid) for pid in pids), 1),
            pss_mb=round(sum(shares.values()), 1) if shares else None,
            disk_free_mb=round(disk.free_mb, 1),
            disk_low=disk.is_low,
            outbox_rows=outbox.rows,
            outbox_dropped=outbox.dropped,
            outbox_resent=outbox.resent,
            outbox=outbox.classes,
            clock_synced=moment.clock_synced,
        )

    def _load(self, pids: Sequence[int]) -> float | None:
        """Processor time since the last look, percent of one core; None before there was one.

        What processes used before the first look says nothing about the time since the start.
        """
        now = self._clock.monotonic()
        elapsed = None if self._cpu_at is None else now - self._cpu_at
        if elapsed is not None and elapsed < SHORTEST_LOAD_S:
            return self._cpu_percent
        used = {pid: cpu_seconds(pid) for pid in pids}
        spent = sum(seconds - self._cpu.get(pid, 0.0) for pid, seconds in used.items())
        self._cpu, self._cpu_at = used, now
        if elapsed is not None:
            self._cpu_percent = round(100 * max(spent, 0.0) / elapsed, 2)
        return self._cpu_percent

    def status(
        self,
        desired: DesiredState | None,
        *,
        busy: Collection[str],
        cloud: LinkStatus,
        outbox: OutboxSize,
        http: HttpStatus | None,
        events: tuple[RecentEvent, ...] = (),
        progress: Callable[[SlotRecord], Progress | None] = lambda _record: None,
    ) -> AgentStatus:
        """Everything about the agent, now, for who asks at the device.

        Args:
            desired: what should run.
            busy: slots that are being worked on.
            cloud: the way to it.
            outbox: what waits.
            http: the local HTTP server; None if there is none.
            events: the last ones.
            progress: of the download for a slot.
        """
        records = self._journal.slots()
        seen, applied = self.revisions(desired)
        shares = self._shares.of([self._pid, *self._supervisor.pids()])
        workers = with_memory(self._supervisor.health(), shares)
        moment = self._clock.moment()
        disk = self._disk()
        return AgentStatus(
            device=self.device,
            boot_id=self.boot_id,
            version=self.agent_version,
            pid=self._pid,
            time=moment.time,
            uptime_s=moment.uptime_s,
            cloud=cloud,
            revision_seen=seen,
            revision_applied=applied,
            slots={
                slot: SlotStatus(
                    state=state,
                    worker=workers.get(slot),
                    is_busy=slot in busy,
                    progress=progress(records[slot]) if slot in records else None,
                )
                for slot, state in self.slots(desired).items()
            },
            outbox_rows=outbox.rows,
            outbox_dropped=outbox.dropped,
            outbox_resent=outbox.resent,
            outbox=outbox.classes,
            disk_free_mb=disk.free_mb,
            disk_low=disk.is_low,
            clock_synced=moment.clock_synced,
            clock=self._clock.state(),
            http=http,
            events=events,
            hardware=self._hardware(),
        )


def reported_slot(
    record: SlotRecord,
    wanted: WantedSlot | None,
    health: SlotHealth | None,
    *,
    locked_until: float | None = None,
) -> ReportedSlot:
    """A slot as it is reported. What runs is what a live worker says, not what was planned."""
    is_up = health is not None and health.state == "running"
    if (
        wanted is not None
        and record.phase in UNSETTLED
        and record.target is not None
        and record.target != wanted_version(wanted)
    ):
        # What failed is not wanted any more, and what is wanted is about to begin: whoever waits
        # for that must not take the old failure for its own.
        record = replace(record, phase=Phase.FETCHING, error=None, attempts=0, next_retry=None)
    module = wanted.module if wanted else (record.target.module if record.target else "")
    return ReportedSlot(
        module=module or (health.module if health else ""),
        phase=record.phase,
        running=health.digest if health is not None and is_up else "",
        running_version=health.version if health is not None and is_up else 0,
        shadows=record.serving.shadows if record.serving is not None and is_up else "",
        wanted=wanted.digest if wanted else "",
        wanted_version=wanted.version if wanted else 0,
        error=record.error,
        attempts=record.attempts,
        next_retry=record.next_retry,
        since=record.since,
        locked_until=locked_until,
    )
