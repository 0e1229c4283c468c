"""Values of rollouts, and a fleet that answers decisions without a network or a clock."""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec.structs import replace

from cloud_sync.rollout.cohort import Candidate, compose
from cloud_sync.rollout.decisions import Decision, Offer, Revert
from cloud_sync.rollout.evolve import evolve, with_revisions
from cloud_sync.rollout.observation import DeviceNow, Joiner, Measures, StageEvidence, World
from cloud_sync.rollout.orders import order, supersede
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutOrder, RolloutState, RolloutWish
from edge_agent.contract.state import Phase, ReportedSlot, SlotError, WantedSlot

OLD = "sha256:" + "0" * 64
NEW = "sha256:" + "1" * 64
SLOT = "pump"
Action = Literal["start", "approve", "pause", "resume", "abort", "rollback"]


def wanted(version: int, digest: str, *, mode: Literal["run", "shadow"] = "run") -> WantedSlot:
    return WantedSlot(
        module="pump",
        version=version,
        digest=digest,
        mode=mode,
        shadows=SLOT if mode == "shadow" else "",
    )


OLD_SLOT = wanted(1, OLD)


def candidates(
    count: int, *, sites: int = 1, previous: WantedSlot | None = OLD_SLOT
) -> list[Candidate]:
    """Devices `d0`, `d1` ... that run version 1 and are to get version 2."""
    return [
        Candidate(
            device=f"d{number}",
            module="pump",
            version=2,
            digest=NEW,
            site=f"site-{number % sites}" if sites > 1 else "",
            previous=previous,
        )
        for number in range(count)
    ]


QUICK = Policy(shadow_stages=0, soak_s=0, soak_messages=0, gates=None)
"""The default policy without waiting for anything but the devices."""


def rollout_of(
    devices: Iterable[Candidate], policy: Policy = QUICK, *, seed: int = 7, **wish: str
) -> Rollout:
    """A draft at time 0."""
    cohort = compose(devices, policy, seed, 0.0)
    return Rollout(
        id=1,
        wish=RolloutWish(module="pump", to="all", policy=policy, **wish),
        slot=SLOT,
        module="pump",
        version=2,
        seed=seed,
        created=0.0,
        created_by="anna",
        stages=cohort.stages,
        assignments=cohort.assignments,
    )


def reported(
    digest: str,
    phase: Phase = Phase.ACTIVE,
    *,
    wanted: str | None = None,
    code: str = "",
    shadows: str = "",
) -> ReportedSlot:
    """What a slot reports; `wanted` is what it runs if nothing else is said."""
    return ReportedSlot(
        module="pump",
        phase=phase,
        running=digest,
        running_version={OLD: 1, NEW: 2}.get(digest, 0),
        shadows=shadows,
        wanted=digest if wanted is None else wanted,
        error=SlotError(code=code, text=f"it says {code}") if code else None,
    )


