"""The same stories on the real parts: database, driver, ingest and publisher of two services.

Everything that `fleet` does in memory is done here by what the service is made of; devices and the
judge are the same. Brokers, HTTP and threads are not here: each call does its work before it ends.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Row, exists, select

from cloud_sync.db.rollout_tables import rollout_assignments, rollout_events, rollouts
from cloud_sync.errors import ShoalError
from cloud_sync.fleet.measures_store import count_labels
from cloud_sync.resources import Deployment, TagChange
from cloud_sync.rollout.invariants import Judge
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import IN_FLIGHT
from cloud_sync.rollout.store import load
from cloud_sync.rollout.violation import Heard
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutEvent, RolloutOrder, RolloutState, RolloutWish
from edge_agent.contract.state import DesiredState, Phase
from edge_agent.contract.topics import Channel, parse
from edge_agent.contract.wire import decode
from tests.rollouts.claims import taken_by
from tests.rollouts.cloud import SLOTS
from tests.rollouts.device import Nature, Report, RolloutDevice
from tests.rollouts.fleet import FIRST, LABELS, MESSAGES_PER_S, NOON, SITES, Action
from tests.rollouts.story import VERSIONS
from tests.support.cloud import Cloud, change, cloud
from tests.support.letters import letter, reported, status
from tests.support.slot_counters import SlotCounters

BAD_PERCENT = 20
CALM_S = (30.0,) * 16 + (600.0,) * 10 + (7_200.0,) * 14 + (90_000.0,) * 6
_R = RolloutState
_AT_WORK = frozenset({_R.READY, _R.RUNNING, _R.ROLLING_BACK})


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
        self._numbers = 0
        self._counters = SlotCounters()
        self._seq: dict[str, int] = {}
        self._boots: dict[str, int] = {}
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
            self._write(status(name, state="offline", boot_id=self._boot(name)))

    def come_back(self, name: str) -> None:
        if not self.devices[name].is_up:
            self.devices[name].is_up = True
            self._write(status(name, boot_id=self._boot(name)))
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
                    boot_id=self._boot(name),
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
            device.report()
            self.come_back(name)
        self.kill(0)
        for seconds in CALM_S:
            self._go_on(0)
            self.check()
            self.pass_time(seconds)
            if self._is_at_rest():
                break
        self.judge.finish(self.now, self.now - began)
        self.check()
        assert self._is_at_rest(), [
            (one.id, one.state, one.state_reason)
            for one in self._clouds[0].parts.rollouts.query.search()
        ]

    def _is_at_rest(self) -> bool:
        """Nothing is on its way, and what still runs waits for a rollout that goes first."""
        query = select(
            exists().where(rollout_assignments.c.state.in_(sorted(IN_FLIGHT)))
            | exists().where(rollouts.c.state.in_(sorted(_AT_WORK)))
        )
        with self._clouds[0].parts.database.read() as connection:
            is_busy = connection.scalar(query)
            if is_busy:
                known = [
                    stored.rollout
                    for number in connection.scalars(select(rollouts.c.id))
                    if (stored := load(connection, number)) is not None
                ]
                is_busy = not all(_waits(one, known) for one in known)
        return not is_busy and not any(device.outbox for device in self.devices.values())

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
            fresh = [(row.rollout, _event(row)) for row in connection.execute(query)]
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
        message = reported(name, seq=self._seq[name], boot_id=self._boot(name), **said)
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

    def _boot(self, name: str) -> str:
        return f"boot-{self._boots.get(name, 0)}"

    def _write(self, message: object) -> None:
        self.now += 1e-3
        self._clouds[0].ingest.write([letter(message)])

    def _open(self, stack: ExitStack) -> Cloud:
        return stack.enter_context(cloud(self._folder, clock=lambda: self.now))


def _tag(number: int) -> str:
    """The tag of devices that are to join a rollout."""
    return f"late-{number}"


def _waits(rollout: Rollout, others: Sequence[Rollout]) -> bool:
    """Whether nothing of it is under way, but for what another rollout holds up."""
    if any(one.state in IN_FLIGHT for one in rollout.assignments.values()):
        return False
    return rollout.state not in _AT_WORK or any(
        taken_by(others, rollout, device) for device in rollout.assignments
    )


def _event(row: Row[Any]) -> RolloutEvent:  # Any: columns of several types
    return RolloutEvent(
        id=row.id,
        time=row.time,
        stage=row.stage,
        device=row.device,
        before=row.before,
        after=row.after,
        actor=row.actor,
        reason=row.reason,
        evidence=msgspec.json.decode(row.evidence, type=dict[str, str]),
    )
