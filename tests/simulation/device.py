"""One device: the agent's real parts, put together for one thread that the test drives.

Real: journal, outbox, blobs, planning, applying, reporting, the uplink, the inbox and commands.
Simulated: time, workers, downloads, the session. Which thread does what is not looked at here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge_agent.contract.messages import Ack, Event, Status
from edge_agent.contract.state import DesiredState, Hardware
from edge_agent.contract.topics import Channel, control, down_filters
from edge_agent.contract.wire import encode
from edge_agent.daemon.cloud_time import CloudTime
from edge_agent.daemon.commands import Commands
from edge_agent.daemon.housekeeping import Housekeeping, sweep
from edge_agent.daemon.inbox import Inbox
from edge_agent.daemon.reconciler import Reconciler
from edge_agent.daemon.report import Reporter
from edge_agent.daemon.slot_events import slot_event
from edge_agent.daemon.uplink import Uplink
from edge_agent.errors import Conflict, NotFound, StorageError
from edge_agent.reconcile.apply import Applier
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.ballast import Ballast
from edge_agent.store.blobs import BlobStore
from edge_agent.store.disk import DiskWatch
from edge_agent.store.outbox_row import OutboxItem
from edge_agent.store.slots import SlotRecord
from tests.simulation.broker import Packet, SimulatedBroker
from tests.simulation.disorder import Disorder
from tests.simulation.downloads import SimulatedDownloader
from tests.simulation.fate import Fate
from tests.simulation.storage import Disk, MortalJournal, MortalOutbox
from tests.simulation.workers import Shyness, SimulatedWorkers
from tests.support.simulated_clock import SimulatedClock

NAME: Final = "line-1"
DEAD_LINE_S: Final = 30.0
RECONNECT_S: Final = 2.0
DELIVERED: Final = 20
RETRY_EVERY_TICKS: Final = 5

Observer = Callable[[str, SlotRecord, SlotRecord], None]


class SimulatedSession:
    """The device's connection, as far as the agent uses it.

    Args:
        broker: where it leads.
        disorder: of the world.
        clock: of the device.
        fate: of its agent.
        make_status: says that the device is there, or not.
    """

    def __init__(
        self,
        broker: SimulatedBroker,
        disorder: Disorder,
        clock: SimulatedClock,
        fate: Fate,
        make_status: Callable[[bool], bytes],
    ) -> None:
        self._broker = broker
        self._disorder = disorder
        self._clock = clock
        self._fate = fate
        self._make_status = make_status
        self._topic = control(NAME, Channel.STATUS)
        self._dead_since: float | None = None
        # As in the buffers of TCP: it arrives when the line is back, or is gone with the line.
        self._on_the_way: list[tuple[str, bytes, bool]] = []
        self._again_at = 0.0
        self.sees_retained = True
        self.is_connected = False

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand a message over."""
        if not self.is_connected:
            return False
        self._fate.pass_by("before a message")
        self._on_the_way.append((topic, payload, retain))
        self._move()
        self._fate.pass_by("after a message")
        return True

    def round(self, on_connected: Callable[[], None], take: Callable[[str, bytes], None]) -> None:
        """Notice what became of the connection, come back, take in what has arrived."""
        now = self._clock.monotonic()
        if self.is_connected and self._is_gone(now):
            self.is_connected = False
            self._on_the_way.clear()
            self._again_at = now + RECONNECT_S
            self._broker.disconnect(NAME)
        if not self.is_connected and not self._disorder.is_network_cut and now >= self._again_at:
            self._dead_since = None
            will = Packet(self._topic, self._make_status(False))
            self._broker.connect(NAME, down_filters(NAME), will, sees_retained=self.sees_retained)
            self.is_connected = True
            self.publish(self._topic, self._make_status(True), retain=True)
            on_connected()
        if not self.is_connected or self._disorder.is_line_dead:
            return
        self._move()
        for packet in self._broker.deliver(NAME, DELIVERED):
            take(packet.topic, packet.payload)
            self._broker.confirm(NAME, [packet])

    def _move(self) -> None:
        if not self._disorder.is_line_dead:
            for topic, payload, retain in self._on_the_way:
                self._broker.publish(topic, payload, retain=retain)
            self._on_the_way.clear()

    def _is_gone(self, now: float) -> bool:
        if self._disorder.is_network_cut or not self._broker.is_connected(NAME):
            return True
        if not self._disorder.is_line_dead:
            self._dead_since = None
            return False
        if self._dead_since is None:
            self._dead_since = now
        return now - self._dead_since > DEAD_LINE_S


