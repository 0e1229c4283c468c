"""What is fuzzed: for each reader of bytes, a function that takes any bytes and must return.

A MessageError is an answer. Any other exception, a crash, or too much time or memory is a find.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import UNSET, Raw

from edge_agent.contract.manifest import Field, Image, Input, Manifest, Runtime, Tensor, Window
from edge_agent.contract.results import (
    InferenceError,
    InferenceFault,
    InferenceResult,
    StageTimes,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.binding import Binding
from edge_agent.runtime.codecs.codec import Codec, Codecs
from edge_agent.runtime.codecs.oip import OipCodec
from edge_agent.runtime.codecs.oip_response import write_response
from tests.support.models import manifest_of

Target = Callable[[bytes], None]

MAX_BYTES = 2**20
TOPIC = "sensors/a/rows"


def module(codec: Any, *pairs: tuple[TensorSpec, Tensor], window: Window | None = None) -> Manifest:
    """A manifest without a model: codecs and bindings never look at it."""
    specs = [spec for spec, _ in pairs]
    source = Input(topic="sensors/+/rows", codec=codec, max_bytes=MAX_BYTES, window=window)
    tensors = [tensor for _, tensor in pairs]
    runtime = Runtime(max_batch=64)
    return manifest_of(b"", specs, specs, tensors, source=source, runtime=runtime)


def spec(dtype: Any, *shape: int, name: str = "x") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def array(path: str = "v", name: str = "x", **options: Any) -> Tensor:
    return Tensor(name=name, source="array", path=path, **options)


def fields(*items: Field) -> Tensor:
    return Tensor(name="x", source="fields", fields=items)


A, B, DEEP = Field(name="a", min=-1, max=1), Field(name="b", missing="nan"), Field(name="c.d.0")

NAMED = (
    module("json", (spec("float32", -1, 3), fields(A, B, DEEP))),
    module("cbor", (spec("int64", 1, 2), fields(A, Field(name="b", missing=3)))),
    module("json", (spec("string", -1, 1), fields(Field(name="a")))),
    module("cbor", (spec("bool", 2), fields(Field(name="a"), Field(name="b", missing=True)))),
    module("cbor", (spec("float32", -1, 2, 2), fields(A, B)), window=Window(size=2, step=1)),
    module("json", (spec("float16", -1, -1), array(missing_values="allow"))),
    module("cbor", (spec("uint8", 2, 2), array())),
    module("cbor", (spec("float64", -1, 2), array(""))),
    module("json", (spec("string", -1, 2), array())),
    module("cbor", (spec("int8", -1), array()), (spec("bool", -1, name="y"), array("w", "y"))),
    module("cbor", (spec("float32", -1, 4), array()), window=Window(size=2, step=2)),
)
"""One of each kind of binding of named values."""

RAW = (
    module("octet-stream", (spec("float32", -1, 3), Tensor(name="x", source="bytes"))),
    module("octet-stream", (spec("bool", 2, -1), Tensor(name="x", source="bytes"))),
    module("octet-stream", (spec("float16", 2, 2), Tensor(name="x", source="bytes"))),
)

SCALED = Image(width=4, height=4, scale=(0.1, 0.2, 0.3), max_pixels=4096)
GREY = Image(width=5, height=3, channels="L", layout="HWC", max_pixels=4096)
PICTURES = (
    module("image", (spec("float32", -1, 3, 4, 4), Tensor(name="x", source="image", image=SCALED))),
    module("image", (spec("uint8", 1, 3, 5, 1), Tensor(name="x", source="image", image=GREY))),
)

TENSORS = (
    module("oip", (spec("float32", -1, 2), array())),
    module("oip", (spec("string", -1, 1), array()), (spec("int64", -1, name="y"), array("w", "y"))),
    module(
        "oip",
        (spec("bool", 2, -1), array()),
        (spec("float16", 1, name="y"), Tensor(name="y", source="constant", value=[1.0])),
    ),
)


def json_target() -> Target:
    return _bound("application/json", NAMED)


def cbor_target() -> Target:
    return _bound("application/cbor", NAMED)


def octet_stream_target() -> Target:
    return _bound("", RAW)


def image_target() -> Target:
    return _bound("", PICTURES)


def oip_target() -> Target:
    return _bound("application/vnd.openinference+json", TENSORS)


def oip_binary_target() -> Target:
    """The first two bytes say where the JSON of the rest ends."""
    made = [(OipCodec(manifest), Binding(manifest)) for manifest in TENSORS]

    def run(data: bytes) -> None:
        body = data[2:]
        json_bytes = int.from_bytes(data[:2], "little")
        for codec, binding in made:
            try:
                request = codec.read(body, json_bytes)
                bound = binding.bind(request, TOPIC)
                if bound is not None:
                    write_response("m", "1", request, bound.runs[0])
            except MessageError as error:
                _check(error)

    return run


TARGETS: dict[str, Callable[[], Target]] = {
    "json": json_target,
    "cbor": cbor_target,
    "octet-stream": octet_stream_target,
    "image": image_target,
    "oip": oip_target,
    "oip-binary": oip_binary_target,
}


def _bound(content_type: str, manifests: tuple[Manifest, ...]) -> Target:
    """Decode, bind, and answer with what was bound."""
    made = [(Codecs(manifest).of(content_type), Binding(manifest)) for manifest in manifests]

    def run(data: bytes) -> None:
        for codec, binding in made:
            _one(codec, binding, data)
            binding.forget()

    return run


def _one(codec: Codec, binding: Binding, data: bytes) -> None:
    value: object = None
    try:
        value = codec.decode(data)
        bound = binding.bind(value, TOPIC)
        if bound is None:
            return
        # A row that will be joined with others may have no feed of its own.
        runs = bound.runs or (binding.join([bound]),)
        for feed in runs:
            for found in feed.values():
                assert isinstance(found, np.ndarray)
        if codec.answers is not None:
            # As if the model gave back what it got.
            codec.answers.encode_result(_result(binding, value), dict(runs[0]), value)
    except MessageError as error:
        _check(error)
        if codec.answers is not None:
            codec.answers.encode_error(_error(binding, value, error), value)
        else:
            binding.identify(value)


def _check(error: MessageError) -> None:
    """An error that people can use, of a length that can be sent."""
    assert error.code
    assert error.text
    assert len(str(error)) < 5000, len(str(error))


def _result(binding: Binding, value: object) -> InferenceResult:
    message_id, input_time = binding.identify(value)
    return InferenceResult(
        module="m", version=1, digest="", device="d", slot="s", topic=TOPIC, received=0.0,
        times_us=StageTimes(0.0, 0.0, 0.0), outputs=Raw(b"null"), id=message_id,
        input_time=input_time, correlation=UNSET,
    )  # fmt: skip


def _error(binding: Binding, value: object, error: MessageError) -> InferenceError:
    message_id, _ = binding.identify(value)
    return InferenceError(
        module="m", version=1, digest="", device="d", slot="s", topic=TOPIC, received=0.0,
        error=InferenceFault(code=error.code, text=error.text), id=message_id,
    )  # fmt: skip
