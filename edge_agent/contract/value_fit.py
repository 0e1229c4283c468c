"""Fit of values that are written in a manifest: are they of a tensor's type and shape? Pure."""

import math
from collections.abc import Iterator

from edge_agent.contract.signature import INTEGERS, TensorSpec, integer_range, shape_accepts

Place = tuple[str | int, ...]
"""Keys and indices below something of a manifest."""


def value_problems(value: object, spec: TensorSpec, *, may_be_row: bool) -> Iterator[str]:
    """What does not fit about a nested list, or one value.

    Args:
        value: of the whole tensor.
        spec: of the tensor.
        may_be_row: whether it may be one row instead, where the first dimension is free.
    """
    shape = _shape_of(value)
    if shape is None:
        yield "the nested lists of value expected the same length at each level"
        return
    wanted = [spec.shape, spec.shape[1:]] if may_be_row and spec.is_batched else [spec.shape]
    if not any(shape_accepts(dims, shape) for dims in wanted):
        yield f"value has the shape {list(shape)}, the model has {spec}"
    for leaf in _leaves(value):
        misfit = value_misfit(leaf, spec.dtype)
        if misfit:
            yield f"value expected {misfit}, found {leaf!r}"
            return


def value_misfit(value: object, dtype: str) -> str:
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


def _shape_of(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list | tuple):
        return ()
    shapes = {_shape_of(item) for item in value}
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
