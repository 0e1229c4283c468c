"""Sample messages for a binding that has none. Pure and deterministic: no randomness.

They are not realistic and need not be: their answers, computed once when they are made, are what
every device must reproduce before it goes live.
"""

import math
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.contract.datatypes import DATATYPES
from edge_agent.contract.layout import array_layout
from edge_agent.contract.manifest import Field, Image, Manifest, Tensor
from edge_agent.contract.signature import DYNAMIC, FLOATS, TensorSpec

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

GOLDEN_FILE: Final = "golden/samples.json"
"""Where made-up cases are; other golden files of a folder are a person's own."""

JSON_CODECS: Final = ("json", "cbor", "oip")
"""Codecs whose golden cases are written in JSON."""

MAX_VALUES: Final = 262_144
"""Largest sample, in values: a golden case travels to every device."""

_SILENT: Final = ("constant", "state")
"""Sources that take nothing from a message."""

_STATE_ROWS: Final = 3  # the second row begins with the first one's state; a third is no luck

_CASES: Final = 3
_ONE_CASE_ABOVE: Final = 20_000  # values in a message
_STEPS: Final = 16
_MAX_SIDE: Final = 256  # pixels of a picture; the device resizes a larger one from it
_PACKED: Final = {
    "float16": "e", "float32": "f", "float64": "d", "bool": "?",
    "int8": "b", "int16": "h", "int32": "i", "int64": "q",
    "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q",
}  # fmt: skip


class Sample(Struct, frozen=True):
    """One sample: the payload of a message, or of several that belong together.

    Attributes:
        payloads: in order.
        is_json: whether they are JSON.
    """

    payloads: tuple[bytes, ...]
    is_json: bool = True

    def case(self) -> dict[str, Json]:
        """Its part of a golden case."""
        if self.is_json:
            many: list[Json] = [msgspec.json.decode(payload) for payload in self.payloads]
        else:
            many = [b64encode(payload).decode("ascii") for payload in self.payloads]
        suffix = "" if self.is_json else "_base64"
        return {f"payload{suffix}": many[0]} if len(many) == 1 else {f"payloads{suffix}": many}


def sample_messages(manifest: Manifest, free_size: int) -> tuple[Sample, ...]:
    """Samples that a binding accepts, one row or one window each.

    Args:
        manifest: its inputs, tensors, codec and window; the rest does not matter.
        free_size: what to take for free dimensions behind the first.

    Returns:
        Three samples, one if it is large, none if it would be too large.
    """
    specs = {spec.name: spec for spec in manifest.model.inputs}
    bound = [(t, specs[t.name]) for t in manifest.tensors if t.source not in _SILENT]
    values = sum(
        math.prod(_sample_shape(spec, free_size)) for t, spec in bound if t.source != "image"
    )
    if values > MAX_VALUES:
        return ()
    cases = 1 if values > _ONE_CASE_ABOVE else _CASES
    window = manifest.input.window
    size = window.size if window is not None else None
    is_json = manifest.input.codec in JSON_CODECS
    if manifest.input.codec == "oip":
        # The one format that gives states, too.
        given = [(t, specs[t.name]) for t in manifest.tensors if t.source != "constant"]
        requests = (_request(given, free_size, number) for number in range(cases))
        return tuple(Sample((msgspec.json.encode(request),)) for request in requests)
    return tuple(
        Sample(
            tuple(
                msgspec.json.encode(_message(bound, free_size, number + row, window=size))
                if is_json
                else _binary(bound, free_size, number + row)
                for row in range(messages_in_sample(manifest))
            ),
            is_json,
        )
        for number in range(cases)
    )


def messages_in_sample(manifest: Manifest) -> int:
    """Messages of one row that show what a module does: as many as fill a window, or more than
    one where the answer depends on the rows before.
    """
    window = manifest.input.window
    has_state = any(tensor.source == "state" for tensor in manifest.tensors)
    if window is None:
        return _STATE_ROWS if has_state else 1
    return window.size + (window.step if has_state else 0)


def free_sizes(inputs: Sequence[TensorSpec]) -> tuple[int, ...]:
    """Sizes worth trying for free dimensions, in this order; one where nothing is free."""
    if not any(DYNAMIC in spec.shape[1:] for spec in inputs):
        return (1,)
    return (8, 32, 224, 1) if any(len(spec.shape) == 4 for spec in inputs) else (8, 1, 2, 32)


def put(message: dict[str, Json], path: str, value: Json) -> None:
    """Put a value where a path of a binding finds it again: levels are joined by '.'."""
    *levels, last = path.split(".")
    inner = message
    for level in levels:
        below = inner.setdefault(level, {})
        if not isinstance(below, dict):
            return  # a value stands where another path needs an object: no message has both
        inner = below
    inner[last] = value


