"""Fit of one tensor: does a source in `module.toml` fill one input of the model?

The rules for types, shapes and values, source by source. Pure; `fit` asks for all tensors.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from edge_agent.contract.layout import (
    CHANNELS,
    array_layout,
    fields_layout,
    image_layout,
    image_shape,
    per_channel,
)
from edge_agent.contract.manifest import Field, Image, Tensor
from edge_agent.contract.signature import DYNAMIC, FLOATS, INTEGERS, TensorSpec, integer_range
from edge_agent.contract.state_fit import state_problems
from edge_agent.contract.value_fit import Place, value_misfit, value_problems


def tensor_problems(
    tensor: Tensor, spec: TensorSpec, window: int | None, outputs: Mapping[str, TensorSpec]
) -> Iterator[tuple[Place, str]]:
    """What does not fit, each with the key of the tensor where it can be put right.

    Args:
        tensor: how the input is filled.
        spec: the input.
        window: rows in a window, or None.
        outputs: of the model that are computed, by name.
    """
    yield from _section_problems(tensor)
    match tensor.source:
        case "fields":
            yield from _fields_problems(tensor.fields, spec, window)
        case "array":
            if array_layout(spec.shape, window) is None:
                wanted = f"[N, {window}, F], [N, {window}*F] or [{window}, F]"
                yield (), f"windows of {window} rows go into {wanted}; the model has {spec}"
        case "bytes":
            yield from (((), text) for text in _bytes_problems(spec))
        case "image":
            yield from ((("image",), text) for text in _image_problems(tensor.image, spec))
        case "constant":
            yield from ((("value",), text) for text in _constant_problems(tensor.value, spec))
        case "state":
            yield from state_problems(tensor, spec, outputs)


def _section_problems(tensor: Tensor) -> Iterator[tuple[Place, str]]:
    """Keys that belong to another source: they would be ignored, which nobody wants."""
    given = {
        "fields": bool(tensor.fields),
        "path": bool(tensor.path),
        "value": tensor.value is not None,
        "image": tensor.image is not None,
        "output": bool(tensor.output),
        "missing_values": tensor.missing_values != "reject",
    }
    wanted = {
        "fields": {"fields"},
        "array": {"path", "missing_values"},
        "bytes": {"missing_values"},
        "image": {"image"},
        "constant": {"value"},
        "state": {"value", "output"},
    }[tensor.source]
    for key, is_given in given.items():
        if is_given and key not in wanted:
            yield (key,), f"{key} has no meaning with from = {tensor.source!r}"


def _fields_problems(
    fields: tuple[Field, ...], spec: TensorSpec, window: int | None
) -> Iterator[tuple[Place, str]]:
    place: Place = ("fields",)
    if not fields:
        yield place, "from = 'fields' needs at least one field"
        return
    for name in doubles(item.name for item in fields):
        yield place, f"field {name!r} is listed more than once"
    for index, item in enumerate(fields):
        for problem in _field_problems(item, spec.dtype):
            yield (*place, index), f"field {item.name!r}: {problem}"
    if fields_layout(spec.shape, len(fields), window) is not None:
        return
    size = len(fields)
    count = f"{size} field{'s' if size != 1 else ''}"
    if window is None:
        shapes = f"[N, {size}], {'[N] or []' if size == 1 else f'or [{size}]'}"
        other = "; a nested list of another shape is from = 'array'"
    else:
        count = f"windows of {window} rows of {count}"
        shapes = f"[N, {window}, {size}], [N, {window * size}] or [{window}, {size}]"
        other = ""
    yield place, f"{count} go into a shape of {shapes}; the model has {spec}{other}"


def _field_problems(item: Field, dtype: str) -> Iterator[str]:
    if dtype in ("string", "bool"):
        if item.min is not None or item.max is not None:
            yield f"min and max are for numbers, the model takes {dtype}"
    else:
        for key, bound in (("min", item.min), ("max", item.max)):
            if bound is not None and not math.isfinite(bound):
                yield f"{key} expected a finite number, found {bound}"
        if item.min is not None and item.max is not None and item.min > item.max:
            yield f"min expected at most max, found min {item.min:g} and max {item.max:g}"
    if item.missing == "reject":
        return
    if item.missing == "nan":
        if dtype not in FLOATS:
            yield f"missing = 'nan' is for floating-point inputs, the model takes {dtype}"
    elif isinstance(item.missing, str) and dtype != "string":
        known = "'reject', 'nan'" if dtype in FLOATS else "'reject'"
        yield f"missing expected {known} or a value of {dtype}, found {item.missing!r}"
    else:
        misfit = value_misfit(item.missing, dtype)
        if misfit:
            yield f"missing expected {misfit}, found {item.missing!r}"


def _bytes_problems(spec: TensorSpec) -> Iterator[str]:
    if spec.dtype == "string":
        yield "raw bytes cannot become strings; use codec 'json' with 'fields' or 'array'"
    free = spec.shape.count(DYNAMIC)
    if free > 1:
        yield (
            f"raw bytes carry no shape, so at most one dimension may be free; the model has {spec}"
        )
    if 0 in spec.shape:
        yield f"raw bytes cannot fill an empty shape; the model has {spec}"


def _image_problems(image: Image | None, spec: TensorSpec) -> Iterator[str]:
    if image is None:
        yield "from = 'image' needs a section [tensor.image] with width and height"
        return
    if image.layout == "HW" and image.channels != "L":
        yield f"layout 'HW' has no channels and needs channels = 'L', found {image.channels!r}"
    elif image_layout(spec.shape, image) is None:
        found = ", ".join(str(size) for size in image_shape(image))
        yield (
            f"a picture of {image.width}x{image.height} {image.channels} in layout "
            f"{image.layout!r} is [N, {found}]; the model has {spec}"
        )
    channels = CHANNELS[image.channels]
    scales, offsets = per_channel(image.scale, channels), per_channel(image.offset, channels)
    if len(scales) != channels or len(offsets) != channels:
        yield (
            f"image scale and offset expected one number, or {channels} for the channels of "
            f"{image.channels!r}"
        )
    elif not all(math.isfinite(number) for number in (*scales, *offsets)):
        yield "image scale and offset expected finite numbers"
    elif spec.dtype in INTEGERS:
        low, high = integer_range(spec.dtype)
        ends = [*offsets, *(255 * s + o for s, o in zip(scales, offsets, strict=True))]
        if min(ends) < low or max(ends) > high:
            yield (
                f"pixels after scale and offset run from {min(ends):g} to {max(ends):g}, the "
                f"model takes {spec.dtype} ({low} to {high})"
            )
    elif spec.dtype not in FLOATS:
        yield f"a picture is numbers, the model takes {spec.dtype}"


def _constant_problems(value: object, spec: TensorSpec) -> Iterator[str]:
    if value is None:
        yield "from = 'constant' needs a value"
        return
    # Without the free first dimension it is one row, which is repeated for each row of a message.
    yield from value_problems(value, spec, may_be_row=True)


def doubles(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, in order."""
    return [name for name, count in Counter(names).items() if count > 1]
