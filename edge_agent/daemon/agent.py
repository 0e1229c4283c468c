"""The agent, put together: every object is made here and handed to those that need it.

Threads, and who runs on them: the main thread starts and stops everything, feeds the watchdog and
looks after presence; `cloud-link` moves MQTT packets and runs the inbox; `reconcile` plans, with a
thread for each slot that has work; `uplink` writes and sends the outbox; `local` answers the
status command; `http` keeps the local HTTP server's process running; each worker process has a
reader thread.
"""

import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from edge_agent.config import Settings
from edge_agent.contract.messages import Event
from edge_agent.contract.state import DesiredState
from edge_agent.contract.topics import Channel, control, down_filters
from edge_agent.daemon.clock_watch import ClockWatch
from edge_agent.daemon.cloud_time import CloudTime
from edge_agent.daemon.commands import Commands
from edge_agent.daemon.ending import Ending
from edge_agent.daemon.hardware import DeviceHardware
from edge_agent.daemon.housekeeping import Housekeeping, room_maker, state_disk, sweep
from edge_agent.daemon.http.process import HttpProcess
from edge_agent.daemon.inbox import Inbox
from edge_agent.daemon.installation import RUN_FOLDER, applier
from edge_agent.daemon.links import (
    control_link,
    health_interval_s,
    http_server,
    outbox_limits,
    reconnect_spread_s,
)
from edge_agent.daemon.local import LocalServer
from edge_agent.daemon.lock_desk import LockDesk
from edge_agent.daemon.machine import agent_info
from edge_agent.daemon.notify import ServiceManager
from edge_agent.daemon.presence import Presence
from edge_agent.daemon.reconciler import Reconciler
from edge_agent.daemon.report import Reporter
from edge_agent.daemon.signs import signs
from edge_agent.daemon.slot_events import crash_event, slot_event, worker_event
from edge_agent.daemon.status import AgentStatus, LinkStatus, one_line
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.daemon.uplink import Uplink
from edge_agent.daemon.watchdog import Sign, Watchdog
from edge_agent.daemon.worker import SlotWorker
from edge_agent.errors import StorageError
from edge_agent.link.dial import Dialer
from edge_agent.link.session import CloudSession, SessionEvents
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import WorkerEvent, WorkerSpec, WorkerUplink
from edge_agent.store.clock import SystemClock
from edge_agent.store.journal import Journal
from edge_agent.store.locks import Locks
from edge_agent.store.outbox import Outbox
from edge_agent.store.slots import SlotRecord

log: Final = logging.getLogger("edge_agent.daemon")

TICK_S: Final = 1.0
RETRY_EVERY_TICKS: Final = 5
DRAIN_S: Final = 3.0
LOADED_S: Final = 20.0
"""A module that takes longer to load at boot holds up what the service manager starts after us no
further."""


