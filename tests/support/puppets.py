"""Devices on strings: each does at once what its desired state says, or what a test tells it.

They answer through the service's real ingest, so that a rollout is driven by reports as from real
devices; only the network is left out.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from cloud_sync.fleet.desired import read_desired
from cloud_sync.resources import Deployment
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    RolloutDetail,
    RolloutOrder,
    RolloutState,
    RolloutWish,
)
from edge_agent.contract.state import DesiredState, Phase, ReportedSlot, SlotError, WantedSlot
from edge_agent.contract.topics import Channel, parse
from edge_agent.contract.wire import decode
from tests.support.cloud import NOW, Cloud, change
from tests.support.letters import health, letter, reported, status

ROUNDS = 400
NAMES = tuple(f"line-{number}" for number in range(20))
STAGED = Policy(
    stages=("1", "25%", "100%"),
    shadow_stages=0,
    soak_s=0,
    soak_messages=0,
    gates=None,
    max_in_flight="20%",
    max_in_flight_per_site="100%",
)
Action = Literal["start", "approve", "pause", "resume", "abort", "rollback"]


class Clock:
    """The service's time, which goes on when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Puppets:
    """A fleet of such devices.

    Args:
        cloud: that they belong to.
        clock: the service's.
        names: of the devices, which come online here.

    Attributes:
        refusing: digests that devices reject.
        stubborn: devices that reject everything but what they run.
        silent: devices that hear nothing and say nothing.
        running: device to slot to what runs there.
    """

    def __init__(self, cloud: Cloud, clock: Clock, names: Iterable[str]) -> None:
        self.cloud = cloud
        self.clock = clock
        self.refusing: set[str] = set()
        self.stubborn: set[str] = set()
        self.silent: set[str] = set()
        self.running: dict[str, dict[str, ReportedSlot]] = {name: {} for name in names}
        self._seen: dict[str, int] = dict.fromkeys(self.running, 0)
        self._numbers: dict[str, int] = dict.fromkeys(self.running, 0)
        self._read = 0
        self._retained: dict[str, DesiredState] = {}
        cloud.ingest.write([letter(status(name)) for name in self.running])

    def answer(self) -> int:
        """Let every device do what it was told since the last time; how many did something."""
        self.cloud.publisher.publish_due()
        news = self.cloud.line.published[self._read :]
        self._read = len(self.cloud.line.published)
        told: dict[str, DesiredState] = {}
        for topic, payload in news:
            found = parse(topic)
            if found.channel is Channel.DESIRED and payload:
                told[found.device] = decode(DesiredState, payload, limit_bytes=2**24)
        self._retained |= told
        acting = [name for name in told if name not in self.silent]
        for name in acting:
            self._obey(told[name])
        return len(acting)

    def _obey(self, desired: DesiredState) -> None:
        before = self.running[desired.device]
        after: dict[str, ReportedSlot] = {}
        for name, wanted in desired.slots.items():
            old = before.get(name)
            is_kept = old is not None and old.running == wanted.digest
            if wanted.digest in self.refusing or (desired.device in self.stubborn and not is_kept):
                after[name] = ReportedSlot(
                    module=wanted.module,
                    phase=Phase.REJECTED,
                    running=old.running if old else "",
                    running_version=old.running_version if old else 0,
                    wanted=wanted.digest,
                    error=SlotError(code="golden_failed", text="it answers wrongly"),
                )
            else:
                after[name] = ReportedSlot(
                    module=wanted.module,
                    phase=Phase.ACTIVE,
                    running=wanted.digest,
                    running_version=wanted.version,
                    wanted=wanted.digest,
                    shadows=wanted.shadows,
                )
        self.running[desired.device] = after
        self._seen[desired.device] = desired.revision
        self.report(desired.device)

    def report(self, name: str) -> None:
        """Let a device say what it runs."""
        self._numbers[name] += 1
        revision = self._seen[name]
        message = reported(
            name,
            seq=self._numbers[name],
            revision_seen=revision,
            revision_applied=revision,
            slots=self.running[name],
        )
        self.cloud.ingest.write([letter(message)])

    def tick(self, seconds: float) -> None:
        """Let time pass; devices that are there say so."""
        self.clock.now += seconds
        there = [name for name in self.running if name not in self.silent]
        self.cloud.ingest.write(
            [letter(health(name, time=self.clock.now, disk_free_mb=1e5)) for name in there]
        )

    def leave(self, name: str) -> None:
        """Let a device go offline."""
        self.silent.add(name)
        self.cloud.ingest.write([letter(status(name, state="offline"))])

    def come_back(self, name: str) -> None:
        """Let it come back, and get what was retained for it."""
        self.silent.discard(name)
        self.cloud.ingest.write([letter(status(name))])
        retained = self._retained.get(name)
        if retained is not None and retained.revision > self._seen[name]:
            self._obey(retained)

    def drive(
        self,
        until: Callable[[], bool] | None = None,
        *,
        seconds: float = 1.0,
        look: Callable[[], None] | None = None,
    ) -> None:
        """Let rollouts and devices act in turn until nothing happens, or something is so.

        Args:
            until: ends it; None for nothing to do any more.
            seconds: that pass in each turn.
            look: in place of the driver's.
        """
        for _ in range(ROUNDS):
            (look or self.cloud.driver.look)()
            if until is not None and until():
                return
            if not self.answer() and until is None:
                return
            self.tick(seconds)
        raise AssertionError("the rollouts did not come to rest")

    def deploy_first(self, **wish: object) -> str:
        """Publish a first version and have all devices run it; its digest."""
        module = self.cloud.publish(data=b"first").module
        asked = Deployment(module=module.name, to="all", **wish)  # type: ignore[arg-type]
        self.cloud.parts.deployments.deploy(asked, change(self.clock.now))
        self.drive()
        return module.digest

    def show(self, rollout: str) -> RolloutDetail:
        """A rollout as people see it."""
        return self.cloud.parts.rollouts.query.get(rollout)

    def begin(self, policy: Policy, **wish: object) -> str:
        """Start a rollout of the newest version; its id."""
        asked = RolloutWish(**{"module": "probe", "to": "all", "seed": 7} | wish, policy=policy)  # type: ignore[arg-type]
        made = self.cloud.parts.rollouts.create(asked, change(self.clock.now), start=True)
        return made.summary.id

    def order(self, rollout: str, action: Action, actor: str = "bob") -> RolloutState:
        """A person's order; the rollout's state then."""
        who = change(self.clock.now, actor=actor)
        wanted = RolloutOrder(action=action)
        return self.cloud.parts.rollouts.order(rollout, wanted, who).summary.state

    def states(self, rollout: str) -> dict[str, str]:
        """Device to the state of its assignment."""
        found = self.cloud.parts.rollouts.query.assignments(rollout, limit=1000)
        return {one.device: one.state.value for one in found}

    def wanted(self, device: str, slot: str = "probe") -> WantedSlot | None:
        """What a device's slot is to run; None for nothing."""
        with self.cloud.parts.database.read() as connection:
            return read_desired(connection, device).slots.get(slot)
