"""What is known of the devices of a rollout at one moment, as the planner gets it. Pure values."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from cloud_sync.rollout.rollout import Assignment
from edge_agent.contract.state import ReportedSlot, WantedSlot


# Never part of a cycle, and there are very many of them: not for the garbage collector.
class DeviceNow(Struct, frozen=True, kw_only=True, gc=False):
    """A device as it was last heard of.

    Attributes:
        presence: as everywhere; "unknown" after three missed reports.
        away_since: when it was last heard of if it is not online, seconds since 1970; None if it
            is online. A device that never spoke is away since it became known.
        revision_seen: of its last report; -1 if there is none.
        revision_applied: the newest that all of its slots are as wanted by; -1 as well.
        reported_at: when that report came, by the service's clock.
        slot: what it reported of the rollout's slot; None if it has none.
        shadow: the same of the rollout's shadow slot.
        taken_by: the number of the rollout that goes first on this slot, is at work, and has the
            device in its line: nothing may begin here before it; 0 for none.
        is_lost: that rollout has changed what the slot is to run.
        locked_until: a module there said "not now", until then, seconds since 1970; None if not.
    """

    device: str
    presence: Literal["online", "offline", "unknown"]
    away_since: float | None = None
    revision_seen: int = -1
    revision_applied: int = -1
    reported_at: float | None = None
    slot: ReportedSlot | None = None
    shadow: ReportedSlot | None = None
    taken_by: int = 0
    is_lost: bool = False
    locked_until: float | None = None

    @property
    def is_taken(self) -> bool:
        """Whether another rollout goes first here."""
        return self.taken_by != 0


class Counted(Struct, frozen=True, kw_only=True):
    """How often something happened to messages, and how far such a count goes.

    Attributes:
        least: messages that it surely happened to.
        most: messages that it may have happened to: of those in the bucket of a histogram that a
            bound falls into, nobody knows.
        of: messages that it could have happened to.
        design: how many of them say as much as one that has nothing to do with any other.
        devices: that would have given the same if each had sent as many as any other.
    """

    least: float
    most: float
    of: float
    design: float = 1.0
    devices: float = 1.0


class Sample(Struct, frozen=True, kw_only=True):
    """One figure of each device.

    Attributes:
        devices: that there is a figure of.
        mean: of them.
        variance: between them, as they differ; 0 with one.
        noise: variance that a figure has because it was measured, mean over devices.
        bias: by how much the mean is too high at most, because it was measured.
    """

    devices: int
    mean: float
    variance: float = 0.0
    noise: float = 0.0
    bias: float = 0.0


class Measures(Struct, frozen=True, kw_only=True):
    """What one digest did in a slot, summed over devices: of the version, or of the champion.

    Attributes:
        devices: that the sums are over.
        messages: that came, over all of the digest's workers.
        errors: messages that failed in the model or could not become tensors; and crashes.
        total: of durations, by the bounds of `TIME_BOUNDS_MS`.
        ages: the same of ages of messages.
        memory_mb: largest of any device.
        compared: messages in shadow that both versions saw.
        differed: of these, those whose outputs differ or that only one could answer.
        psi: largest of any device, in shadow.
        scores: counts by the bins of the module's reference profile; empty without one.
        right, wrong: messages with a delayed label.
        counted: by gate, what it counts, with what is known of how far the count goes; a gate
            that is missing here is judged by the sums above.
        memory: logarithm of the times that it takes what it may; None with nothing to compare.
        drift: index of its scores against the champion's, on the same inputs.
    """

    devices: int = 0
    messages: int = 0
    errors: int = 0
    total: tuple[int, ...] = ()
    ages: tuple[int, ...] = ()
    memory_mb: float = 0.0
    compared: int = 0
    differed: int = 0
    psi: float | None = None
    scores: tuple[int, ...] = ()
    right: int = 0
    wrong: int = 0
    counted: dict[str, Counted] = {}
    memory: Sample | None = None
    drift: Sample | None = None


class StageEvidence(Struct, frozen=True, kw_only=True):
    """What is measured of a stage.

    Attributes:
        version: of the new version, on the stage's devices.
        champion: of what they ran before.
        max_p99_ms: of the module's manifest; None if it says nothing.
        memory_mb: the same.
        profile: share of scores in each bin that the module was built with; empty without one.
        profile_columns: bins of each column of it, one behind the other.
        profile_rows: samples that it was built from.
        champion_profile, champion_profile_columns: the same of what ran before.
        is_beside: the version answers nobody: it is compared with what does, in a shadow step or
            because the rollout brings a shadow.
    """

    version: Measures = Measures()
    champion: Measures = Measures()
    max_p99_ms: float | None = None
    memory_mb: float | None = None
    profile: tuple[float, ...] = ()
    profile_columns: tuple[int, ...] = ()
    profile_rows: int = 0
    champion_profile: tuple[float, ...] = ()
    champion_profile_columns: tuple[int, ...] = ()
    is_beside: bool = False


class World(Struct, frozen=True, kw_only=True):
    """Everything that a planner may look at besides the rollout itself.

    Attributes:
        devices: at least those whose assignments are in flight or next in the queue; one that is
            missing here has nothing known of it, and nothing is decided about it.
        evidence: of the current stage.
        joined: devices that match the target and are not in the rollout, with what they would get;
            only with the policy's `late_joiners`.
        left_out: the same of devices that would get nothing, with the reason.
        trouble: what keeps the rollout from something; empty for nothing.
        opens_at: when the next maintenance window begins, seconds since 1970; None if devices may
            be offered something now.
    """

    devices: Mapping[str, DeviceNow]
    evidence: StageEvidence = StageEvidence()
    joined: tuple["Joiner", ...] = ()
    left_out: tuple[Assignment, ...] = ()
    trouble: str = ""
    opens_at: float | None = None


class Joiner(Struct, frozen=True, kw_only=True):
    """A device that came to match the target after the start."""

    device: str
    module: str
    version: int
    digest: str
    site: str = ""
    previous: WantedSlot | None = None
