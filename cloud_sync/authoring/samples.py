"""Sample messages for a model that came without any. Pure and deterministic: no randomness.

They are not realistic and need not be: their answers, computed once when the module is made, are
what every device must reproduce before it goes live.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from edge_agent.contract.manifest import Tensor
from edge_agent.contract.signature import DYNAMIC, FLOATS, TensorSpec

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_VALUES: Final = 262_144
"""Largest sample, in values: a golden case travels to every device."""

_CASES: Final = 3
_ONE_CASE_ABOVE: Final = 20_000  # values in a message


def sample_messages(
    inputs: Sequence[TensorSpec], tensors: Sequence[Tensor], free_size: int
) -> tuple[Json, ...]:
    """Messages that a binding accepts, one row each.

    Args:
        inputs: of the model.
        tensors: one for each input, in the same order, from "fields" or "array".
        free_size: what to take for free dimensions behind the first.

    Returns:
        Three messages, one if it is large, none if it would be too large.
    """
    values = sum(math.prod(_sample_shape(spec, free_size)) for spec in inputs)
    if values > MAX_VALUES:
        return ()
    cases = 1 if values > _ONE_CASE_ABOVE else _CASES
    return tuple(_message(inputs, tensors, free_size, number) for number in range(cases))


def free_sizes(inputs: Sequence[TensorSpec]) -> tuple[int, ...]:
    """Sizes worth trying for free dimensions, in this order; one where nothing is free."""
    if not any(DYNAMIC in spec.shape[1:] for spec in inputs):
        return (1,)
    return (8, 32, 224, 1) if any(len(spec.shape) == 4 for spec in inputs) else (8, 1, 2, 32)


def _message(
    inputs: Sequence[TensorSpec], tensors: Sequence[Tensor], free_size: int, number: int
) -> Json:
    message: dict[str, Json] = {}
    for spec, tensor in zip(inputs, tensors, strict=True):
        values = _values(spec.dtype, number)
        if tensor.source == "fields":
            for item in tensor.fields:
                message[item.path or item.name] = next(values)
            continue
        message[tensor.path] = _nest(values, _sample_shape(spec, free_size))
    return message


def _sample_shape(spec: TensorSpec, free_size: int) -> list[int]:
    """One row, and something for every other free dimension."""
    shape = [free_size if size == DYNAMIC else size for size in spec.shape]
    if spec.is_batched:
        shape[0] = 1
    return shape


def _values(dtype: str, number: int) -> Iterator[Json]:
    """An endless run of values that most models accept: small, and no category unknown to all."""
    step = number
    while True:
        step = (step * 5 + 3) % 16  # all 16 residues, in a scrambled order
        if dtype in FLOATS:
            yield step / 16
        elif dtype == "bool":
            yield step % 2 == 1
        elif dtype == "string":
            yield "abc"[step % 3]
        else:
            yield step % 2  # an index has at least these two


def _nest(values: Iterator[Json], shape: Sequence[int]) -> Json:
    if not shape:
        return next(values)
    return [_nest(values, shape[1:]) for _ in range(shape[0])]