class Fleet:
    """Devices, a rollout and a clock: devices get decisions, and the planner gets reports.

    Devices do nothing by themselves: a test lets them `obey`, `roll_back`, `leave`....

    Args:
        rollout: a draft, or whatever else.
        now: seconds since 1970.

    Attributes:
        decided: everything, in order.
    """

    def __init__(self, rollout: Rollout, *, now: float = 0.0) -> None:
        self.rollout = rollout
        self.now = now
        self.decided: list[Decision] = []
        self.opens_at: float | None = None
        self.evidence = StageEvidence()
        self.joined: tuple[Joiner, ...] = ()
        self.revisions: dict[str, int] = {}
        self.devices: dict[str, DeviceNow] = {
            device: DeviceNow(
                device=device,
                presence="online",
                revision_seen=0,
                reported_at=now,
                slot=None if one.previous is None else reported(one.previous.digest),
            )
            for device, one in rollout.assignments.items()
        }

    def order(self, action: Action, actor: str = "bert") -> None:
        """A person's order."""
        self.carry_out(order(self.rollout, RolloutOrder(action=action), actor, self.now))

    def start(self) -> "Fleet":
        self.order("start")
        self.drive()
        return self

    def drive(self, *, rounds: int = 200) -> list[Decision]:
        """Plan until nothing more is decided; what was."""
        before = len(self.decided)
        for _ in range(rounds):
            decisions = plan(self.rollout, self.world(), self.now)
            if not decisions:
                return self.decided[before:]
            self.carry_out(decisions)
        raise AssertionError(f"still deciding after {rounds} rounds: {self.decided[-5:]}")

    def world(self) -> World:
        return World(
            devices=self.devices,
            evidence=self.evidence,
            joined=self.joined,
            opens_at=self.opens_at,
        )

    def wait(self, seconds: float) -> list[Decision]:
        self.now += seconds
        return self.drive()

    def of(self, device: str) -> Assignment:
        return self.rollout.assignments[device]

    def state(self, device: str) -> AssignmentState:
        return self.of(device).state

    def states(self) -> dict[AssignmentState, int]:
        found: dict[AssignmentState, int] = {}
        for one in self.rollout.assignments.values():
            found[one.state] = found.get(one.state, 0) + 1
        return found

    def those(self, *states: AssignmentState) -> list[str]:
        """The devices in these states, in the order of their turn."""
        return [d for d, one in self.rollout.assignments.items() if one.state in states]

    def tell(self, device: str, **changes: object) -> None:
        """Change what is known of a device."""
        self.devices[device] = replace(self.devices[device], **changes)

    def report(
        self,
        device: str,
        slot: ReportedSlot | None,
        *,
        shadow: ReportedSlot | None = None,
        revision: int | None = None,
        applied: int | None = None,
    ) -> None:
        """A report comes, of the newest revision if no other is given, and that all applied."""
        seen = self.revisions.get(device, 0) if revision is None else revision
        self.tell(
            device,
            presence="online",
            away_since=None,
            revision_seen=seen,
            revision_applied=seen if applied is None else applied,
            reported_at=self.now,
            slot=slot,
            shadow=shadow,
        )

    def obey(self, *devices: str) -> None:
        """These devices (or all that are there) run what they are told, and say so."""
        for device in devices or tuple(self.devices):
            if self.devices[device].away_since is not None:
                continue
            if device not in self.rollout.assignments:
                continue
            one = self.of(device)
            previous = None if one.previous is None else reported(one.previous.digest)
            if not one.is_wanted:
                self.report(device, previous)
            elif one.mode == "shadow":
                self.report(device, previous, shadow=reported(NEW, shadows=SLOT))
            else:
                self.report(device, reported(NEW))

    def roll_back(self, *devices: str, phase: Phase = Phase.ROLLED_BACK, code: str = "bad") -> None:
        """These devices tried the version, and went back by themselves."""
        for device in devices:
            previous = self.of(device).previous
            running = "" if previous is None else previous.digest
            self.report(device, reported(running, phase, wanted=NEW, code=code))

    def leave(self, *devices: str) -> None:
        for device in devices:
            self.tell(device, presence="offline", away_since=self.now)

    def come_back(self, *devices: str) -> None:
        for device in devices:
            self.tell(device, presence="online", away_since=None)

    def take(self, *devices: str) -> None:
        """A newer rollout takes the slot of these devices."""
        self.carry_out(supersede(self.rollout, devices, "r2"))

    def tell_of(self, device: str) -> None:
        """There is a new device."""
        self.devices[device] = DeviceNow(
            device=device, presence="online", revision_seen=0, reported_at=self.now
        )

    def finish(self, *, rounds: int = 500) -> RolloutState:
        """All devices obey until nothing more happens; the rollout's state then."""
        for _ in range(rounds):
            before = self.rollout
            self.obey()
            self.drive()
            if self.rollout is before or self.rollout == before:
                return self.rollout.state
        raise AssertionError("no end")

    def carry_out(self, decisions: Iterable[Decision]) -> None:
        """Make decisions true: new revisions, and the rollout after them."""
        decisions = tuple(decisions)
        self.decided += decisions
        self.rollout = evolve(self.rollout, decisions, self.now)
        changed: dict[str, int] = {}
        for decision in decisions:
            if isinstance(decision, Offer | Revert):
                changed[decision.device] = self.revisions.get(decision.device, 0) + 1
        self.revisions |= changed
        self.rollout = with_revisions(self.rollout, changed)


def messages(count: int, **more: int) -> StageEvidence:
    """Evidence of a version that answered so many messages without fault."""
    measures: Mapping[str, int] = {"messages": count, **more}
    return StageEvidence(version=Measures(devices=1, **measures))
