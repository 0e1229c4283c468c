"""Fit: does a module's binding fill exactly the inputs that its model has?

Decides from the manifest alone, so that the build, the registry and the device come to the same
answer. Pure: it never reads a file, and it never looks at the model itself.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from edge_agent.contract.layout import (
    array_layout,
    fields_layout,
    image_layout,
    image_shape,
)
from edge_agent.contract.limits import MAX_TENSORS, limit_problems
from edge_agent.contract.manifest import Codec, Field, Image, Input, Manifest, Tensor
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.routes import route_problems
from edge_agent.contract.signature import DYNAMIC, FLOATS, INTEGERS, TensorSpec, integer_range
from edge_agent.errors import ContractError

_CODEC_OF_SOURCE: Final[dict[str, Codec]] = {
    "fields": "json",
    "array": "json",
    "bytes": "octet-stream",
    "image": "image",
}


def check_fit(manifest: Manifest) -> None:
    """Check that the binding fits the model's signature and the limits of this version.

    Raises:
        ContractError: it does not; the text lists everything that is wrong, not only the first.
    """
    problems = list(fit_problems(manifest))
    if problems:
        raise ContractError(problem_text(problems), code="misfit")


def problem_text(problems: list[str]) -> str:
    """One text for one problem or several."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} problems:", *(f"  - {problem}" for problem in problems)])


def fit_problems(manifest: Manifest) -> Iterator[str]:
    """Everything that does not fit, one sentence each; empty when the module can run."""
    yield from limit_problems(manifest.model.ir_version, manifest.model.opsets)
    yield from _output_problems(manifest.model.outputs)
    yield from route_problems(manifest.input.topic, manifest.output.topic)
    yield from _pairing_problems(manifest.model.inputs, manifest.tensors)
    yield from _codec_problems(manifest.input, manifest.tensors)
    specs = {spec.name: spec for spec in manifest.model.inputs}
    for tensor in manifest.tensors:
        spec = specs.get(tensor.name)
        if spec is not None:
            for problem in _tensor_problems(tensor, spec, manifest.input):
                yield f"tensor {tensor.name!r}: {problem}"


def _output_problems(outputs: tuple[TensorSpec, ...]) -> Iterator[str]:
    if not 1 <= len(outputs) <= MAX_TENSORS:
        yield f"outputs expected 1 to {MAX_TENSORS}, found {len(outputs)}"
    for name in _doubles(spec.name for spec in outputs):
        yield f"output {name!r} is listed more than once"


def _pairing_problems(inputs: tuple[TensorSpec, ...], tensors: tuple[Tensor, ...]) -> Iterator[str]:
    if len(inputs) > MAX_TENSORS:
        yield f"inputs expected at most {MAX_TENSORS}, found {len(inputs)}"
    names = [spec.name for spec in inputs]
    given = {tensor.name for tensor in tensors}
    unfilled = [name for name in names if name not in given]
    for tensor in tensors:
        if tensor.name not in names:
            hint = did_you_mean(tensor.name, unfilled or names)
            yield f"tensor {tensor.name!r}: the model has no such input; {hint}".rstrip("; ")
    for spec in inputs:
        if spec.name not in given:
            yield f"the model's input {spec} has no [[tensor]] that fills it"
    for name in _doubles(tensor.name for tensor in tensors):
        yield f"tensor {name!r} is given more than once"
    for name in _doubles(names):
        yield f"the model has two inputs of the name {name!r}"
    if all(tensor.source == "constant" for tensor in tensors):
        yield "no tensor takes anything from the message, so every result would be the same"


def _codec_problems(source: Input, tensors: tuple[Tensor, ...]) -> Iterator[str]:
    for tensor in tensors:
        codec = _CODEC_OF_SOURCE.get(tensor.source)
        if codec is not None and codec != source.codec:
            fitting = [name for name, value in _CODEC_OF_SOURCE.items() if value == source.codec]
            yield (
                f"tensor {tensor.name!r}: from = {tensor.source!r} needs codec = {codec!r}, found "
                f"{source.codec!r} (which goes with {' or '.join(map(repr, fitting))})"
            )
    raw = [tensor.name for tensor in tensors if tensor.source == "bytes"]
    if len(raw) > 1:
        yield (
            "a payload of codec 'octet-stream' fills one tensor of from = 'bytes', found "
            f"{', '.join(map(repr, raw))}"
        )
    if source.window is None:
        return
    for tensor in tensors:
        if tensor.source in ("bytes", "image"):
            yield f"tensor {tensor.name!r}: a window collects rows, not from = {tensor.source!r}"