class Agent:
    """One run of the agent on a state directory whose lock is held.

    Args:
        settings: of the device.
        environment: for the service manager's socket.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._device = settings.agent.device
        self._state_dir = Path(settings.agent.state_dir)
        self._boot_id = uuid.uuid4().hex
        sweep(self._state_dir, self._state_dir / RUN_FOLDER)
        self._disk, ballast = state_disk(settings.disk, self._state_dir)
        self._clock = SystemClock(self._state_dir)
        self._started = self._clock.wall()
        self._ending = Ending()

        self._dialer = Dialer()
        self._cloud_link = control_link(settings)
        self._journal = Journal(
            self._state_dir,
            make_room=room_maker(self._state_dir, ballast),
            wall=self._clock.wall,
        )
        self._launcher = Launcher()
        if self._journal.slots():
            self._launcher.warm_up()  # while the rest is put together
        own_boots = self._journal.boot_ids()
        self._is_boot_noted = False
        self._outbox = Outbox(self._state_dir, self._boot_id, outbox_limits(settings))
        self._locks = Locks(self._state_dir, self._clock, settings.lock.max_s)
        self._hardware = DeviceHardware(
            settings.hardware,
            self._state_dir,
            onnxruntime=agent_info(self._started).onnxruntime,
            on_known=lambda: self._uplink.report_soon(),
        )
        self._supervisor = Supervisor(
            launcher=self._launcher,
            clock=self._clock,
            on_change=self._worker_changed,
            on_uplink=self._result,
            on_heard=self._heard,
        )
        self._reporter = Reporter(
            self._device,
            self._boot_id,
            started=self._started,
            disk=self._disk.look,
            pid=os.getpid(),
            clock=self._clock,
            journal=self._journal,
            supervisor=self._supervisor,
            hardware=self._hardware.reported,
            locked_until=self._locked_until,
        )
        self._applier = applier(
            settings,
            journal=self._journal,
            workers=self._supervisor,
            clock=self._clock,
            dialer=self._dialer,
            hardware=self._hardware,
            disk=self._disk,
            on_change=self._slot_changed,
        )
        self._reconciler = Reconciler(
            self._device,
            journal=self._journal,
            applier=self._applier,
            supervisor=self._supervisor,
            clock=self._clock,
            on_desired=self._desired_changed,
            locks=self._locks,
        )
        self._presence = Presence(
            self._device,
            self._boot_id,
            started=self._started,
            own_boots=own_boots,
            link=self._cloud_link,
            dialer=self._dialer,
            clock=self._clock,
            on_event=self._event,
            on_conflict=self._conflict,
        )
        self._session = CloudSession(
            self._cloud_link,
            self._device,
            filters=(*down_filters(self._device), control(self._device, Channel.STATUS)),
            make_will=self._presence.will,
            clock=self._clock,
            events=SessionEvents(
                on_connected=self._connected,
                on_disconnected=lambda _reason: None,
                on_message=lambda topic, payload: self._inbox.take(topic, payload),
            ),
            spread_s=lambda: reconnect_spread_s(self._reconciler.desired),
            dialer=self._dialer,
        )
        self._uplink = Uplink(
            self._device,
            outbox=self._outbox,
            session=self._session,
            clock=self._clock,
            make_report=lambda seq: self._reporter.state(self._reconciler.desired, seq),
            make_health=lambda every: self._reporter.health(every, self._outbox.size),
            interval_s=health_interval_s(settings, self._reconciler.desired),
            takes_captures=lambda: not self._disk.state.is_low,
        )
        self._inbox = Inbox(
            self._device,
            accept=self._reconciler.accept,
            acknowledge=self._uplink.acknowledged,
            commands=Commands(
                self._device,
                clock=self._clock,
                cloud_time=CloudTime(
                    self._device, self._boot_id, self._clock, self._session.publish
                ),
                report=self._uplink.report_now,
                restart=self._supervisor.restart,
                retry=self._reconciler.retry,
            ),
            publish=self._session.publish,
            on_status=lambda payload: self._presence.on_status(payload, self._session),
            on_event=self._event,
            report=self._uplink.report_again,
        )
        self._housekeeping = Housekeeping(
            self._state_dir,
            disk=self._disk,
            ballast=ballast,
            journal=self._journal,
            outbox=self._outbox,
            on_event=self._event,
            collect=self._applier.collect,
            on_room=self._room_again,
        )
        self._clock_watch = ClockWatch(
            self._clock, on_event=self._event, on_change=self._uplink.report_soon
        )
        desk = LockDesk(
            self._locks,
            known=lambda: self._reporter.slots(self._reconciler.desired),
            busy=lambda: self._reconciler.busy,
            on_change=self._locks_changed,
        )
        self._local = LocalServer(self._state_dir, self.status, desk)
        http = http_server(settings, RUN_FOLDER, self._reporter.agent_version)
        self._http = HttpProcess(http) if http is not None else None
        self._watchdog = Watchdog(ServiceManager(environment), self._signs)

    def run(self) -> int:
        """Run until a signal comes. Returns the exit status."""
        self._ending.listen()
        log.info(
            "event=agent_started device=%s boot_id=%s version=%s state_dir=%s cloud=%s",
            *(self._device, self._boot_id, self._reporter.agent_version),
            *(self._state_dir, self._settings.cloud.url),
        )
        try:
            # 1. What is installed runs first, and needs nobody. 2. Then people and cloud are told.
            self._hardware.start()
            self._reconciler.start()
            self._serve_http()
            self._note_boot()
            self._open_outbox()
            self._housekeeping.start()
            self._listen()
            self._uplink.start()
            self._session.start()
            # 3. The service manager waits for what was installed, whether a broker is there or not.
            self._await_workers(self._clock.monotonic() + LOADED_S)
            self._watchdog.ready()
            self._wait()
        finally:
            self._close()
        return self._ending.exit_code

    def status(self) -> AgentStatus:
        """Everything about this agent, now. Any thread."""
        return self._reporter.status(
            self._reconciler.desired,
            busy=self._reconciler.busy,
            cloud=LinkStatus(
                url=self._settings.cloud.url,
                broker=self._cloud_link.shown,
                is_connected=self._session.is_connected,
                error=self._session.last_error,
                conflict=self._presence.conflict,
            ),
            outbox=self._outbox.size,
            http=self._http.status() if self._http is not None else None,
            events=self._uplink.recent(),
            progress=self._applier.progress,
        )

    def _note_boot(self) -> None:
        """Without space for the note, the agent runs all the same, and tries again later."""
        try:
            self._journal.begin_boot(self._boot_id, self._started)
            self._is_boot_noted = True
        except StorageError as error:
            log.warning("event=boot_not_noted code=%s text=%r", error.code, error.text)

    def _open_outbox(self) -> None:
        """A full one takes its time. Without it, what is to be told gathers in memory."""
        try:
            self._outbox.open()
        except StorageError as error:
            log.error("event=outbox_not_open code=%s text=%r", error.code, error.text)

    def _listen(self) -> None:
        """Without the local door the agent cannot be asked, but it works."""
        try:
            self._local.start()
        except StorageError as error:
            log.error("event=not_listening code=%s text=%r", error.code, error.text)

    def _serve_http(self) -> None:
        if self._http is None:
            return
        if self._settings.http.allow_remote:
            log.warning(
                "event=http_open_to_others listen=%s: whoever reaches it can use every model",
                self._settings.http.listen,
            )
        self._http.start()

    def _await_workers(self, deadline: float) -> None:
        while self._reconciler.loading() and self._clock.monotonic() < deadline:
            if self._ending.wait(0.1):
                return

    def _wait(self) -> None:
        ticks = 0
        while not self._ending.wait(TICK_S):
            ticks += 1
            now = self._clock.monotonic()
            self._presence.tick(now, self._session)
            self._clock_watch.tick()
            self._housekeeping.tick()
            if ticks % RETRY_EVERY_TICKS == 0:
                self._inbox.try_again()
                if not self._is_boot_noted:
                    self._note_boot()
            self._watchdog.round(now, self._one_line())

    def _signs(self) -> Iterator[Sign]:
        loops = (self._reconciler, self._uplink, self._session, self._supervisor, self._local)
        return signs(*loops, self._http, stall_s=self._settings.cloud.stall_s)

    def _one_line(self) -> str:
        return self._presence.conflict or one_line(
            self._supervisor.health(), is_connected=self._session.is_connected
        )

    def _close(self) -> None:
        self._watchdog.stopping()
        log.info("event=agent_stopping reason=%r", self._ending.reason)
        if self._http is not None:
            self._http.stop()
        self._reconciler.stop()
        self._supervisor.close(DRAIN_S)
        self._launcher.close()
        self._uplink.stop()
        goodbye = None if self._presence.conflict else self._presence.goodbye(self._ending.reason)
        self._session.stop(goodbye)
        self._local.stop()
        self._outbox.close()
        self._journal.close()
        self._clock.close()
        log.info("event=agent_stopped device=%s", self._device)

    def _connected(self, _session_present: bool) -> None:
        self._presence.announce(self._session)
        self._uplink.reconnected(reconnect_spread_s(self._reconciler.desired))

    def _conflict(self, is_conflicted: bool) -> None:
        # On a shared broker the workers of both agents have the same client ids: one would throw
        # the other out, for ever.
        if self._settings.shares_cloud_broker:
            self._reconciler.pause(is_conflicted)

    def _desired_changed(self, desired: DesiredState) -> None:
        self._uplink.interval_s = health_interval_s(self._settings, desired)
        self._uplink.report_soon()

    def _locked_until(self, slot: str) -> float | None:
        lock = self._locks.of(slot)
        return lock.until if lock is not None else None

    def _locks_changed(self) -> None:
        self._reconciler.wake()
        self._uplink.report_soon()

    def _room_again(self) -> None:
        """The disk was low and is so no more: what failed for want of room is due."""
        self._applier.room_again()
        self._reconciler.wake()

    def _event(self, event: Event) -> None:
        self._uplink.event(event)

    def _result(self, slot: str, uplink: WorkerUplink) -> None:
        ago_s = max(0.0, self._clock.monotonic() - uplink.arrived_s)
        result, is_sample = bytes(uplink.result), uplink.is_sample
        self._uplink.result(slot, result, ago_s=ago_s, is_sample=is_sample)

    def _heard(self, spec: WorkerSpec, event: WorkerEvent) -> None:
        news = worker_event(spec, event) or self._hardware.heard(spec, event)
        if news is not None:
            self._uplink.event(news, slot=spec.slot)

    def _worker_changed(self, slot: str, worker: SlotWorker, state: str) -> None:
        if state == "crashed" and worker.failure is not None:
            self._uplink.event(crash_event(worker.version, worker.failure), slot=slot)
        self._uplink.report_soon()
        self._reconciler.wake()

    def _slot_changed(self, slot: str, before: SlotRecord, after: SlotRecord) -> None:
        self._uplink.report_soon()
        event = slot_event(before, after)
        if event is not None:
            self._uplink.event(event, slot=slot)