class SimulatedDevice:
    """An agent that runs until it dies.

    Args:
        folder: the state directory.
        boot_id: of this run.
        clock: of the device, for this run.
        broker: of the cloud.
        fate: of the agent.
        disorder: of the world.
        shyness: of the versions.
        files: gives what the service has.
        on_change: told of every change of a slot.
        on_kept: told of every row that is on the disk.
        on_acknowledged: told of what the cloud says it has.
    """

    def __init__(
        self,
        folder: Path,
        boot_id: str,
        *,
        clock: SimulatedClock,
        broker: SimulatedBroker,
        fate: Fate,
        disorder: Disorder,
        shyness: Shyness,
        files: Callable[[], Mapping[str, bytes] | None],
        on_change: Observer,
        on_kept: Callable[[int, OutboxItem], None],
        on_acknowledged: Callable[[Ack], None],
    ) -> None:
        self.boot_id = boot_id
        self._clock = clock
        self._observer = on_change
        self._ticks = 0
        self._started = clock.wall()
        disk = Disk(fate, disorder)
        sweep(folder, folder / "run")
        self.journal = MortalJournal(folder, disk, wall=clock.wall)
        self.outbox = MortalOutbox(
            folder, boot_id, disk, on_kept=on_kept, on_acknowledged=on_acknowledged
        )
        self.blobs = BlobStore(folder)
        self.workers = SimulatedWorkers(clock, fate, shyness)
        watch = DiskWatch(folder, read=disk.usage)
        self.session = SimulatedSession(broker, disorder, clock, fate, self._status)
        self.applier = Applier(
            journal=self.journal,
            blobs=self.blobs,
            downloader=SimulatedDownloader(clock, fate, disorder, files),
            workers=self.workers,
            specs=WorkerSpecs(
                NAME,
                BrokerAddress(url="mqtt://127.0.0.1:1"),
                is_shared=False,
                blobs=self.blobs,
                run_folder=folder / "run",
            ),
            clock=clock,
            on_change=self._changed,
            forget_session=lambda _client_id: None,
            disk=watch,
        )
        self.reconciler = Reconciler(
            NAME,
            journal=self.journal,
            applier=self.applier,
            supervisor=self.workers,
            clock=clock,
            on_desired=lambda _desired: self.uplink.report_soon(),
            begin_work=lambda _slot, work: work(),
        )
        reporter = Reporter(
            NAME,
            boot_id,
            started=self._started,
            disk=watch.look,
            pid=1,
            clock=clock,
            journal=self.journal,
            supervisor=self.workers,
            hardware=Hardware,
        )
        self.uplink = Uplink(
            NAME,
            outbox=self.outbox,
            session=self.session,
            clock=clock,
            make_report=lambda seq: reporter.state(self.reconciler.desired, seq),
            make_health=lambda every: reporter.health(every, self.outbox.size),
            interval_s=30.0,
            takes_captures=lambda: not watch.state.is_low,
        )
        self._inbox = Inbox(
            NAME,
            accept=self._accept,
            acknowledge=self.uplink.acknowledged,
            commands=Commands(
                NAME,
                clock=clock,
                cloud_time=CloudTime(NAME, boot_id, clock, self.session.publish),
                report=self.uplink.report_now,
                restart=lambda _slot: None,
                retry=self.reconciler.retry,
            ),
            publish=self.session.publish,
            on_status=lambda _payload: None,
            on_event=self.uplink.event,
            report=self.uplink.report_again,
        )
        self._housekeeping = Housekeeping(
            folder,
            disk=watch,
            ballast=Ballast(folder, 0),
            journal=self.journal,
            outbox=self.outbox,
            on_event=self.uplink.event,
            collect=self.applier.collect,
            on_room=self.applier.room_again,
        )

    def boot(self) -> None:
        """In the order of the daemon: what is installed runs first."""
        self.reconciler.recover()
        self._note_boot()
        self.outbox.open()
        self._housekeeping.start()

    def round(self) -> None:
        """What all threads of the agent do in a while, one after the other."""
        self.session.round(self._connected, self._inbox.take)
        self.reconciler.round()
        self.uplink.round()
        self._housekeeping.tick()
        if self._ticks % RETRY_EVERY_TICKS == 0:
            self._inbox.try_again()
        self._ticks += 1

    def retry(self, slot: str) -> None:
        """Somebody asks for another attempt."""
        try:
            self.reconciler.retry(slot)
        except (Conflict, NotFound):
            return

    def end(self) -> None:
        """End in good order."""
        self.reconciler.stop()
        self.uplink.stop()
        self.uplink.round()

    def vanish(self) -> None:
        """Nothing of it is left but what is on the disk."""
        self.outbox.close()
        self.journal.close()

    def _note_boot(self) -> None:
        try:
            self.journal.begin_boot(self.boot_id, self._started)
        except StorageError:
            return  # as the daemon, which tries again later

    def _accept(self, payload: bytes) -> DesiredState | None:
        return self.reconciler.accept(payload)

    def _connected(self) -> None:
        self.uplink.reconnected()

    def _changed(self, slot: str, before: SlotRecord, after: SlotRecord) -> None:
        self._observer(slot, before, after)
        self.uplink.report_soon()
        event: Event | None = slot_event(before, after)
        if event is not None:
            self.uplink.event(event, slot=slot)

    def _status(self, is_online: bool) -> bytes:
        now = self._clock.moment()
        return encode(
            Status(
                device=NAME,
                state="online" if is_online else "offline",
                boot_id=self.boot_id,
                started=self._started,
                time=now.time,
                uptime_s=now.uptime_s,
                clock_synced=now.clock_synced,
            )
        )
