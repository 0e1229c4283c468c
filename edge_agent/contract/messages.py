"""The remaining control messages: status, health, telemetry, acknowledgements, commands.

Times are seconds since 1970, durations carry their unit in the name. What a device sends has its
two clocks: a time that may be wrong, with `clock_synced` to say so, and `uptime_s`, the seconds
since this run of the agent began, which nobody can set. None comes from an older agent.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Raw, Struct

from edge_agent.contract.manifest import Name

Seq = Annotated[int, Meta(ge=0)]

TIME_BOUNDS_MS: Final = (
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0,
)  # fmt: skip
"""Upper bounds of `Timing.buckets`, milliseconds; the last bucket has none."""

BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of `BatchSizes.buckets`, rows; the last bucket has none."""


class Status(Struct, frozen=True, kw_only=True):
    """A device's presence; `offline` is its last will and its goodbye.

    Attributes:
        boot_id: one run of the agent. Two ids online at once are two agents with one name.
        started: when that run began.
        host: the machine's own name, so that a person can find the double.
        uptime_s: of a last will, when it was left with the broker.
    """

    device: Name
    state: Literal["online", "offline"]
    boot_id: str
    started: float
    time: float
    host: str = ""
    reason: str = ""
    uptime_s: float | None = None
    clock_synced: bool = False
    v: Literal[1] = 1


class Timing(Struct, frozen=True, kw_only=True):
    """A distribution of durations since the worker started.

    Attributes:
        sum_ms: of all of them.
        buckets: how many were at most as long as each of `TIME_BOUNDS_MS` and longer than the
            bound before it, then how many were longer than all; empty if there were none.
    """

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    count: int = 0
    sum_ms: float = 0.0
    buckets: tuple[int, ...] = ()


class BatchSizes(Struct, frozen=True, kw_only=True):
    """How many rows went into the model at once, since the worker started.

    Attributes:
        runs: of the model.
        rows: in all runs together.
        largest: rows of one run.
        buckets: as of `Timing`, by `BATCH_BOUNDS`.
    """

    runs: int = 0
    rows: int = 0
    largest: int = 0
    buckets: tuple[int, ...] = ()


class ShadowHealth(Struct, frozen=True, kw_only=True):
    """What a shadow has seen of the slot that it shadows, and how it compares.

    Attributes:
        of: the slot that answers.
        version: that it was compared with; the counters begin anew with each.
        seen: messages that it answered, too.
        shed: reason to count: messages that it left out.
        agreed: messages whose outputs are the same within the module's tolerance.
        failed: messages that it could not answer and the other could, or the other way round.
        max_difference: largest absolute difference of a number in any output.
        psi: population stability index between the two distributions of scores; None with too
            few of them.
        cpu_share: of one core that it used, 0 to 1.
    """

    of: str
    version: int = 0
    seen: int = 0
    shed: dict[str, int] = {}
    agreed: int = 0
    failed: int = 0
    max_difference: float = 0.0
    psi: float | None = None
    cpu_share: float = 0.0


class SlotHealth(Struct, frozen=True, kw_only=True):
    """Counters of one worker, all since it started.

    Attributes:
        messages_in: messages received, and requests over HTTP.
        messages_out: results published, and requests answered.
        connected: whether it answers messages now; a worker may run and its broker be away.
        error: why it does not: the broker's refusal, or how its process ended. Empty if it does.
        crashes: error code to count: how often its process ended by itself or had to be ended,
            "worker_hung" among them, since the agent first started it.
        last_crash: `code: text` of the last time, or empty.
        failed: error code to count: messages that could not become tensors, or failed in the model.
        dropped: reason to count: messages left out on purpose.
        total: from receipt to the publish call.
        queue: from receipt until work on it began.
        decode: bytes to tensors.
        run: the model alone, of one run.
        encode: outputs to bytes.
        age: at the answer, by the time that the message says it was measured at; of messages that
            say it.
        waiting: messages in the queue now.
        runs_on: execution providers in use, the preferred one first.
        threads: of one run.
        notes: what is not as it was asked for and why, one sentence each: a provider that is not
            there, a state that began empty.
        shadow: of a shadow, what it saw.
        scores: of answers, by the bins of the manifest's profile, those of its columns one behind
            the other; empty without a profile.
        rss_mb: resident memory of its process, MiB. Workers share pages with each other, and each
            counts them in full here.
        pss_mb: the memory that it is to blame for, MiB: a page that several processes share counts
            for each in part. None where the kernel does not tell, or the process is gone.
    """

    module: str
    version: int
    digest: str
    state: Literal["starting", "running", "stopped", "crashed"]
    pid: int = 0
    restarts: int = 0
    connected: bool = True
    error: str = ""
    crashes: dict[str, int] = {}
    last_crash: str = ""
    messages_in: int = 0
    messages_out: int = 0
    failed: dict[str, int] = {}
    dropped: dict[str, int] = {}
    total: Timing = Timing()
    run: Timing = Timing()
    queue: Timing = Timing()
    decode: Timing = Timing()
    encode: Timing = Timing()
    age: Timing = Timing()
    batches: BatchSizes = BatchSizes()
    waiting: int = 0
    runs_on: tuple[str, ...] = ()
    threads: int = 0
    notes: tuple[str, ...] = ()
    shadow: ShadowHealth | None = None
    scores: tuple[int, ...] = ()
    rss_mb: float = 0.0
    pss_mb: float | None = None

    @property
    def memory_mb(self) -> float:
        """What it costs, MiB: its share, or what is resident where that is not known."""
        return self.rss_mb if self.pss_mb is None else self.pss_mb


