"""The remaining control messages: status, health, telemetry, acknowledgements, commands.

Times are seconds since 1970, durations carry their unit in the name.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from edge_agent.contract.manifest import Name

Seq = Annotated[int, Meta(ge=0)]


class Status(Struct, frozen=True, kw_only=True):
    """A device's presence; `offline` is its last will and its goodbye.

    Attributes:
        boot_id: one run of the agent. Two ids online at once are two agents with one name.
        started: when that run began.
        host: the machine's own name, so that a person can find the double.
    """

    device: Name
    state: Literal["online", "offline"]
    boot_id: str
    started: float
    time: float
    host: str = ""
    reason: str = ""
    v: Literal[1] = 1


class Timing(Struct, frozen=True, kw_only=True):
    """A distribution of durations since the worker started, in milliseconds."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


class SlotHealth(Struct, frozen=True, kw_only=True):
    """Counters of one worker, all since it started.

    Attributes:
        messages_in: messages received.
        messages_out: results published.
        connected: whether it answers messages now; a worker may run and its broker be away.
        error: why it does not: the broker's refusal, or how its process ended. Empty if it does.
        failed: error code to count: messages that could not become tensors, or failed in the model.
        dropped: reason to count: messages left out on purpose.
        total: from receipt to the publish call.
        run: the model alone.
    """

    module: str
    version: int
    digest: str
    state: Literal["starting", "running", "stopped", "crashed"]
    pid: int = 0
    restarts: int = 0
    connected: bool = True
    error: str = ""
    messages_in: int = 0
    messages_out: int = 0
    failed: dict[str, int] = {}
    dropped: dict[str, int] = {}
    total: Timing = Timing()
    run: Timing = Timing()
    rss_mb: float = 0.0


class Health(Struct, frozen=True, kw_only=True):
    """Counters, latencies and resources of a device."""

    device: Name
    boot_id: str
    time: float
    uptime_s: float
    interval_s: float
    slots: dict[Name, SlotHealth] = {}
    cpu_percent: float = 0.0
    rss_mb: float = 0.0
    disk_free_mb: float = 0.0
    outbox_rows: int = 0
    outbox_dropped: int = 0
    clock_synced: bool = False
    v: Literal[1] = 1


class TelemetryRow(Struct, frozen=True, kw_only=True):
    """One row of the outbox.

    Attributes:
        seq: unique together with device and boot id.
        kind: "event" (data: Event) or "result" (data: a data-plane result as published).
        slot: the slot that it is about, or empty.
    """

    seq: Seq
    kind: Literal["event", "result"]
    time: float
    data: Raw
    slot: str = ""


class Event(Struct, frozen=True, kw_only=True):
    """Something happened on a device that a person may ask about later."""

    name: str
    text: str = ""
    level: Literal["info", "warning", "error"] = "info"
    detail: dict[str, str] = {}


class Telemetry(Struct, frozen=True, kw_only=True):
    """A batch of outbox rows of one boot."""

    device: Name
    boot_id: str
    rows: tuple[TelemetryRow, ...]
    v: Literal[1] = 1


class Ack(Struct, frozen=True, kw_only=True):
    """The cloud has committed these outbox rows of this boot; the device may forget them."""

    boot_id: str
    seqs: tuple[Seq, ...]
    v: Literal[1] = 1


class Command(Struct, frozen=True, kw_only=True):
    """Something to do once, now. The id is in the topic.

    Attributes:
        deadline: not begun after this, seconds since 1970.
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
    v: Literal[1] = 1
