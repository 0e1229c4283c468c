"""The HTTP API's resources of rollouts: what a person asks for, and how far it has come.

Shared by `rollout`, `api` and `client`, as `cloud_sync.resources` is. Times are seconds since 1970.
"""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge_agent.contract.manifest import Digest, Name
from edge_agent.contract.state import SlotConfig

Share = Annotated[str, Meta(pattern=r"^([0-9]{1,7}|[0-9]{1,3}(\.[0-9]{1,4})?%)$", max_length=9)]
"""A number of devices ("5") or a part of them ("2.5%")."""

Fraction = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=366 * 86_400)]


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


class Limit(Struct, frozen=True, kw_only=True):
    """A gate's two rates: what is still as good as before, and what must be caught.

    Attributes:
        good: a version at or below this is stopped at most as often as `Gates.false_alarm` says.
        bad: a version at or above this passes at most as often as `Gates.miss` says.
    """

    good: float
    bad: float


class Gates(Struct, frozen=True, kw_only=True):
    """What a stage is judged by; a gate that is None is not asked.

    Attributes:
        false_alarm: probability of stopping a good version, over a whole rollout and all gates.
        miss: probability of passing a version that is bad by any gate.
        error_rate: of messages, those that failed in the model or could not become tensors.
        slow: of messages, those slower than the module's `max_p99_ms`, or else than twice the
            champion's p99.
        old: of messages whose age is known, those older than twice the champion's p99 of age.
        disagreement: of messages in shadow, those whose outputs differ from the champion's.
        memory: times what the manifest's `memory_mb` allows, or else what the champion takes.
        psi: population stability index of the scores, against the module's reference profile, or
            in shadow against the champion.
        wrong: of messages with a delayed label, those that were answered wrongly.
    """

    false_alarm: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    miss: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    error_rate: Limit | None = Limit(good=0.01, bad=0.03)
    slow: Limit | None = Limit(good=0.01, bad=0.05)
    old: Limit | None = Limit(good=0.01, bad=0.10)
    disagreement: Limit | None = Limit(good=0.02, bad=0.06)
    memory: Limit | None = Limit(good=1.0, bad=1.5)
    psi: Limit | None = Limit(good=0.1, bad=0.25)
    wrong: Limit | None = None


class Policy(Struct, frozen=True, kw_only=True):
    """How a rollout goes forward.

    Attributes:
        stages: devices that have the version once a stage is full, counted from the first.
        shadow_stages: how many stages, from the first, run the version beside the champion before
            it answers, on devices where there is one.
        max_in_flight: devices that may be on their way at once, of all; at least one.
        max_in_flight_per_site: the same of each site's.
        site_tag: the tag that tells the site.
        min_success: of those attempted, how many must run it for a stage to pass.
        max_failure: of those attempted, how many may fail; above it the stage fails at once.
        min_sample: fewer attempted devices than this are judged only when all have ended.
        soak_s: how long a full stage runs before it is judged.
        soak_messages: inferences in a stage before it is judged.
        judge_s: how long after its soak a stage may wait for evidence before it is inconclusive.
        download_s, install_s, trial_s: deadlines of an assignment's steps.
        retries: how often an assignment that missed a deadline is offered again.
        retry_s: longest wait before the first of them; doubles, with full jitter.
        offline_after_s: a device that is away for so long leaves the denominator.
        expire_after_s: and gives up its place in the queue.
        offer_offline: whether a device that is away is told at once and learns of it when it is
            back; else it is offered the version when it is back.
        max_offline: of a stage; with more of its devices away it is inconclusive.
        on_error: what follows when a stage fails: nothing more is offered; or its devices go back;
            or all devices of the rollout do.
        rollback_s: how long devices may take to go back before the rollback counts as incomplete.
        revert_failed: whether a device that failed is told to run its previous version again.
        approval: whether another person than the one who asked must say yes.
        windows: when devices may be offered something, as `sat,sun 01:00-05:00 Europe/Oslo`; empty
            for always.
        lock_max_s: how long a module on the device may put an update off.
        late_joiners: what becomes of devices that match the target only later.
        priority: of two rollouts that want a device the higher goes first and the other waits; of
            equal ones the newer takes it.
    """

    stages: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=50)] = (
        "1",
        "1%",
        "10%",
        "50%",
        "100%",
    )
    shadow_stages: Annotated[int, Meta(ge=0, le=50)] = 2
    max_in_flight: Share = "10%"
    max_in_flight_per_site: Share = "25%"
    site_tag: str = "site"
    min_success: Fraction = 0.95
    max_failure: Fraction = 0.05
    min_sample: Annotated[int, Meta(ge=1)] = 5
    soak_s: Seconds = 1_800
    soak_messages: Annotated[int, Meta(ge=0)] = 200
    judge_s: Seconds = 86_400
    download_s: Seconds = 3_600
    install_s: Seconds = 600
    trial_s: Seconds = 7_200
    retries: Annotated[int, Meta(ge=0, le=100)] = 3
    retry_s: Seconds = 60
    offline_after_s: Seconds = 86_400
    expire_after_s: Seconds = 30 * 86_400
    offer_offline: bool = False
    max_offline: Fraction = 0.2
    on_error: Literal["pause", "rollback-stage", "rollback"] = "pause"
    rollback_s: Seconds = 86_400
    revert_failed: bool = True
    approval: bool = False
    windows: tuple[str, ...] = ()
    lock_max_s: Seconds = 86_400
    late_joiners: Literal["ignore", "include"] = "ignore"
    gates: Gates | None = Gates()
    priority: Annotated[int, Meta(ge=-1_000, le=1_000)] = 0


