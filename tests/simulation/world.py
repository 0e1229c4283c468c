"""Everything together: one device, its broker, its service, and what must always be true of them.

`check` states what holds after every step, whatever went wrong; `calm` ends all disorder, lets a
bounded time pass, and states what must then be reached: nothing is stuck for ever.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_agent.contract.messages import Ack
from edge_agent.contract.state import Phase, SlotConfig, WantedSlot
from edge_agent.reconcile.plan import is_settled, wanted_version
from edge_agent.reconcile.trial import MOST_INTERRUPTIONS
from edge_agent.store.outbox_flight import RowName
from edge_agent.store.outbox_row import OutboxItem
from edge_agent.store.slots import FINAL_FAILURES, SlotRecord
from tests.simulation.broker import SimulatedBroker
from tests.simulation.device import NAME, SimulatedDevice
from tests.simulation.disorder import Disorder
from tests.simulation.fate import Death, Fate
from tests.simulation.modules import WELCOME, Character, Nature
from tests.simulation.service import Published, SimulatedService
from tests.simulation.workers import Shyness
from tests.support.simulated_clock import SimulatedClock

MOST_DEATHS: Final = 12
"""Starts in a row that end in death: two slots may each take the machine down three times."""

CALM_S: Final = 4_000.0
"""So long after the last fault everything is where it should be, or says why it is not: the longest
back-offs of the agent, one behind the other, and a trial."""

CALM_ROUNDS: Final = 1_500
DEADLY: Final = frozenset({Character.DEADLY_PROOF, Character.DEADLY_LOAD, Character.DEADLY_LIVE})


class World:
    """One device, one broker, one service.

    Args:
        folder: of everything on any disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._boots = 0
        self._cut_off = 0
        self._numbers = 0
        self._results: dict[RowName, bytes] = {}
        self._reports: set[RowName] = set()
        self._highest = 0
        self._shyness = Shyness()
        self.fate = Fate()
        self.disorder = Disorder()
        self.broker = SimulatedBroker()
        self.service_clock = SimulatedClock()
        self._began = self.service_clock.monotonic()
        (folder / "service").mkdir()
        self.service = SimulatedService(
            folder / "service", self.broker, self.disorder, self.service_clock
        )
        self.clock = SimulatedClock()
        self.device: SimulatedDevice | None = None
        self.boot()

    @property
    def boots(self) -> int:
        """How often the agent was started."""
        return self._boots

    @property
    def simulated_s(self) -> float:
        """How much time has passed in it, by the service's clock, seconds."""
        return self.service_clock.monotonic() - self._began

    def close(self) -> None:
        """End everything."""
        if self.device is not None:
            self.device.vanish()
        self.service.stop()

    def boot(self) -> None:
        """Start the agent, as often as it takes."""
        for _ in range(MOST_DEATHS):
            if self.device is not None:
                return
            self._survives(self._boot)
        assert self.device is not None, f"it never starts: {self.fate.last}"

    def restart(self) -> None:
        """End the agent in good order, and start it."""
        device = self.device
        if device is not None and self._survives(device.end):
            self._bury(is_orderly=True)
        self.boot()

    def power_cut(self, *, has_clock: bool) -> None:
        """The machine loses power, and starts; without a clock of its own it wakes up in 1970."""
        self._bury()
        wall = self.clock.wall() if has_clock else 0.0
        self.clock = SimulatedClock(wall=wall, monotonic=10.0, synced=has_clock)
        self.boot()

    def kill(self) -> None:
        """The agent is killed, and started."""
        self._bury()
        self.boot()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and everybody do what they do in it; what died is started."""
        left = seconds
        while left > 0:
            step = min(left, 1.0 if seconds - left < 10.0 else 5.0)
            left -= step
            self.round(step)

    def round(self, seconds: float) -> None:
        """Let a moment pass."""
        self.clock.advance(seconds)
        self.service_clock.advance(seconds)
        self.boot()
        self._survives(lambda: self._agent().round())
        self.service.round()
        self.check()

    def publish(self, module: str, character: Character) -> None:
        """Publish a new version."""
        self._numbers += 1
        self.service.publish(module, Nature(character=character, number=self._numbers))

    def deploy(self, wanted: Published, config: SlotConfig) -> None:
        """Want a version, the newest or an older one."""
        self.service.deploy(NAME, wanted, config)

    def result(self, slot: str) -> None:
        """A worker has a result for the cloud."""
        if self.device is not None:
            self._numbers += 1
            self.device.uplink.result(slot, b'{"number":%d}' % self._numbers)

    def check(self) -> None:
        """What is true at any time."""
        device = self.device
        if device is None:
            return
        desired = device.reconciler.desired
        revision = desired.revision if desired is not None else 0
        assert revision >= self._highest, "a revision was taken back"
        self._highest = revision
        for slot, record in device.journal.slots().items():
            for version in (record.active, record.previous):
                if version is not None:
                    nature = self._published(version.digest).nature
                    assert nature.character in WELCOME, f"{nature} was committed"
            is_wanted = desired is None or slot in desired.slots
            if record.serving is not None and is_wanted:
                worker = device.workers.live.get(slot)
                assert worker is not None, f"{slot} is down: {record}"
                assert worker.version in record.installed, f"{worker} runs in {record}"

    def calm(self) -> None:
        """End all disorder; within a bounded time all is well, or says why not."""
        self.disorder.end()
        self.fate.put_out()
        if not self.service.is_up:
            self.service.start()
        began = self.service_clock.monotonic()
        why = ""
        for number in range(CALM_ROUNDS):
            self.round(1.0 if number < 100 else 5.0)
            if self.device is not None:
                self.device.session.sees_retained = True
            why = self._unsettled()
            if not why:
                self._check_rows()
                return
            if self.service_clock.monotonic() - began > CALM_S:
                break
        raise AssertionError(f"stuck: {why}")

    def _boot(self) -> None:
        self._boots += 1
        self.clock = SimulatedClock(
            wall=self.clock.wall(), monotonic=self.clock.monotonic(), synced=self.clock.synced
        )
        boot_id = f"boot-{self._boots:04d}"
        (self._folder / "device").mkdir(exist_ok=True)
        self.device = SimulatedDevice(
            self._folder / "device",
            boot_id,
            clock=self.clock,
            broker=self.broker,
            fate=self.fate,
            disorder=self.disorder,
            shyness=self._shyness,
            files=self.service.files,
            on_change=self._changed,
            on_kept=lambda number, item: self._kept((boot_id, number), item),
            on_acknowledged=self._acknowledged,
        )
        self.device.boot()
        self.check()

    def _survives(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except Death:
            self._bury()
            return False
        return True

    def _bury(self, *, is_orderly: bool = False) -> None:
        if self.device is not None:
            self.device.vanish()
        self._cut_off += not is_orderly
        self.device = None
        self.broker.disconnect(NAME)

    def _agent(self) -> SimulatedDevice:
        assert self.device is not None
        return self.device

    def _changed(self, _slot: str, before: SlotRecord, after: SlotRecord) -> None:
        if after.target is None or after.active == before.active:
            kept = (before.active, before.previous)
            assert after.target is None or (after.active, after.previous) == kept
            return
        assert after.active == before.candidate, "what was committed was not on trial"
        assert after.previous in (before.active, before.previous)

    def _kept(self, name: RowName, item: OutboxItem) -> None:
        if item.kind == "result":
            self._results[name] = item.data
        elif item.kind == "reported":
            self._reports.add(name)

    def _acknowledged(self, ack: Ack) -> None:
        rows = {(ack.boot_id, seq) for seq in ack.seqs} - self._reports
        assert rows <= self.service.committed, "acknowledged, and not committed"

    def _published(self, digest: str) -> Published:
        return next(found for found in self.service.published if found.digest == digest)

    def _unsettled(self) -> str:
        """What is not where it should be yet, and does not say why; empty if all is well."""
        device = self.device
        if device is None:
            return "the agent is dead"
        wanted = self.service.desired(NAME)
        known = device.reconciler.desired
        seen = known.revision if known is not None else 0
        if seen != wanted.revision:
            return f"revision {wanted.revision} is wanted, {seen} was seen"
        records = device.journal.slots()
        for slot in {*wanted.slots, *records}:
            record = records.get(slot) or SlotRecord(slot=slot)
            why = self._unexplained(wanted.slots.get(slot), record)
            if why:
                return why
        if device.outbox.size.rows:
            return f"{device.outbox.size.rows} rows wait"
        reported = self.service.reported(NAME)
        if reported is None or reported.revision_seen != wanted.revision:
            return f"the service knows of {reported}"
        for slot, record in records.items():
            said = reported.slots[slot]
            if (said.phase, said.attempts) != (record.phase, record.attempts):
                return f"reported {said}, found {record}"
        return ""

    def _unexplained(self, wanted: WantedSlot | None, record: SlotRecord) -> str:
        if is_settled(wanted, record):
            return ""
        if wanted is None or record.target != wanted_version(wanted):
            return f"{wanted} is wanted, {record} found"
        error, character = record.error, self._published(wanted.digest).nature.character
        is_final = record.phase in FINAL_FAILURES
        if error is None or not error.code:
            return f"no reason: {record}"
        if error.code == "agent_restarted":
            return "" if is_final and self._cut_off >= MOST_INTERRUPTIONS else f"why? {record}"
        if character in WELCOME | DEADLY:
            return f"{character}: {record}"
        if is_final or (record.phase is Phase.FAILED and record.next_retry is not None):
            return ""
        return f"no next attempt: {record}"

    def _check_rows(self) -> None:
        missing = self._results.keys() - self.service.committed
        assert not missing, f"lost: {missing}"
        there = self.service.results()
        assert len(there) == len(set(there)), "a result was counted twice"
        expected = {self._results[name] for name in self._results.keys() & self.service.in_database}
        assert set(there) == expected, "another result than was sent"
