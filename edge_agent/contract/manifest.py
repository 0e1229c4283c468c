"""The manifest: what a module is. Its canonical bytes are what is hashed and shipped.

A manifest names the module but not its version: the registry counts versions, and the same
folder built twice gives the same digest, byte for byte.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from edge_agent.contract.names import DIGEST_PATTERN, NAME_PATTERN, digest_of
from edge_agent.contract.scores import Profile
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.wire import decode

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Digest = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
Positive = Annotated[int, Meta(ge=1)]
Codec = Literal["json", "oip", "cbor", "octet-stream", "image"]

MAX_MANIFEST_BYTES: Final = 4 * 2**20


class Blob(Struct, frozen=True, kw_only=True):
    """A file of a module.

    Attributes:
        path: relative to the module folder, with '/' between parts.
        digest: of the file's bytes.
        size: bytes.
    """

    path: Annotated[str, Meta(min_length=1, max_length=255)]
    digest: Digest
    size: Annotated[int, Meta(ge=0)]


class Model(Struct, frozen=True, kw_only=True):
    """The ONNX file and what was read from it when the module was built.

    Attributes:
        opsets: operator set domain ("" is ai.onnx) to version.
        inputs: every input of the graph, in its order.
        outputs: only those that are computed, in the order in which they are published.
        registry: `name/version` of the registered model the file came from, or empty.
        state_outputs: computed as well, to be fed back, and not published.
    """

    blob: Blob
    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    registry: str = ""
    state_outputs: tuple[TensorSpec, ...] = ()

    @property
    def computed(self) -> tuple[TensorSpec, ...]:
        """All outputs that a run computes, those that are published first."""
        return (*self.outputs, *self.state_outputs)


class Window(Struct, frozen=True, kw_only=True):
    """A sliding window over the rows of one source topic.

    Attributes:
        size: rows in a window.
        step: rows from the start of one window to the start of the next.
    """

    size: Annotated[int, Meta(ge=1, le=100_000)]
    step: Annotated[int, Meta(ge=1, le=100_000)]


class Input(Struct, frozen=True, kw_only=True):
    """Where messages come from.

    Attributes:
        topic: MQTT filter; `{device}` is replaced.
        codec: how bytes become values, unless the message's own content type (MQTT 5) says so.
        window: rows are collected per source topic before they become a tensor.
        id: path of a field that is copied to the result, so that a reader can match them.
        time: path of a field with the sensor's own time, copied to the result.
        max_bytes: a longer payload is refused before it is decoded.
    """

    topic: str
    codec: Codec = "json"
    window: Window | None = None
    id: str = "id"
    time: str = "time"
    max_bytes: Annotated[int, Meta(ge=1, le=64 * 2**20)] = 2**20


class Field(Struct, frozen=True, kw_only=True):
    """One named value of a row.

    Attributes:
        name: for people and errors.
        path: where it stands in the message, levels joined by '.'; the name if empty.
        unit: for people.
        min: smallest value that is accepted, inclusive.
        max: largest value that is accepted, inclusive.
        missing: "reject" the message, use "nan", or use this value instead.
    """

    name: Annotated[str, Meta(min_length=1)]
    path: str = ""
    unit: str = ""
    min: float | None = None
    max: float | None = None
    missing: str | int | float | bool = "reject"


class Image(Struct, frozen=True, kw_only=True):
    """How a picture becomes a tensor.

    Attributes:
        width: pixels after resizing.
        height: pixels after resizing.
        channels: "L" (one channel) or "RGB" or "BGR".
        layout: order of the dimensions behind the batch; "flat" is one dimension, row by row.
        scale: pixel values (0-255) are multiplied by it, or by one number for each channel ...
        offset: ... and then this is added, or one number for each channel.
        max_pixels: a larger picture is refused before it is unpacked.
    """

    width: Annotated[int, Meta(ge=1, le=8192)]
    height: Annotated[int, Meta(ge=1, le=8192)]
    channels: Literal["L", "RGB", "BGR"] = "RGB"
    layout: Literal["HWC", "CHW", "HW", "flat"] = "CHW"
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    max_pixels: Positive = 16_000_000


class Tensor(Struct, frozen=True, kw_only=True):
    """How one input of the model is filled.

    Attributes:
        name: of the model's input.
        source: `from` in module.toml. "fields": named values, in order, one row;
            "array": the nested list at `path` of a JSON message; "bytes": the raw payload, in the
            input's dtype, little-endian, row-major; "image": a JPEG or PNG payload;
            "constant": `value`, the same for every message; "state": what the model's `output`
            was for the source topic's previous row, `value` (or zeros) for its first.
        output: of the model, fed back; only for "state".
        missing_values: whether NaN and infinities are let through in "array" and "bytes".
    """

    name: str
    source: Literal["fields", "array", "bytes", "image", "constant", "state"] = field(name="from")
    fields: tuple[Field, ...] = ()
    path: str = ""
    value: bool | int | float | str | list[object] | None = None
    image: Image | None = None
    output: str = ""
    missing_values: Literal["reject", "allow"] = "reject"


class Output(Struct, frozen=True, kw_only=True):
    """Where results go.

    Attributes:
        topic: template; `{1}` is what the first wildcard of the input topic caught.
        uplink: which results also go to the cloud: "all", "changes" (of the first output),
            "sample:F" (a fraction from 0 to 1) or "none".
        reply: filters of the topics that a request may name for its answer; one that none of
            them matches is refused.
    """

    topic: str
    reply: tuple[str, ...] = ("replies/#",)
    uplink: Annotated[
        str,
        Meta(
            pattern=r"^(all|changes|none|sample:(0(\.\d+)?|1(\.0+)?))$",
            description="'all', 'changes', 'none' or 'sample:F' with F from 0 to 1",
        ),
    ] = "none"


class Runtime(Struct, frozen=True, kw_only=True):
    """Bounds of the worker.

    Attributes:
        max_batch: most rows in one run; more in one message are refused.
        max_delay_ms: how long the first message of a batch may wait for others; 0 runs what has
            arrived.
        max_queue: most messages that wait in the worker.
        overload: what gives way when the queue is full: the message that waits longest
            ("drop-oldest"), or the newest, which gets an error ("reject").
        latest_only: of the messages of one topic that wait, only the newest is answered.
        deadline_ms: messages that waited longer are dropped before the run; 0 is no deadline.
        run_timeout_ms: a run that takes longer is ended, and the worker with it if it must; and
            the worker that decodes one picture for longer.
        memory_mb: main memory that the model may add to the worker; 0 is no bound. What windows
            and states and the stacks of threads take comes on top, and what an accelerator takes
            to load the model.
        providers: execution providers to prefer, in order, by onnxruntime's names or short ones
            ("cuda", "openvino", "xnnpack", "cpu" ...); empty leaves it to the device.
        threads: threads of one run; 0 leaves it to a measurement on the device.
    """

    max_batch: Annotated[int, Meta(ge=1, le=65_536)] = 1024
    max_delay_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    max_queue: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    overload: Literal["drop-oldest", "reject"] = "drop-oldest"
    latest_only: bool = False
    deadline_ms: Annotated[int, Meta(ge=0)] = 0
    run_timeout_ms: Annotated[int, Meta(ge=10, le=3_600_000)] = 10_000
    memory_mb: Annotated[int, Meta(ge=0)] = 0
    providers: tuple[str, ...] = ()
    threads: Annotated[int, Meta(ge=0, le=256)] = 0


class Trial(Struct, frozen=True, kw_only=True):
    """What a new version must do on live messages before it is kept.

    Attributes:
        seconds: longest time that the trial lasts.
        messages: the trial ends early after this many.
        max_error_rate: share of messages that the *model* may fail, 0 to 1.
    """

    seconds: Annotated[float, Meta(ge=0, le=86_400)] = 10.0
    messages: Annotated[int, Meta(ge=0)] = 100
    max_error_rate: Annotated[float, Meta(ge=0, le=1)] = 0.01


class Health(Struct, frozen=True, kw_only=True):
    """The proof that a module works.

    Attributes:
        golden: files with golden cases.
        tolerance: largest difference of any number in any output.
        max_p99_ms: slowest 99th percentile of one run in the trial; 0 is no bound.
        profile: how the scores were spread on samples; left out by a module that has none.
    """

    golden: tuple[Blob, ...] = ()
    tolerance: Annotated[float, Meta(ge=0)] = 1e-5
    max_p99_ms: Annotated[float, Meta(ge=0)] = 0.0
    trial: Trial = Trial()
    profile: Profile | UnsetType = UNSET


class Parity(Struct, frozen=True, kw_only=True):
    """How well a converted model agrees with the one it came from, on rows it was not fitted on.

    Attributes:
        rows: compared rows.
        label_agreement: share of rows with the same label, 0 to 1.
        max_difference: largest absolute difference of a score.
        tolerance: what was allowed.
    """

    rows: Annotated[int, Meta(ge=1)]
    label_agreement: Annotated[float, Meta(ge=0, le=1)]
    max_difference: Annotated[float, Meta(ge=0)]
    tolerance: Annotated[float, Meta(ge=0)]


class Manifest(Struct, frozen=True, kw_only=True):
    """A module, whole."""

    name: Name
    model: Model
    input: Input
    tensors: tuple[Tensor, ...]
    output: Output
    v: Literal[1] = 1
    license: str = ""
    description: str = ""
    runtime: Runtime = Runtime()
    health: Health = Health()
    parity: Parity | None = None
    metrics: dict[str, float] = {}

    def blobs(self) -> Iterator[Blob]:
        """Every file that a device must have: the model first, then golden cases."""
        yield self.model.blob
        yield from self.health.golden


_encoder: Final = msgspec.json.Encoder(order="deterministic")


def canonical(manifest: Manifest) -> bytes:
    """The bytes of a manifest that are hashed: JSON, keys sorted, no spaces, UTF-8."""
    return _encoder.encode(manifest)


def manifest_digest(manifest: Manifest) -> str:
    """A module's digest."""
    return digest_of(canonical(manifest))


def read_manifest(data: bytes) -> Manifest:
    """Decode a manifest.

    Raises:
        ContractError: not a manifest, too long, or of a newer major version.
    """
    return decode(Manifest, data, limit_bytes=MAX_MANIFEST_BYTES)
