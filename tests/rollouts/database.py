"""The same stories on the real parts: database, driver, ingest and publisher of two services.

Everything that `fleet` does in memory is done here by what the service is made of; devices and the
judge are the same. Brokers, HTTP and threads are not here: each call does its work before it ends.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from msgspec.structs import replace
from sqlalchemy import select

from cloud_sync.db.rollout_tables import rollout_events
from cloud_sync.errors import ShoalError
from cloud_sync.fleet.measures_store import count_labels
from cloud_sync.resources import Deployment, TagChange
from cloud_sync.rollout.invariants import Judge
from cloud_sync.rollout.observation import Joiner
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.store import load
from cloud_sync.rollout.violation import Heard
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutOrder, RolloutState, RolloutWish
from edge_agent.contract.state import DesiredState, Phase
from edge_agent.contract.topics import Channel, parse
from edge_agent.contract.wire import decode
from tests.rollouts.claims import latecomers
from tests.rollouts.cloud import SLOTS
from tests.rollouts.device import Nature, Report, RolloutDevice
from tests.rollouts.fleet import FIRST, LABELS, MESSAGES_PER_S, NOON, RESUMES, SITES, Action
from tests.rollouts.outcome import Outcome, is_at_rest, tell_installed
from tests.rollouts.stored import all_rollouts, event_of, labels_of
from tests.rollouts.story import VERSIONS
from tests.support.cloud import Cloud, change, cloud
from tests.support.letters import letter, reported, status
from tests.support.slot_counters import SlotCounters

BAD_PERCENT = 20
CALM_S = (30.0,) * 16 + (600.0,) * 10 + (7_200.0,) * 14 + (90_000.0,) * 6


def prepare(folder: Path) -> None:
    """A database in which all versions are published; stories begin with a copy of it."""
    with cloud(folder, clock=lambda: NOON) as made:
        for number in range(len(VERSIONS) + 1):
            made.publish(data=f"version {number}".encode())


class DatabaseFleet:
    """What `Fleet` is, on real parts.

    Args:
        size: how many devices.
        template: folder that `prepare` has filled.
        folder: empty, for this story's database.
    """

    def __init__(self, size: int, template: Path, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(template, folder, dirs_exist_ok=True)
        self.now = NOON
        self.refused = 0
        self.judge = Judge()
        self._last_event = 0
        self._matching: dict[int, set[str]] = {}
        self._numbers = 0
        self._counters = SlotCounters()
        self._seq: dict[str, int] = {}
        self._retained: dict[str, DesiredState] = {}
        self._stacks = [ExitStack(), ExitStack()]
        self._clouds = [self._open(stack) for stack in self._stacks]
        self.devices = {
            f"d{number}": RolloutDevice(f"d{number}", SITES[number % len(SITES)])
            for number in range(size)
        }
        modules = self._clouds[0].parts.modules.versions("probe")
        self._digests = {one.version: one.digest for one in modules}
        for name in self.devices:
            self._write(status(name))
        everybody = Deployment(module="probe", to="all", version=1)
        self._clouds[0].parts.deployments.deploy(everybody, change(self.now))
        for _ in range(3):
            self._go_on(0)
        self._follow()

    def close(self) -> None:
        for stack in self._stacks:
            stack.close()

    # What people do.

    def begin(self, devices: Sequence[str], _digest: str, policy: Policy, slot: str) -> None:
        self._numbers += 1
        wish = RolloutWish(
            module="probe",
            version=self._numbers + 1,
            slot=slot,
            to=" or ".join([*devices, f"tag:{_tag(self._numbers)}"]),
            policy=policy,
            seed=self._numbers,
        )
        self.now += 1e-3
        self._clouds[0].parts.rollouts.create(wish, change(self.now), start=False)

    def match(self, number: int, name: str) -> None:
        self.now += 1e-3
        self._matching.setdefault(number, set()).add(name)
        tags = TagChange(set={_tag(number): "yes"})
        self._clouds[0].parts.devices.tag(name, tags, change(self.now))

    def label(self, digest: str, is_right: bool) -> None:
        self.now += 1e-3
        real = self._real(digest)
        right, wrong = (LABELS, 0) if is_right else (0, LABELS)
        with self._clouds[0].parts.database.write() as connection:
            for name, device in self.devices.items():
                for slot, state in device.slots.items():
                    if state.running == real:
                        count_labels(
                            connection,
                            device=name,
                            slot=slot,
                            digest=real,
                            right=right,
                            wrong=wrong,
                            now=self.now,
                        )

    def order(self, scheduler: int, number: int, action: Action, actor: str = "ada") -> None:
        if number > self._numbers:
            return
        self.now += 1e-3
        rollouts = self._clouds[scheduler].parts.rollouts
        try:
            # The first of the database's rollouts is the deployment of the first version.
            wanted = RolloutOrder(action=action)
            rollouts.order(f"r{number + 1}", wanted, change(self.now, actor))
        except ShoalError:
            self.refused += 1

    # What services do.

    def drive(self, scheduler: int, _number: int, rounds: int = 20) -> None:
        if rounds:
            self.now += 1e-3
            self._clouds[scheduler].driver.look()

    def publish(self, scheduler: int) -> None:
        made = self._clouds[scheduler]
        made.publisher.publish_due()
        for topic, payload in made.line.published:
            address = parse(topic)
            if address.channel is Channel.DESIRED and payload:
                device = self.devices[address.device]
                self._retained[device.name] = decode(DesiredState, payload)
                if device.is_up:
                    device.hear(self._retained[device.name])
        made.line.published.clear()

    def kill(self, scheduler: int) -> None:
        self._stacks[scheduler].close()
        self._clouds[scheduler] = self._open(self._stacks[scheduler])
        self._clouds[scheduler].publisher.publish_all()

    # What devices do.

    def work(self, name: str, steps: int) -> None:
        self.devices[name].work(steps)

    def send(self, name: str) -> None:
        device = self.devices[name]
        if device.is_up:
            for report in device.outbox:
                self._take(name, report)
            device.outbox.clear()

    def vanish(self, name: str) -> None:
        if self.devices[name].is_up:
            self.devices[name].is_up = False
            self._write(status(name, state="offline"))

    def come_back(self, name: str) -> None:
        if not self.devices[name].is_up:
            self.devices[name].is_up = True
            self._write(status(name))
        if (known := self._retained.get(name)) is not None:
            self.devices[name].hear(known)

    def become(self, name: str, nature: Nature) -> None:
        self.devices[name].nature = nature

    def lose(self, name: str, slot: str) -> None:
        self.devices[name].lose(slot)

    def set_back(self, name: str, slot: str) -> None:
        self.devices[name].set_back(slot)

    def mend(self, name: str, slot: str) -> None:
        self.devices[name].mend(slot)

    def lie(self, name: str, slot: str, phase: Phase, digest: str, lag: int) -> None:
        self.devices[name].lie(slot, phase, self._real(digest), lag)

    def spoil(self, digest: str) -> None:
        self._counters.errors[self._real(digest)] = BAD_PERCENT
        self._counters.differing[self._real(digest)] = BAD_PERCENT

    # What is only told in memory.

    def lock(self, _name: str, _seconds: float) -> None:
        return

    def close_window(self, _seconds: float | None) -> None:
        return

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for name, device in self.devices.items():
            if device.is_up:
                report = self._counters.report(
                    name,
                    device.slots,
                    messages=int(min(seconds, 600) * MESSAGES_PER_S),
                    time=self.now,
                    uptime_s=self.now - NOON,
                )
                self._write(replace(report, disk_free_mb=1_000.0))

    def check(self) -> None:
        """What always holds."""
        self._follow()
        found = self.judge.found
        assert not found, "\n".join(f"{one.invariant}: {one}" for one in found)

    def calm(self) -> None:
        """All disorder ends; what has to be reached is."""
        began = self.now
        for name, device in self.devices.items():
            device.nature = Nature.GOOD
            for slot in tuple(device.slots):
                device.mend(slot)
            if device.is_misread:
                device.report()
            self.come_back(name)
        self.kill(0)
        resumed: Counter[int] = Counter()
        for seconds in CALM_S:
            for number in self._to_resume(resumed):
                self.order(0, number, "resume")
                resumed[number] += 1
            self._go_on(0)
            self.check()
            self.pass_time(seconds)
            # Somebody who has still to resume something may get others on.
            is_resting = is_at_rest(self._stored(), self.devices.values())
            if is_resting and not self._to_resume(resumed):
                break
        tell_installed(self.judge, self.devices.values())
        self.judge.finish(self.now, self.now - began)
        self.check()
        stored = self._stored()
        with self._clouds[0].parts.database.read() as connection:
            Outcome(
                rollouts=stored,
                devices=self.devices,
                revisions={name: known.revision for name, known in self._retained.items()},
                spoiled=self._counters.errors,
                late=lambda rollout: self._late_of(rollout, stored),
                evidence=lambda rollout: labels_of(connection, rollout),
            ).check()

    def _to_resume(self, resumed: Mapping[int, int]) -> list[int]:
        """What is paused, and was not resumed too often."""
        return [
            one.id - 1
            for one in self._stored()
            if one.state is RolloutState.PAUSED and resumed.get(one.id - 1, 0) < RESUMES
        ]

    def _stored(self) -> list[Rollout]:
        with self._clouds[0].parts.database.read() as connection:
            return all_rollouts(connection)

    def _late_of(self, rollout: Rollout, stored: Sequence[Rollout]) -> tuple[Joiner, ...]:
        """Devices that are to join: who has the version, or is left out, need not."""
        matching = self._matching.get(rollout.id - 1, set()) - rollout.left_out.keys()
        known = next(iter(rollout.assignments.values()), None)
        if known is None:
            return ()
        offers = [
            Joiner(device=name, module=known.module, version=known.version, digest=known.digest)
            for name in sorted(matching)
        ]
        return latecomers([one for one in stored if one.slot == rollout.slot], rollout, offers)

    def _go_on(self, scheduler: int) -> None:
        for name in self.devices:
            self.work(name, 8)
            self.send(name)
        self.drive(scheduler, 0)
        self.publish(scheduler)

    def _follow(self) -> None:
        """Have the judge look at what was written since."""
        query = (
            select(rollout_events)
            .where(rollout_events.c.id > self._last_event)
            .order_by(rollout_events.c.id)
        )
        with self._clouds[0].parts.database.read() as connection:
            fresh = [(row.rollout, event_of(row)) for row in connection.execute(query)]
            for number in {number for number, event in fresh if not event.before}:
                if (stored := load(connection, number)) is not None:
                    self.judge.know(stored.rollout)
        for _time, commit in groupby(fresh, key=lambda entry: entry[1].time):
            self.judge.take(list(commit))
        if fresh:
            self._last_event = fresh[-1][1].id

    def _take(self, name: str, report: Report) -> None:
        self._seq[name] = self._seq.get(name, 0) + 1
        said = {"revision_seen": max(0, report.revision_seen), "slots": report.slots}
        message = reported(name, seq=self._seq[name], boot_id="boot", **said)
        self._write(replace(message, revision_applied=message.revision_seen))
        for place in SLOTS:
            slot = report.slots.get(place)
            self.judge.hear(
                Heard(
                    device=name,
                    slot=place,
                    time=self.now,
                    revision_seen=message.revision_seen,
                    running=slot.running if slot else "",
                    is_active=slot is None or slot.phase is Phase.ACTIVE,
                )
            )

    def _real(self, digest: str) -> str:
        """The published version that a story means."""
        real = dict(zip((FIRST, *VERSIONS), self._digests.values(), strict=True))
        return real.get(digest, digest)

    def _write(self, message: object) -> None:
        self.now += 1e-3
        self._clouds[0].ingest.write([letter(message)])

    def _open(self, stack: ExitStack) -> Cloud:
        return stack.enter_context(cloud(self._folder, clock=lambda: self.now))


def _tag(number: int) -> str:
    """The tag of devices that are to join a rollout."""
    return f"late-{number}"
