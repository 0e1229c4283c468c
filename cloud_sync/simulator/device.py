"""A simulated device: messages in, messages out, by a clock that is handed in. No I/O.

It keeps to the contract as the agent does: a last will, reports and events through an outbox until
they are acknowledged, revisions that only go up, health at its interval, answers to commands.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cloud_sync.simulator.behaviour import Behaviour, fate_of
from cloud_sync.simulator.chance import chance
from cloud_sync.simulator.inventory import hardware_of
from cloud_sync.simulator.outages import Outage, next_outage
from cloud_sync.simulator.outbox import SimulatedOutbox
from cloud_sync.simulator.slots import SimulatedSlot, advance, restarted, retry, want
from cloud_sync.simulator.work import ScoreSource, Worker
from edge_agent.contract.messages import (
    Ack,
    Command,
    CommandResult,
    Event,
    Health,
    Status,
    Telemetry,
)
from edge_agent.contract.state import (
    AgentInfo,
    AgentSettings,
    DesiredState,
    Phase,
    ReportedState,
    WantedSlot,
)
from edge_agent.contract.topics import Channel, control, parse
from edge_agent.contract.wire import decode, encode

GATHER_S: Final = 0.5
"""Changes within so short a time are told in one report."""
SLOWEST_LOOK_S: Final = 3600.0
_MOST_BEGAN: Final = 50
_TOLD: Final = frozenset({Phase.ACTIVE, Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK})


class Began(Struct, frozen=True):
    """A version began to answer in a slot, because of a revision."""

    slot: str
    revision: int
    digest: str


class Outgoing(Struct, frozen=True):
    """A message to the broker."""

    topic: str
    payload: bytes
    qos: int = 1
    is_retained: bool = False


def _no_scores(_version: WantedSlot, _psi: float) -> None:
    """For versions without profiles."""


class SimulatedDevice:
    """One device.

    Args:
        name: of the device.
        behaviour: of the fleet.
        began: when the simulation began, seconds since 1970.
        agent: that it claims to be.
        scores: of versions; asked for one as soon as it should run.

    Attributes:
        outage: the time away that comes next, or that is now.
        revision: the highest that was seen.
        began: what has run here, in order; the last so many.
    """

    def __init__(
        self,
        name: str,
        behaviour: Behaviour,
        began: float,
        agent: AgentInfo,
        scores: ScoreSource = _no_scores,
    ) -> None:
        self.name = name
        self.slots: dict[str, SimulatedSlot] = {}
        self.outage: Outage = next_outage(behaviour, name)
        self.revision = 0
        self.began: deque[Began] = deque(maxlen=_MOST_BEGAN)
        self.outbox = SimulatedOutbox()
        self._behaviour = behaviour
        self._start = began
        self._settings = AgentSettings()
        self._hardware = hardware_of(behaviour.seed, name)
        self._agent = agent
        self._scores = scores
        self._workers: dict[str, Worker] = {}
        self._workers_made = 0
        self._answers: list[Outgoing] = []
        self._is_connected = False
        self._boots = 0
        self._boot(began)
        self._health_due = 0.0
        self._report_due: float | None = None
        self._applied = 0

    @property
    def interval_s(self) -> float:
        """Between two health reports."""
        return self._settings.health_interval_s or self._behaviour.health_interval_s

    def will(self, now: float) -> Outgoing:
        """What the broker says when the connection is gone without a word."""
        return self._status("offline", "connection lost", now)

    def goodbye(self, reason: str, now: float) -> Outgoing:
        """What it says when it goes."""
        return self._status("offline", reason, now)

    def is_away(self, now: float) -> bool:
        """Whether the schedule wants it away now. Times away that were slept through are over."""
        since = now - self._start
        while self.outage.ends <= since:
            self.outage = next_outage(self._behaviour, self.name, self.outage)
        return self.outage.begins <= since

    def returned(self, now: float) -> None:
        """A time away is over."""
        if self.outage.is_reboot:
            self._boot(now)
        self.outage = next_outage(self._behaviour, self.name, self.outage)

    def connected(self, now: float) -> Outgoing:
        """It is subscribed: from now on messages can go."""
        self._is_connected = True
        self.outbox.reconnected(now)
        self._report_due = now
        words = (self.name, "health", self._boots)
        self._health_due = now + self.interval_s * chance(self._behaviour.seed, *words)
        return self._status("online", "", now)

    def lost(self) -> None:
        """There is no connection any more."""
        self._is_connected = False
        self._answers.clear()

    def take(self, topic: str, payload: bytes, now: float) -> None:
        """A message came.

        Raises:
            ContractError: it is not as the contract says.
        """
        found = parse(topic)
        match found.channel:
            case Channel.DESIRED if payload:
                self._want(decode(DesiredState, payload), now)
            case Channel.ACK:
                self.outbox.acknowledge(decode(Ack, payload))
            case Channel.COMMAND:
                self._obey(decode(Command, payload), found.message_id, now)
            case _:
                pass

    def due(self, now: float) -> float:
        """When `work` has something to do next, seconds since 1970.

        Args:
            now: seconds since 1970.
        """
        times = [now + SLOWEST_LOOK_S]
        times += [slot.due for slot in self.slots.values() if slot.due is not None]
        if self._is_connected:
            times.append(self._health_due)
            if self._report_due is not None:
                times.append(self._report_due)
            if (waiting := self.outbox.due()) is not None:
                times.append(waiting)
            if self._answers:
                times.append(now)
        return max(now, min(times))

    def work(self, now: float) -> Iterator[Outgoing]:
        """Do what is due, and say what there is to say."""
        for name in tuple(self.slots):
            self._advance(name, now)
        if not self._is_connected:
            return
        if self._report_due is not None and self._report_due <= now:
            self._report_due = None
            report = self._state(now)
            self.outbox.report(self._boot_id, encode(report), now)
        for batch in self.outbox.take(now):
            if batch.report:
                yield Outgoing(control(self.name, Channel.REPORTED), batch.report)
                continue
            telemetry = Telemetry(
                device=self.name,
                boot_id=batch.boot_id,
                rows=batch.rows,
                time=now,
                uptime_s=now - self._booted if batch.boot_id == self._boot_id else None,
                clock_synced=True,
            )
            yield Outgoing(control(self.name, Channel.TELEMETRY), encode(telemetry))
        if self._health_due <= now:
            self._health_due = now + self.interval_s
            yield Outgoing(control(self.name, Channel.HEALTH), encode(self.health(now)), qos=0)
        answers, self._answers = self._answers, []
        yield from answers

    def health(self, now: float) -> Health:
        """The health report, now."""
        live = self._live(now)
        workers = {name: worker.health(now, live) for name, worker in live.items()}
        return Health(
            device=self.name,
            boot_id=self._boot_id,
            time=now,
            uptime_s=round(now - self._booted, 3),
            interval_s=self.interval_s,
            slots=workers,
            cpu_percent=1.0 + 2.0 * len(workers),
            rss_mb=round(60.0 + sum(worker.rss_mb for worker in workers.values()), 1),
            disk_free_mb=2_000.0,
            outbox_rows=len(self.outbox),
            outbox_dropped=self.outbox.dropped,
            clock_synced=True,
        )

    def _boot(self, now: float) -> None:
        self._boots += 1
        self._booted = now
        number = int(chance(self._behaviour.seed, self.name, "boot", self._boots) * 2**48)
        # Another run of the same simulation is another boot: the cloud may know the first one.
        self._boot_id = f"sim-{number:012x}-{int(self._start * 1000):x}"
        self.slots = {name: restarted(slot, now) for name, slot in self.slots.items()}

    def _want(self, desired: DesiredState, now: float) -> None:
        if desired.revision < self.revision or desired.device != self.name:
            return
        if desired.revision == self.revision:
            # Somebody does not know how far we are.
            self._report_soon(now)
            return
        self.revision = desired.revision
        self._settings = desired.settings
        words = (self.name, "spread", desired.revision)
        share = chance(self._behaviour.seed, *words)
        wait_s = desired.settings.fetch_spread_s * share
        before, self.slots = self.slots, {}
        for name, wanted in desired.slots.items():
            self._scores(wanted, self._behaviour.flaw_of(wanted).psi)
            self._change(name, want(before.get(name), wanted, now, wait_s=wait_s), before.get(name))
        self._report_soon(now)

    def _obey(self, command: Command, message_id: str, now: float) -> None:
        is_late = now > command.deadline
        if not is_late and command.name == "report":
            self._report_due, self._health_due = now, now
        elif not is_late and command.slot in self.slots:
            slot = self.slots[command.slot]
            is_retry = command.name == "retry-slot"
            self.slots[command.slot] = retry(slot, now) if is_retry else restarted(slot, now)
        is_unknown = command.name != "report" and command.slot not in self.slots
        code = "expired" if is_late else "slot_not_found" if is_unknown else ""
        result = CommandResult(
            device=self.name,
            ok=not code,
            code=code,
            time=now,
            uptime_s=now - self._booted,
            clock_synced=True,
        )
        topic = control(self.name, Channel.RESULT, message_id)
        self._answers.append(Outgoing(topic, encode(result)))

    def _advance(self, name: str, now: float) -> None:
        slot = self.slots[name]
        while slot.due is not None and slot.due <= now:
            wanted = slot.wanted
            seed = self._behaviour.seed
            after = advance(
                slot,
                fate_of(self._behaviour, self.name, wanted),
                slot.due,
                has_files=self._has_files(wanted.digest),
                retry_chance=chance(seed, self.name, wanted.digest, "retry", slot.attempts),
            )
            if after.phase is not slot.phase:
                self._tell(name, after, now)
            self._change(name, after, slot)
            slot = after

    def _change(self, name: str, after: SimulatedSlot, before: SimulatedSlot | None) -> None:
        serving = after.serving
        was = before.serving if before else None
        if serving is not None and (was is None or was.digest != serving.digest):
            self.began.append(Began(name, self.revision, serving.digest))
        self.slots[name] = after

    def _has_files(self, digest: str) -> bool:
        held = (
            version.digest
            for slot in self.slots.values()
            for version in (slot.active, slot.serving, slot.previous)
            if version is not None
        )
        return digest in held

    def _tell(self, name: str, slot: SimulatedSlot, now: float) -> None:
        self._report_soon(now)
        if slot.phase not in _TOLD:
            return
        error = slot.error
        event = Event(
            name=f"slot_{slot.phase.value}",
            text=f"{slot.wanted.module}/{slot.wanted.version}"
            + (f": {error.code}: {error.text}" if error else ""),
            level="error" if error else "info",
            detail={"module": slot.wanted.module, "version": str(slot.wanted.version)},
        )
        uptime_s = now - self._booted
        self.outbox.event(self._boot_id, encode(event), now, slot=name, uptime_s=uptime_s)

    def _report_soon(self, now: float) -> None:
        if self._report_due is None:
            self._report_due = now + GATHER_S

    def _state(self, now: float) -> ReportedState:
        if all(slot.due is None for slot in self.slots.values()):
            self._applied = self.revision
        return ReportedState(
            device=self.name,
            boot_id=self._boot_id,
            seq=self.outbox.next_seq,
            time=now,
            revision_seen=self.revision,
            revision_applied=self._applied,
            slots={name: slot.reported() for name, slot in self.slots.items()},
            agent=replace(self._agent, started=self._booted),
            hardware=self._hardware,
            clock_synced=True,
            uptime_s=round(now - self._booted, 3),
        )

    def _live(self, now: float) -> Mapping[str, Worker]:
        """The workers that should be there now; those that are go on counting."""
        found: dict[str, Worker] = {}
        for name, slot in self.slots.items():
            serving = slot.serving
            if serving is None or now < slot.serving_since:
                continue
            worker = self._workers.get(name)
            if (
                worker is None
                or worker.version.digest != serving.digest
                or worker.began != slot.serving_since
            ):
                self._workers_made += 1
                worker = Worker(
                    self._behaviour,
                    self.name,
                    name,
                    serving,
                    slot.serving_since,
                    self._workers_made,
                    self._scores,
                )
            found[name] = worker
        self._workers = found
        return found

    def _status(self, state: str, reason: str, now: float) -> Outgoing:
        status = Status(
            device=self.name,
            state="online" if state == "online" else "offline",
            boot_id=self._boot_id,
            started=self._booted,
            time=now,
            host="simulated",
            reason=reason,
            uptime_s=round(now - self._booted, 3),
            clock_synced=True,
        )
        return Outgoing(control(self.name, Channel.STATUS), encode(status), is_retained=True)