class OutboxHealth(Struct, frozen=True, kw_only=True):
    """What waits on a device for the cloud, of one class.

    Attributes:
        rows: that wait now.
        bytes: of their data.
        dropped: reason to count, since the outbox was made: "quota" (its class had its share),
            "full" (the outbox was full and no lower class had rows), "memory" (the disk took
            nothing), "too_large" (no message can carry it), "disk_low".
    """

    rows: int = 0
    bytes: int = 0
    dropped: dict[str, int] = {}


class Health(Struct, frozen=True, kw_only=True):
    """Counters, latencies and resources of a device.

    Attributes:
        outbox_rows: that wait, of all classes.
        outbox_dropped: of all classes, for all reasons.
        outbox_resent: rows that were sent once more, since the agent started.
        cpu_percent: of one core, used by the agent and its workers since the report before; None
            in the first one.
        outbox: by class: "control", "alarm", "result", "capture".
        rss_mb: resident memory of the agent and its workers, MiB; what they share counts for each.
        pss_mb: the same, what they share counted once; None where the kernel does not tell.
        disk_low: the disk has so little room that nothing is downloaded and nothing captured.
    """

    device: Name
    boot_id: str
    time: float
    uptime_s: float
    interval_s: float
    slots: dict[Name, SlotHealth] = {}
    cpu_percent: float | None = None
    rss_mb: float = 0.0
    pss_mb: float | None = None
    disk_free_mb: float = 0.0
    disk_low: bool = False
    outbox_rows: int = 0
    outbox_dropped: int = 0
    outbox_resent: int = 0
    outbox: dict[str, OutboxHealth] = {}
    clock_synced: bool = False
    v: Literal[1] = 1

    @property
    def memory_mb(self) -> float:
        """What they cost, MiB: their share, or what is resident where that is not known."""
        return self.rss_mb if self.pss_mb is None else self.pss_mb


class TelemetryRow(Struct, frozen=True, kw_only=True):
    """One row of the outbox.

    Attributes:
        seq: unique together with device and boot id.
        kind: "event" (data: Event) or "result" (data: a data-plane result as published).
        slot: the slot that it is about, or empty.
        uptime_s: when it happened, by the run of the agent that the row is of.
    """

    seq: Seq
    kind: Literal["event", "result"]
    time: float
    data: Raw
    slot: str = ""
    uptime_s: float | None = None
    clock_synced: bool = False


class Event(Struct, frozen=True, kw_only=True):
    """Something happened on a device that a person may ask about later."""

    name: str
    text: str = ""
    level: Literal["info", "warning", "error"] = "info"
    detail: dict[str, str] = {}


class Telemetry(Struct, frozen=True, kw_only=True):
    """A batch of outbox rows of one boot, or a question about them.

    Attributes:
        question: asks for an acknowledgement that names this text, of those of `asks` that are
            committed; empty for no question.
        asks: rows of the same boot that may have been sent before: after a lost connection the
            device asks first, so that it sends only what really got lost.
        time: when it was sent.
        uptime_s: when it was sent; None if the rows are of an earlier run.
    """

    device: Name
    boot_id: str
    rows: tuple[TelemetryRow, ...]
    question: str = ""
    asks: tuple[Seq, ...] = ()
    time: float = 0.0
    uptime_s: float | None = None
    clock_synced: bool = False
    v: Literal[1] = 1


class Ack(Struct, frozen=True, kw_only=True):
    """The cloud has committed these outbox rows of this boot; the device may forget them.

    Attributes:
        answers: the question that this is the whole answer to: what it asked for and is not in
            `seqs` is not committed. Empty for no question.
        time: by the service's clock; 0 from an older service.
    """

    boot_id: str
    seqs: tuple[Seq, ...]
    answers: str = ""
    time: float = 0.0
    v: Literal[1] = 1


class Command(Struct, frozen=True, kw_only=True):
    """Something to do once, now. The id is in the topic.

    Attributes:
        deadline: not begun after this, seconds since 1970, by the service's clock.
    """

    name: Literal["report", "restart-slot", "retry-slot"]
    deadline: float
    slot: str = ""
    v: Literal[1] = 1


class CommandResult(Struct, frozen=True, kw_only=True):
    """The answer to a command. The id is in the topic."""

    device: Name
    ok: bool
    code: str = ""
    text: str = ""
    time: float = 0.0
    uptime_s: float | None = None
    clock_synced: bool = False
    v: Literal[1] = 1
