"""What the agent and a worker process say to each other.

The agent writes one `WorkerSpec` as a JSON line to the worker's standard input, then
`WorkerOrder` lines; the worker answers with event lines on its standard output. Logs go to
standard error. End of input means stop: a worker never outlives its agent.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import SlotConfig

WorkerMode = Literal["trial", "live", "shadow"]


class BrokerAddress(Struct, frozen=True, kw_only=True):
    """An MQTT broker.

    Attributes:
        url: `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS.
        ca_file: certificates to trust instead of the system's.
        cert_file: this client's certificate.
        key_file: its key.
        protocol: version of MQTT to speak; "auto" is 5 where the broker speaks it.
    """

    url: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    protocol: Literal["auto", "3.1.1", "5"] = "auto"


class Measured(Struct, frozen=True, kw_only=True):
    """What a short measurement on this machine said about a model.

    Attributes:
        threads: of one run, that are worth their processors.
        run_us: one run of one row with them, microseconds.
        batch_rows: of the batch that was tried; 0 if the model takes no batches.
        batch_gain: rows per second in such batches, as a multiple of those one by one.
        unfit: why the model must not run on the first of these providers; empty if it may.
    """

    threads: Annotated[int, Meta(ge=1)] = 1
    run_us: float = 0.0
    batch_rows: int = 0
    batch_gain: float = 1.0
    unfit: str = ""


class RunsOn(Struct, frozen=True, kw_only=True):
    """What a worker runs its model on.

    Attributes:
        providers: execution providers of onnxruntime that were found to work here, in order of
            preference; the last is always the CPU's.
        options: of these, by their names, as onnxruntime takes them.
        notes: which wanted providers are not among them and why, one sentence each.
        max_threads: most threads of one run; 0 for as many as the process may use.
        measured: of this model on this machine; None if it was not yet.
        is_measuring: whether to measure while loading if it was not.
        key: the agent's own mark, by which it keeps what was measured.
    """

    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    options: dict[str, dict[str, str]] = {}
    notes: tuple[str, ...] = ()
    max_threads: int = 0
    measured: Measured | None = None
    is_measuring: bool = False
    key: str = ""


class WorkerSpec(Struct, frozen=True, kw_only=True):
    """Everything a worker needs, once, at its start.

    Attributes:
        mode: "trial" loads the model, checks the golden cases, reports and exits without ever
            connecting; "live" loads, reports ready, and connects when ordered to "connect";
            "shadow" loads and compares its own answers with those that a live worker mirrors to
            `mirror_path`; it never connects.
        manifest_file: canonical manifest; its bytes must hash to `digest`.
        blob_files: blob digest to the file that holds it. Each is hashed again when it is read.
        client_id: of the MQTT session; the session is persistent, so a successor with the same id
            gets what its predecessor did not answer.
        stale_filters: filters of other versions of this slot, prefix included; the session may
            still hold them, and their messages would come to a worker that cannot read them.
        topic_prefix: put before every data topic, on input and output.
        stats_interval_s: between two `WorkerStats`.
        runs_on: what the model runs on.
        door_path: Unix socket on which the worker answers the local HTTP server; empty for none.
        mirror_path: Unix datagram socket on which a shadow hears what its slot was asked and
            answered; the shadow binds it.
        shadows: the slot that a shadow hears.
        cpu_share: of one core that a shadow may use, 0 to 1.
        has_state: whether the process is handed a file descriptor for windows and states.
    """

    mode: WorkerMode
    device: str
    slot: str
    version: int
    digest: str
    manifest_file: str
    blob_files: dict[str, str]
    config: SlotConfig = SlotConfig()
    broker: BrokerAddress | None = None
    client_id: str = ""
    topic_prefix: str = ""
    stale_filters: tuple[str, ...] = ()
    stats_interval_s: float = 1.0
    runs_on: RunsOn = RunsOn()
    door_path: str = ""
    mirror_path: str = ""
    shadows: str = ""
    cpu_share: float = 0.2
    has_state: bool = False


class WorkerOrder(Struct, frozen=True, kw_only=True):
    """What the agent may ask of a live worker.

    "connect": take over the slot's topics. "stop": answer what was received, then disconnect
    and exit 0. "stats": report counters now. "mirror": send what is asked and answered to the
    shadow at `path` as well, from now on; an empty path ends it.
    """

    order: Literal["connect", "stop", "stats", "mirror"]
    path: str = ""


class WorkerReady(Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded and warm; nothing is connected yet.

    Attributes:
        providers: that have a part of the model, in order of preference.
        threads: of one run.
        measured: what was measured while loading; None if nothing had to be.
    """

    load_ms: float
    rss_mb: float
    providers: tuple[str, ...]
    threads: int = 1
    measured: Measured | None = None


class WorkerFellBack(Struct, frozen=True, kw_only=True, tag="fell_back"):
    """The model does not run on what was wanted for it. Sent after "ready", and when a run fails.

    Attributes:
        text: what is not used, why, and what is.
        providers: that have a part of the model now.
    """

    text: str
    providers: tuple[str, ...]


class WorkerConnected(Struct, frozen=True, kw_only=True, tag="connected"):
    """Subscribed: messages are answered from now on. Sent again after each reconnect."""

    session_present: bool


class WorkerDisconnected(Struct, frozen=True, kw_only=True, tag="disconnected"):
    """The broker is away; the worker keeps trying."""

    text: str


class WorkerRival(Struct, frozen=True, kw_only=True, tag="rival"):
    """Another client uses this worker's name on its broker; sent once while it does."""

    text: str


class WorkerStats(Struct, frozen=True, kw_only=True, tag="stats"):
    """Counters since the start.

    Attributes:
        failures: error code to the text of the last message that failed so.
    """

    health: SlotHealth
    failures: dict[str, str] = {}


class WorkerUplink(Struct, frozen=True, kw_only=True, tag="uplink"):
    """A published result that the module's `uplink` rule also wants in the cloud.

    Attributes:
        arrived_s: when its message was there to be read, seconds, monotonic: the agent counts by
            the same clock, and knows better than a worker what time that was.
        is_sample: whether it stands for many (the rule "sample:F"): the first to be left out where
            room is short.
    """

    arrived_s: float
    result: Raw
    is_sample: bool = False


class WorkerPoison(Struct, frozen=True, kw_only=True, tag="poison"):
    """A message that ended one process after the other is not run any more, but refused.

    Attributes:
        topic: that it came on.
        bytes: of its payload.
        deaths: processes that ended while they ran it.
    """

    topic: str
    bytes: int
    deaths: int


class WorkerBeganEmpty(Struct, frozen=True, kw_only=True, tag="began_empty"):
    """The windows and states that another version left are lost, because this one has others.

    Attributes:
        text: why, one sentence.
    """

    text: str


class WorkerTrialPassed(Struct, frozen=True, kw_only=True, tag="trial_passed"):
    """The golden cases gave what they should.

    Attributes:
        providers: that have a part of the model, in order of preference.
        measured: what was measured while loading; None if nothing had to be.
    """

    cases: int
    p99_ms: float
    max_difference: float
    peak_rss_mb: float
    providers: tuple[str, ...] = ()
    measured: Measured | None = None


class WorkerFailed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The worker cannot do its job and exits; `retryable` says whether trying again can help.

    Attributes:
        kind: which class of `edge_agent.errors` it was, so that the agent can raise it again.
        hint: what to do.
    """

    code: str
    text: str
    retryable: bool
    kind: Literal["invalid", "unsupported", "integrity", "storage", "model"] = "model"
    hint: str = ""


WorkerEvent = (
    WorkerReady
    | WorkerFellBack
    | WorkerConnected
    | WorkerDisconnected
    | WorkerRival
    | WorkerStats
    | WorkerUplink
    | WorkerPoison
    | WorkerBeganEmpty
    | WorkerTrialPassed
    | WorkerFailed
)

encoder: Final = msgspec.json.Encoder()
spec_decoder: Final = msgspec.json.Decoder(WorkerSpec)
order_decoder: Final = msgspec.json.Decoder(WorkerOrder)
event_decoder: Final[msgspec.json.Decoder[WorkerEvent]] = msgspec.json.Decoder(WorkerEvent)


def client_id(device: str, slot: str) -> str:
    """The client id of a slot's MQTT session.

    '_' stands in no name, so two slots never share an id; NATS refuses ids with a '.'.
    """
    return f"{device}_{slot}"


def line(message: Struct) -> bytes:
    """One message as one line."""
    return encoder.encode(message) + b"\n"