def _tensor_problems(tensor: Tensor, spec: TensorSpec, source: Input) -> Iterator[str]:
    yield from _section_problems(tensor)
    window = source.window.size if source.window else None
    match tensor.source:
        case "fields":
            yield from _fields_problems(tensor.fields, spec, window)
        case "array":
            if array_layout(spec.shape, window) is None:
                yield (
                    f"windows of {window} rows go into [N, {window}, F], [N, {window}*F] or "
                    f"[{window}, F]; the model has {spec}"
                )
        case "bytes":
            yield from _bytes_problems(spec)
        case "image":
            yield from _image_problems(tensor.image, spec)
        case "constant":
            yield from _constant_problems(tensor.value, spec)


def _section_problems(tensor: Tensor) -> Iterator[str]:
    """Keys that belong to another source: they would be ignored, which nobody wants."""
    given = {
        "fields": bool(tensor.fields),
        "path": bool(tensor.path),
        "value": tensor.value is not None,
        "image": tensor.image is not None,
        "missing_values": tensor.missing_values != "reject",
    }
    wanted = {
        "fields": {"fields"},
        "array": {"path", "missing_values"},
        "bytes": {"missing_values"},
        "image": {"image"},
        "constant": {"value"},
    }[tensor.source]
    for key, is_given in given.items():
        if is_given and key not in wanted:
            yield f"{key} has no meaning with from = {tensor.source!r}"


def _fields_problems(
    fields: tuple[Field, ...], spec: TensorSpec, window: int | None
) -> Iterator[str]:
    if not fields:
        yield "from = 'fields' needs at least one field"
        return
    for name in _doubles(item.name for item in fields):
        yield f"field {name!r} is listed more than once"
    for item in fields:
        for problem in _field_problems(item, spec.dtype):
            yield f"field {item.name!r}: {problem}"
    if fields_layout(spec.shape, len(fields), window) is not None:
        return
    count = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    if window is None:
        yield (
            f"{count} go into a shape of [N, {len(fields)}]"
            f"{', [N] or []' if len(fields) == 1 else f' or [{len(fields)}]'}; the model has "
            f"{spec} (a nested list of another shape is from = 'array')"
        )
    else:
        yield (
            f"windows of {window} rows of {count} go into [N, {window}, {len(fields)}], "
            f"[N, {window * len(fields)}] or [{window}, {len(fields)}]; the model has {spec}"
        )


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
        misfit = _value_misfit(item.missing, dtype)
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
    if not (math.isfinite(image.scale) and math.isfinite(image.offset)):
        yield "image scale and offset expected finite numbers"
    elif spec.dtype in INTEGERS:
        low, high = integer_range(spec.dtype)
        ends = (image.offset, 255 * image.scale + image.offset)
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
    shape = _nested_shape(value)
    if shape is None:
        yield "the nested lists of value expected the same length at each level"
        return
    # Without the free first dimension it is one row, which is repeated for each row of a message.
    wanted = [spec.shape, spec.shape[1:]] if spec.is_batched else [spec.shape]
    if not any(
        len(dims) == len(shape)
        and all(want in (DYNAMIC, have) for want, have in zip(dims, shape, strict=True))
        for dims in wanted
    ):
        yield f"value has the shape {list(shape)}, the model has {spec}"
    for leaf in _leaves(value):
        misfit = _value_misfit(leaf, spec.dtype)
        if misfit:
            yield f"value expected {misfit}, found {leaf!r}"
            return


def _value_misfit(value: object, dtype: str) -> str:
    """What was expected instead of `value` in a tensor of `dtype`; empty if it fits."""
    if dtype == "string":
        return "" if isinstance(value, str) else "a string"
    if dtype == "bool":
        return "" if isinstance(value, bool) else "true or false"
    if dtype in INTEGERS:
        low, high = integer_range(dtype)
        is_fit = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if is_fit else f"a whole number from {low} to {high}"
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return ""
    return "a finite number"


def _nested_shape(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list | tuple):
        return ()
    shapes = {_nested_shape(item) for item in value}
    if len(shapes) > 1 or None in shapes:
        return None
    inner = shapes.pop() if shapes else ()
    return None if inner is None else (len(value), *inner)


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _doubles(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
