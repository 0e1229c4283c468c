"""The HTTP API's resources: what the service answers and what a client sends.

Shared by `api` and `client`, so that there is one definition. Times are seconds since 1970.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from cloud_sync.rollout_waiting import SlotRollout
from edge_agent.contract.explanation import Explanation
from edge_agent.contract.manifest import Blob, Digest, Name
from edge_agent.contract.messages import Health, ShadowHealth
from edge_agent.contract.state import DesiredState, ReportedState, SlotConfig

Tags = dict[str, str]


class ServiceInfo(Struct, frozen=True, kw_only=True):
    """What the service is and whether its parts work. `ok` is false when one does not."""

    ok: bool
    version: str
    database: str
    broker: str
    broker_connected: bool
    broker_url: str


class Problem(Struct, frozen=True, kw_only=True):
    """Every answer above 399: a stable code, what was expected and found, what to do."""

    code: str
    text: str
    hint: str = ""


class ModelUpload(Struct, frozen=True, kw_only=True):
    """A new version of a model. Its files must have been uploaded as blobs.

    Attributes:
        framework: what the files are of: "onnx", "scikit-learn", "pytorch", ... Free.
        tags: for people to find it by; they can be changed.
        properties: facts about this version (scores, sizes); they cannot.
    """

    files: Annotated[tuple[Blob, ...], Meta(min_length=1, max_length=10_000)]
    framework: str = ""
    description: str = ""
    tags: Tags = {}
    properties: Tags = {}


class ModelVersion(Struct, frozen=True, kw_only=True):
    """A registered version of a model."""

    name: Name
    version: int
    files: tuple[Blob, ...]
    framework: str
    description: str
    tags: Tags
    properties: Tags
    created: float
    created_by: str
    retired: bool = False


class ModuleVersion(Struct, frozen=True, kw_only=True):
    """A published version of a module. `size` is the sum of its blobs, bytes."""

    name: Name
    version: int
    digest: Digest
    size: int
    description: str
    license: str
    metrics: dict[str, float]
    created: float
    created_by: str
    retired: bool = False


class ModulePublished(Struct, frozen=True, kw_only=True):
    """The answer to publishing; `created` is false when this digest was already there."""

    module: ModuleVersion
    created: bool


class MissingBlobs(Struct, frozen=True, kw_only=True):
    """Which of the blobs that were asked about are not stored yet."""

    missing: tuple[Digest, ...]


class BlobQuery(Struct, frozen=True, kw_only=True):
    """Which blobs a client is about to need."""

    digests: Annotated[tuple[Digest, ...], Meta(max_length=10_000)]


class DeviceSummary(Struct, frozen=True, kw_only=True):
    """A device in a list.

    Attributes:
        presence: "online", "offline" (it said so, or its last will did), or "unknown" (it said it
            was online but three reports are missing, or it never spoke).
        last_seen: time of the last message of any kind, or None.
        age_s: since then, seconds, by the service's clock.
        revision_wanted: of the desired state.
        revision_applied: as last reported; -1 if never.
        is_settled: whether every wanted slot runs its wanted digest and nothing else runs.
    """

    device: Name
    presence: Literal["online", "offline", "unknown"]
    last_seen: float | None
    age_s: float | None
    revision_wanted: int
    revision_applied: int
    is_settled: bool
    tags: Tags
    slots: dict[str, "SlotSummary"]


class SlotSummary(Struct, frozen=True, kw_only=True):
    """Wanted and running version of a slot; 0 = none.

    Attributes:
        messages_in: since the worker started, from the last health report.
        messages_per_s: over the last two health reports, or None if there are not two.
        p50_ms: receipt to answer; None if unknown. Of a shadow: its own time, without waiting.
        dropped: messages left out on purpose.
        error: `code: text` of the last failure, or empty.
        restarts: how often its process was started again.
        rss_mb: resident memory of its process, MiB, or None if unknown.
        memory_mb: the same, with what workers share counted for each in part, where the device
            tells; None if unknown.
        shadows: the slot that it shadows; empty if it answers messages.
        shadow: of a shadow, how it compares; None if it has not said yet: the first figures come
            with the next health report.
        since: when its phase was entered, seconds since 1970, by the device's clock; None if it
            has not said.
        notes: what is not as it was asked for.
        running_age_s: since the device last said that this version runs, in a report of its state
            or in a later one of its health, seconds; None if it never said.
    """

    module: str
    wanted_version: int
    running_version: int
    phase: str
    messages_in: int
    messages_per_s: float | None
    p50_ms: float | None
    p99_ms: float | None
    failed: int
    error: str
    dropped: int = 0
    restarts: int = 0
    rss_mb: float | None = None
    memory_mb: float | None = None
    shadows: str = ""
    shadow: ShadowHealth | None = None
    since: float | None = None
    notes: tuple[str, ...] = ()
    running_age_s: float | None = None


class DeviceDetail(Struct, frozen=True, kw_only=True):
    """Everything that is known about a device, each with its age."""

    summary: DeviceSummary
    desired: DesiredState
    reported: ReportedState | None
    reported_age_s: float | None
    health: Health | None
    health_age_s: float | None


class SlotExplanation(Explanation, frozen=True, kw_only=True):
    """Why a slot is where it is, and what happens next.

    Attributes:
        device: its name.
        presence: whether the device is there.
        next_retry: seconds since 1970, or None if no retry is due.
        since: when the phase was entered, seconds since 1970, or None.
        reported_age_s: age of the report all this is from, or None if there is none.
        locked_until: a program on the device puts updates of the slot off until then, seconds
            since 1970; None if none does.
        rollouts: that have the slot in their line, each with what it waits for.
    """

    device: Name
    presence: Literal["online", "offline", "unknown"]
    next_retry: float | None
    since: float | None
    reported_age_s: float | None
    locked_until: float | None = None
    rollouts: tuple[SlotRollout, ...] = ()


class CommandWish(Struct, frozen=True, kw_only=True):
    """Something that a device is to do once, now.

    Attributes:
        name: "report" has it send its state and its health; "restart-slot" has it start a slot's
            process anew; "retry-slot" has it try a version that failed without waiting.
        slot: that it is about; empty for "report".
        timeout_s: the device does not begin it later, and nobody waits for its answer any longer.
    """

    name: Literal["report", "restart-slot", "retry-slot"]
    slot: Annotated[str, Meta(max_length=63)] = ""
    timeout_s: Annotated[float, Meta(ge=0.1, le=25)] = 10.0


class CommandDone(Struct, frozen=True, kw_only=True):
    """A command that a device has done. `id` is that of its event `command_result`."""

    id: str
    device: str
    name: str
    slot: str


class TagChange(Struct, frozen=True, kw_only=True):
    """Tags to set, and names of tags to take away."""

    set: Tags = {}
    remove: tuple[str, ...] = ()


class Deployment(Struct, frozen=True, kw_only=True):
    """Put a module on devices.

    Attributes:
        module: its name.
        version: None for the newest that is not retired.
        to: a target expression: a device's name, `tag=VALUE`, `all`, and more.
        slot: None for the module's own name, or for the shadowed slot's with `-shadow` behind it.
        shadows: a slot of these devices: the module gets what that slot gets, and its answers are
            only compared. Empty: it answers messages.
        reason: for the audit log.
    """

    module: Name
    to: Annotated[str, Meta(min_length=1, max_length=2_000)]
    version: int | None = None
    slot: Name | None = None
    shadows: Annotated[str, Meta(max_length=63)] = ""
    config: SlotConfig = SlotConfig()
    reason: str = ""


class Removal(Struct, frozen=True, kw_only=True):
    """Take a slot off devices."""

    slot: Name
    to: Annotated[str, Meta(min_length=1, max_length=2_000)]
    reason: str = ""


class ReplacedVersion(Struct, frozen=True, kw_only=True):
    """What a slot of a device should have run until now.

    Attributes:
        shadows: the slot that it shadowed; empty if it answered messages.
    """

    module: str
    version: int
    shadows: str = ""


class DeploymentResult(Struct, frozen=True, kw_only=True):
    """Which devices now want it, by their new revision.

    Attributes:
        revisions: device to its new revision.
        unchanged: devices that wanted exactly this already.
        replaced: device to what its slot wanted before, where it wanted something.
        rollout: that brings it there, `r17`; empty where nothing had to be brought.
    """

    module: str
    version: int
    digest: str
    slot: str
    revisions: dict[str, int]
    unchanged: tuple[str, ...] = ()
    replaced: dict[str, ReplacedVersion] = {}
    rollout: str = ""


class FleetEvent(Struct, frozen=True, kw_only=True):
    """Something that a device or the service noticed.

    Attributes:
        time: when, as well as it is known, seconds since 1970.
        device_time: what the device's clock said, where that was wrong and `time` is corrected.
    """

    id: int
    time: float
    device_time: float | None = None
    device: str
    slot: str
    name: str
    level: str
    text: str
    detail: dict[str, str] = {}


class StoredResult(Struct, frozen=True, kw_only=True):
    """A result that a device sent home.

    Attributes:
        time: when its message arrived, as well as it is known, seconds since 1970.
        device_time: what the device's clock said, where that was wrong and `time` is corrected.
    """

    id: int
    time: float
    device_time: float | None = None
    device: str
    slot: str
    result: Raw


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Who changed what, when and why."""

    id: int
    time: float
    actor: str
    action: str
    subject: str
    reason: str
    detail: dict[str, str] = {}


class EndingWish(Struct, frozen=True, kw_only=True):
    """Take many versions out of use, or delete them.

    Attributes:
        name: a pattern with `*` and `?`.
        version: only versions of this number; None for all.
        keep: so many of each name stay as they are, the newest.
        dry_run: only say which it would concern.
    """

    kind: Literal["model", "module"]
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    version: int | None = None
    keep: Annotated[int, Meta(ge=0)] = 0
    dry_run: bool = False


class KeptVersion(Struct, frozen=True, kw_only=True):
    """A version, `name/version`, that was meant and stays, and why."""

    ref: str
    reason: str


class EndedVersions(Struct, frozen=True, kw_only=True):
    """What became of many versions, as `name/version`."""

    ended: tuple[str, ...]
    kept: tuple[KeptVersion, ...] = ()


class Deleted(Struct, frozen=True, kw_only=True):
    """What was deleted."""

    what: str
