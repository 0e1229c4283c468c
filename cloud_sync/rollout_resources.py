"""The HTTP API's resources of rollouts: what a person asks for, and how far it has come.

Shared by `rollout`, `api` and `client`, as `cloud_sync.resources` is. Times are seconds since 1970.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_waiting import WaitCount, Waiting
from edge_agent.contract.manifest import Name
from edge_agent.contract.state import SlotConfig


class RolloutState(StrEnum):
    """Where a rollout stands."""

    DRAFT = "draft"
    PENDING_APPROVAL = "pending_approval"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    COMPLETED_DEGRADED = "completed_degraded"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_INCOMPLETE = "rollback_incomplete"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


CAN_GO_BACK: Final = frozenset(
    {
        RolloutState.RUNNING,
        RolloutState.PAUSED,
        RolloutState.COMPLETED,
        RolloutState.COMPLETED_DEGRADED,
        RolloutState.ROLLBACK_INCOMPLETE,
    }
)
"""States in which a rollout can be taken back."""


class StageState(StrEnum):
    """Where a stage stands; one with a shadow step goes from filling to judging twice."""

    WAITING = "waiting"
    FILLING = "filling"
    SOAKING = "soaking"
    JUDGING = "judging"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class AssignmentState(StrEnum):
    """Where one device of a rollout stands with its version."""

    QUEUED = "queued"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    VERIFIED = "verified"
    TRIAL = "trial"
    SHADOW = "shadow"
    COMMITTED = "committed"
    REVERTING = "reverting"
    REJECTED = "rejected"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    ALREADY_PRESENT = "already_present"
    NOT_APPLICABLE = "not_applicable"


class RolloutWish(Struct, frozen=True, kw_only=True):
    """Give devices a version.

    Attributes:
        module: its name; with `per_device` a pattern with `{device}` for each device's own.
        to: a target expression.
        version: None for the newest that is not retired.
        slot: None for the module's own name, or for the shadowed slot's with `-shadow` behind it.
        shadows: a slot of these devices, to be its shadow and nothing more.
        seed: of the order in which devices come; None to choose one.
        reason: for the audit log.
    """

    module: Annotated[str, Meta(min_length=1, max_length=100)]
    to: Annotated[str, Meta(min_length=1, max_length=2_000)]
    version: int | None = None
    slot: Name | None = None
    per_device: bool = False
    shadows: Annotated[str, Meta(max_length=63)] = ""
    config: SlotConfig = SlotConfig()
    policy: Policy = Policy()
    seed: int | None = None
    reason: Annotated[str, Meta(max_length=2_000)] = ""


class PlannedStage(Struct, frozen=True, kw_only=True):
    """One stage of a plan; `devices` are the first of them."""

    number: int
    size: int
    devices: tuple[str, ...]
    has_shadow: bool


class Obstacle(Struct, frozen=True, kw_only=True):
    """Why a device cannot take a version, or not now: a stable code and a text."""

    device: str
    code: str
    text: str


class RolloutPlan(Struct, frozen=True, kw_only=True):
    """What a rollout would do, without doing it.

    Attributes:
        cohort: devices that would get something.
        already: devices that run it, which would be left out.
        asked_already: devices that were asked for exactly this before and do not report that they
            run it; left out as well.
        away: devices of the cohort that are not online now.
        unfit: why devices cannot take it, which would be left out.
        rest: devices behind the last stage, where it does not take in all of them.
        conflicts: devices of the cohort whose slot another rollout is at work on, each once.
        bytes_to_send: files that devices of the cohort have not got, over all of them.
        expected_s: from start to end at least, if all of `assumptions` is so.
        assumptions: what is taken for granted, for people.
        seed: of the order in which devices come; a rollout with the same one has these stages.
    """

    module: str
    version: int
    slot: str
    cohort: int
    stages: tuple[PlannedStage, ...]
    already: tuple[str, ...] = ()
    asked_already: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    unfit: tuple[Obstacle, ...] = ()
    rest: tuple[str, ...] = ()
    conflicts: tuple[Obstacle, ...] = ()
    bytes_to_send: int = 0
    expected_s: float = 0.0
    assumptions: tuple[str, ...] = ()
    seed: int = 0


GateNeed = Literal["", "messages", "devices", "judgement"]


class GateFinding(Struct, frozen=True, kw_only=True):
    """What one gate says of a stage.

    Attributes:
        gate: its name, as in `Gates`, or "success", "failure", "offline", "digest".
        outcome: "waiting" for more evidence.
        value: as measured; None if nothing was.
        limit: that it was compared with.
        samples: messages or devices that it rests on.
        text: for people.
        champion: the same value of what ran before; None if that was not measured.
        need: of one that waits, what would decide it: more messages from the same devices, more
            devices, or neither, because the version is too close to the middle between good and
            bad. Empty where that is not known.
    """

    gate: str
    outcome: Literal["passed", "failed", "waiting"]
    value: float | None
    limit: float
    samples: int
    text: str
    champion: float | None = None
    need: GateNeed = ""


class Verdict(Struct, frozen=True, kw_only=True):
    """What a stage is found to be, and why."""

    outcome: Literal["passed", "failed", "inconclusive", "waiting"]
    text: str
    findings: tuple[GateFinding, ...] = ()


class StageSummary(Struct, frozen=True, kw_only=True):
    """How far a stage is.

    Attributes:
        step: "shadow" while the version runs beside the champion, "run" when it answers.
        counts: assignments by state.
        messages: inferences of the version in this stage.
        since: when its state was entered.
        deadline: when the state ends at the latest; None if nothing limits it.
    """

    number: int
    state: StageState
    step: Literal["shadow", "run"]
    size: int
    counts: dict[str, int]
    messages: int = 0
    since: float = 0.0
    deadline: float | None = None
    verdict: Verdict | None = None
    reason: str = ""


class RolloutSummary(Struct, frozen=True, kw_only=True):
    """A rollout in a list.

    Attributes:
        id: as people name it, `r17`.
        cohort: devices that get something.
        left_out: devices that the target means and that get nothing, by their state.
        reason: why it was asked for.
        state_reason: why it is in its state: who paused it, which gate failed.
        state_since: when its state was entered.
        deadline: when the state ends at the latest: what waits for a person is cancelled then;
            None of an end, and of what its stages bound.
        trouble: what keeps it from something now, and what to do; empty for nothing.
        needs: what a person has to do for it to go on; empty if nothing.
    """

    id: str
    module: str
    version: int
    slot: str
    to: str
    state: RolloutState
    state_reason: str
    needs: str
    created: float
    created_by: str
    started: float | None
    ended: float | None
    cohort: int
    stages: tuple[StageSummary, ...]
    left_out: dict[str, int] = {}
    trouble: str = ""
    reason: str = ""
    per_device: bool = False
    state_since: float = 0.0
    deadline: float | None = None


class RolloutDetail(Struct, frozen=True, kw_only=True):
    """A rollout and how it goes forward.

    Attributes:
        waits: what devices in the line of the stages that have begun wait for, of the first 250.
    """

    summary: RolloutSummary
    policy: Policy
    seed: int
    waits: tuple[WaitCount, ...] = ()


class AssignmentSummary(Struct, frozen=True, kw_only=True):
    """One device of a rollout.

    Attributes:
        stage: from 0; None if it is left out, and `reason` says why.
        version, digest: 0 and empty where there is no version for it.
        previous_version: what it goes back to; 0 for nothing.
        revision: of the desired state that asked for it; 0 before.
        waiting: why it is not asked, or does not go on; None if it waits for nothing.
    """

    device: str
    stage: int | None
    state: AssignmentState
    module: str
    version: int
    digest: str
    previous_version: int
    since: float
    deadline: float | None
    next_retry: float | None
    attempts: int
    revision: int
    reason: str
    waiting: Waiting | None = None


class RolloutEvent(Struct, frozen=True, kw_only=True):
    """One transition: of the rollout (no stage, no device), of a stage, or of an assignment."""

    id: int
    time: float
    stage: int | None
    device: str
    before: str
    after: str
    actor: str
    reason: str
    evidence: dict[str, str] = {}


class RolloutOrder(Struct, frozen=True, kw_only=True):
    """What a person wants of a rollout.

    Attributes:
        action: "start" a draft; "approve" what another person asked for; "pause" stops new offers;
            "resume" judges a stage that failed again and goes on; "abort" ends it where it is;
            "rollback" takes it back everywhere.
    """

    action: Literal["start", "approve", "pause", "resume", "abort", "rollback"]
    reason: Annotated[str, Meta(max_length=2_000)] = ""
