"""Devices and the service together: everything that may happen to a rollout, as plain calls.

`check` states what holds after every step, whatever went wrong; `calm` ends all disorder, lets time
pass, and states what must then be reached: no rollout is stuck, and what it says of its devices is
what they run.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from cloud_sync.errors import Conflict
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout.states import IN_FLIGHT
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutOrder, RolloutState, RolloutWish
from edge_agent.contract.state import DesiredState, Phase, WantedSlot
from tests.rollouts.cloud import SLOTS, Brain, MemoryCloud, Scheduler
from tests.rollouts.device import Nature, RolloutDevice
from tests.rollouts.outcome import Outcome, is_at_rest, tell_installed

NOON = 1_800_000_000.0
SITES = ("oslo", "bergen")
FIRST = "sha256:v0"
PEOPLE = ("ada", "bob")
MESSAGES_PER_S = 5
LABELS = 100
CALM_S = (30.0,) * 24 + (600.0,) * 12 + (7_200.0,) * 16 + (90_000.0,) * 8
RESUMES = 4
"""As often somebody resumes a rollout in the end: each failed stage may pause it again."""

Action = Literal["start", "approve", "pause", "resume", "abort", "rollback"]


class Fleet:
    """A few devices at two sites, all running the first version, and some schedulers.

    Args:
        size: how many devices.
        schedulers: how many services share the database.
        brain: who decides.
    """

    def __init__(self, size: int, schedulers: int = 2, brain: Brain | None = None) -> None:
        self.devices = {
            f"d{number}": RolloutDevice(f"d{number}", SITES[number % len(SITES)])
            for number in range(size)
        }
        sites = {name: device.site for name, device in self.devices.items()}
        self.cloud = MemoryCloud(sites, NOON, brain or Brain())
        self.schedulers = [Scheduler() for _ in range(schedulers)]
        self.refused = 0
        first = WantedSlot(module="probe", version=1, digest=FIRST)
        for name, device in self.devices.items():
            state = DesiredState(device=name, revision=1, slots={SLOTS[0]: first})
            self.cloud.desired[name] = self.cloud.retained[name] = state
            device.hear(state)
            device.work(5)
            self._send(name)

    # What people do.

    def begin(self, devices: Sequence[str], digest: str, policy: Policy, slot: str) -> None:
        """Somebody makes a rollout of some devices."""
        number = len(self.cloud.rollouts) + 1
        stages = _divide(policy, devices)
        rollout = Rollout(
            id=number,
            wish=RolloutWish(module="probe", to="some", policy=policy),
            slot=slot,
            module="probe",
            version=number + 1,
            seed=number,
            created=self.cloud.now,
            created_by=PEOPLE[0],
            stages=tuple(
                Stage(number=place, size=len(members)) for place, members in enumerate(stages)
            ),
            assignments={
                name: Assignment(
                    device=name,
                    stage=place,
                    module="probe",
                    version=number + 1,
                    digest=digest,
                    site=self.devices[name].site,
                    previous=self.cloud.desired[name].slots.get(slot),
                    since=self.cloud.now,
                )
                for place, members in enumerate(stages)
                for name in members
            },
        )
        self.cloud.create(rollout)

    def match(self, number: int, name: str) -> None:
        """A device comes to match the target of a rollout."""
        if number in self.cloud.rollouts:
            self.cloud.matching.setdefault(number, set()).add(name)

    def label(self, digest: str, is_right: bool) -> None:
        """People say of the newest answers of a version whether they were right."""
        measured = self.cloud.measured
        labels = measured.right if is_right else measured.wrong
        for place, messages in measured.messages.items():
            if place[2] == digest and messages:
                labels[place] += LABELS

    def order(self, scheduler: int, number: int, action: Action, actor: str = "ada") -> None:
        """Somebody wants something of a rollout; it may not fit its state."""
        if number not in self.cloud.rollouts:
            return
        wish = RolloutOrder(action=action, reason="because")
        try:
            self.cloud.obey(self.schedulers[scheduler], number, wish, actor)
        except Conflict:
            self.refused += 1

    # What services do.

    def drive(self, scheduler: int, number: int, rounds: int = 20) -> None:
        """A scheduler looks at a rollout, and goes on for some transactions."""
        if number in self.cloud.rollouts:
            self.cloud.drive(self.schedulers[scheduler], number, rounds)

    def publish(self, scheduler: int) -> None:
        """A scheduler tells who has to be told; those who can be reached hear it."""
        for name in self.cloud.publish(self.schedulers[scheduler]):
            if self.devices[name].is_up:
                self.devices[name].hear(self.cloud.retained[name])

    def kill(self, scheduler: int) -> None:
        """A service ends; another one begins with telling everybody."""
        self.schedulers[scheduler] = Scheduler(due=set(self.devices))

    # What devices do.

    def work(self, name: str, steps: int) -> None:
        """A device goes on."""
        self.devices[name].work(steps)

    def send(self, name: str) -> None:
        """What a device reported comes in, if it can be reached."""
        if self.devices[name].is_up:
            self._send(name)

    def vanish(self, name: str) -> None:
        """A device cannot be reached."""
        self.devices[name].is_up = False
        self.cloud.take_status(name, is_online=False)

    def come_back(self, name: str) -> None:
        """A device is there again, and hears what it is told."""
        self.devices[name].is_up = True
        self.cloud.take_status(name, is_online=True)
        self.devices[name].hear(self.cloud.retained[name])

    def lock(self, name: str, seconds: float) -> None:
        """A module on a device says: not now."""
        self.cloud.known[name].locked_until = self.cloud.now + seconds

    def lie(self, name: str, slot: str, phase: Phase, digest: str, lag: int) -> None:
        """A device says what is not so."""
        self.devices[name].lie(slot, phase, digest, lag)

    def become(self, name: str, nature: Nature) -> None:
        """A device changes what it makes of versions."""
        self.devices[name].nature = nature

    def lose(self, name: str, slot: str) -> None:
        """Another disk is in a device."""
        self.devices[name].lose(slot)

    def set_back(self, name: str, slot: str) -> None:
        """A device is set back to a backup."""
        self.devices[name].set_back(slot)

    def mend(self, name: str, slot: str) -> None:
        """It has found what it was to run."""
        self.devices[name].mend(slot)

    # What else happens.

    def spoil(self, digest: str) -> None:
        """A version begins to fail every fifth message."""
        self.cloud.measured.bad.add(digest)

    def close_window(self, seconds: float | None) -> None:
        """Nothing may be offered for so long; None: it may."""
        self.cloud.opens_at = None if seconds is None else self.cloud.now + seconds

    def pass_time(self, seconds: float) -> None:
        """Time passes; versions that run are asked things, and what they did is reported."""
        self.cloud.now += seconds
        for name, device in self.devices.items():
            for slot, now in device.slots.items():
                if device.is_up and now.running:
                    key = (name, slot, now.running)
                    self.cloud.measured.messages[key] += int(min(seconds, 600) * MESSAGES_PER_S)

    def check(self) -> None:
        """What always holds."""
        found = self.cloud.judge.found
        assert not found, "\n".join(f"{one.invariant}: {one}" for one in found)
        for rollout in self.cloud.rollouts.values():
            for one in rollout.assignments.values():
                assert one.state not in IN_FLIGHT or one.deadline is not None, (
                    f"{one.device} is {one.state} without a deadline"
                )

    def calm(self) -> None:
        """All disorder ends; what has to be reached is."""
        self.cloud.opens_at = None
        for name, device in self.devices.items():
            device.nature = Nature.GOOD
            for slot in tuple(device.slots):
                device.mend(slot)
            self.cloud.known[name].locked_until = None
            if device.is_misread:
                device.report()
            self.come_back(name)
        self.kill(0)
        began = self.cloud.now
        resumed: Counter[int] = Counter()
        is_resting = False
        for seconds in CALM_S:
            for name in self.devices:
                self.work(name, 8)
                self.send(name)
            has_resumed = self._resume(resumed)
            for number in self.cloud.rollouts:
                self.drive(0, number)
            self.publish(0)
            self.check()
            self.pass_time(seconds)
            # What ends in one turn may let another rollout go on in the next.
            was_resting = is_resting
            is_resting = not has_resumed and is_at_rest(
                self.cloud.rollouts.values(), self.devices.values()
            )
            if is_resting and was_resting:
                break
        tell_installed(self.cloud.judge, self.devices.values())
        self.cloud.judge.finish(self.cloud.now, grace_s=self.cloud.now - began)
        self.check()
        Outcome(
            rollouts=tuple(self.cloud.rollouts.values()),
            devices=self.devices,
            revisions={name: one.revision for name, one in self.cloud.desired.items()},
            spoiled=self.cloud.measured.bad,
            late=self.cloud.late_of,
            evidence=self.cloud.measured.evidence_of,
        ).check()

    def _resume(self, resumed: Counter[int]) -> bool:
        """Somebody resumes what is paused, and not for ever; whether somebody did."""
        paused = [
            number
            for number, rollout in self.cloud.rollouts.items()
            if rollout.state is RolloutState.PAUSED and resumed[number] < RESUMES
        ]
        for number in paused:
            self.order(0, number, "resume")
        resumed.update(paused)
        return bool(paused)

    def _send(self, name: str) -> None:
        device = self.devices[name]
        for report in device.outbox:
            if self.cloud.take_report(name, report):
                self.schedulers[0].due.add(name)
        device.outbox.clear()


def _divide(policy: Policy, devices: Sequence[str]) -> list[list[str]]:
    """The devices in stages, in the order in which they come."""
    stages: list[list[str]] = []
    begin = 0
    for share in policy.stages:
        count = round(len(devices) * float(share[:-1]) / 100) if share.endswith("%") else int(share)
        end = max(begin, min(len(devices), count))
        if end > begin:
            stages.append(list(devices[begin:end]))
        begin = end
    return stages