def _message(
    bound: Sequence[tuple[Tensor, TensorSpec]], free_size: int, number: int, window: int | None
) -> Json:
    message: dict[str, Json] = {}
    for tensor, spec in bound:
        steps = _steps(number)
        if tensor.source == "fields":
            for item in tensor.fields:
                put(message, item.path or item.name, _field_value(spec.dtype, item, next(steps)))
            continue
        values = (_value(spec.dtype, step) for step in steps)
        shape = _sample_shape(spec, free_size)
        layout = array_layout(spec.shape, window)
        if window is not None and layout is not None:
            # A message gives one row of the window, a flat list.
            size = layout.row[-1]
            if size == DYNAMIC:
                size = free_size
            elif len(layout.row) == 1:
                size //= window
            shape = [size]
        array = _nest(values, shape)
        if not tensor.path:
            return array
        put(message, tensor.path, array)
    return message


def _request(
    bound: Sequence[tuple[Tensor, TensorSpec]], free_size: int, number: int
) -> dict[str, Json]:
    """A request of the Open Inference Protocol, every tensor as one flat list."""
    inputs: list[Json] = []
    for _, spec in bound:
        steps = _steps(number)
        shape = _sample_shape(spec, free_size)
        data: list[Json] = [_value(spec.dtype, next(steps)) for _ in range(math.prod(shape))]
        datatype = DATATYPES[spec.dtype]
        inputs.append({"name": spec.name, "shape": [*shape], "datatype": datatype, "data": data})
    return {"inputs": inputs}


def _binary(bound: Sequence[tuple[Tensor, TensorSpec]], free_size: int, number: int) -> bytes:
    """A payload for the one tensor that such a module fills from it."""
    tensor, spec = bound[0]
    if tensor.image is not None:
        return _picture(tensor.image, number)
    count = math.prod(_sample_shape(spec, free_size))
    steps = _steps(number)
    values = [_value(spec.dtype, next(steps)) for _ in range(count)]
    return struct.pack(f"<{count}{_PACKED[spec.dtype]}", *values)


def _picture(image: Image, number: int) -> bytes:
    """A PNG file with a slanted gradient, of the size that the model takes."""
    width, height = min(image.width, _MAX_SIDE), min(image.height, _MAX_SIDE)
    grey = image.channels == "L"
    lines = b"".join(
        # Each line of a PNG file begins with its filter: none.
        b"\0"
        + bytes(
            (x * 5 + y * 3 + number * 40 + band * 80) % 256
            for x in range(width)
            for band in range(1 if grey else 3)
        )
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _sample_shape(spec: TensorSpec, free_size: int) -> list[int]:
    """One row, and something for every other free dimension."""
    shape = [free_size if size == DYNAMIC else size for size in spec.shape]
    if spec.is_batched:
        shape[0] = 1
    return shape


def _steps(number: int) -> Iterator[int]:
    """An endless run of 0 to 15: all of them, in a scrambled order."""
    step = number
    while True:
        step = (step * 5 + 3) % _STEPS
        yield step


def _value(dtype: str, step: int) -> bool | int | float | str:
    """A value that most models accept: small, and no category unknown to all."""
    if dtype in FLOATS:
        return step / _STEPS
    if dtype == "bool":
        return step % 2 == 1
    if dtype == "string":
        return "abc"[step % 3]
    return step % 2  # an index has at least these two


def _field_value(dtype: str, item: Field, step: int) -> Json:
    """A value within the field's bounds."""
    value = _value(dtype, step)
    low, high = item.min, item.max
    if isinstance(value, bool | str) or (low is None and high is None):
        return value
    if isinstance(value, int):
        return _whole(value, low, high, step)
    part = (step + 0.5) / _STEPS  # never on a bound, which float32 may round beyond
    if low is not None and high is not None:
        value = low + (high - low) * part
    elif low is not None and value <= low:
        value = low + part
    elif high is not None and value >= high:
        value = high - part
    short = float(f"{value:.6g}")
    is_within = (low is None or short >= low) and (high is None or short <= high)
    return short if is_within else value


def _whole(value: int, low: float | None, high: float | None, step: int) -> int:
    least = None if low is None else math.ceil(low)
    most = None if high is None else math.floor(high)
    if least is not None and most is not None:
        return least + step * (most - least) // (_STEPS - 1)
    if least is not None and value < least:
        return least + value
    if most is not None and value > most:
        return most - value
    return value


def _nest(values: Iterator[Json], shape: Sequence[int]) -> Json:
    if not shape:
        return next(values)
    return [_nest(values, shape[1:]) for _ in range(shape[0])]