AT_ONCE: Policy = Policy(
    stages=("100%",),
    shadow_stages=0,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
    min_success=0.0,
    max_failure=1.0,
    min_sample=1,
    soak_s=0,
    soak_messages=0,
    judge_s=30 * 86_400,
    download_s=30 * 86_400,
    install_s=30 * 86_400,
    trial_s=30 * 86_400,
    retries=0,
    offer_offline=True,
    max_offline=1.0,
    revert_failed=False,
    gates=None,
)
"""How `shoal deploy` goes: one stage, everybody at once, judged by nobody but the device."""


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
        already: devices that run it.
        away: devices of the cohort that are not online now.
        unfit: devices that cannot take it, which would be left out.
        conflicts: devices whose slot another rollout is at work on.
        bytes_to_send: blobs that the devices do not have, over all devices.
        expected_s: from start to end if nothing fails and evidence comes at once.
        seed: of the order in which devices come; a rollout with the same one has these stages.
    """

    module: str
    version: int
    slot: str
    cohort: int
    stages: tuple[PlannedStage, ...]
    already: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    unfit: tuple[Obstacle, ...] = ()
    conflicts: tuple[Obstacle, ...] = ()
    bytes_to_send: int = 0
    expected_s: float = 0.0
    seed: int = 0


class GateFinding(Struct, frozen=True, kw_only=True):
    """What one gate says of a stage.

    Attributes:
        gate: its name, as in `Gates`, or "success", "failure", "offline", "digest".
        outcome: "waiting" for more evidence.
        value: as measured; None if nothing was.
        limit: that it was compared with.
        samples: messages or devices that it rests on.
        text: for people.
    """

    gate: str
    outcome: Literal["passed", "failed", "waiting"]
    value: float | None
    limit: float
    samples: int
    text: str


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
        reason: why it was asked for.
        state_reason: why it is in its state: who paused it, which gate failed.
        state_since: when its state was entered.
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
    reason: str = ""
    per_device: bool = False
    state_since: float = 0.0


class RolloutDetail(Struct, frozen=True, kw_only=True):
    """A rollout and how it goes forward."""

    summary: RolloutSummary
    policy: Policy
    seed: int


class AssignmentSummary(Struct, frozen=True, kw_only=True):
    """One device of a rollout.

    Attributes:
        previous_version: what it goes back to; 0 for nothing.
        revision: of the desired state that asked for it; 0 before.
    """

    device: str
    stage: int
    state: AssignmentState
    module: str
    version: int
    digest: Digest
    previous_version: int
    since: float
    deadline: float | None
    next_retry: float | None
    attempts: int
    revision: int
    reason: str


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
