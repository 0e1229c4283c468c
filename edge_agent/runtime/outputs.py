"""A model's outputs to JSON.

float64 and integers are exact. float32 and float16 are written with the fewest digits that read
back as the same value (0.1, not 0.10000000149011612), up to `_SHORT_UP_TO` elements; above, as
the float64 of the same value, which reads back as the same value, too. NaN and infinity have no
JSON: they become null.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from edge_agent.errors import ModelError
from edge_agent.runtime.session import Array

MAX_ELEMENTS: Final = 4 * 2**20
"""Of all outputs of one answer: 4 million numbers are about 80 MB of JSON."""

_SHORT_UP_TO: Final = 4096
_encode: Final = msgspec.json.Encoder().encode


def output_json(names: Sequence[str], values: Sequence[Array]) -> bytes:
    """The outputs of one run as a JSON object, in order.

    Raises:
        ModelError: `result_too_large`.
    """
    elements = 0
    ready: dict[str, object] = {}
    for name, value in zip(names, values, strict=True):
        elements += value.size
        if elements > MAX_ELEMENTS:
            raise _too_large(elements)
        ready[name] = plain(value)
    return _encode(ready)


def output_lists_json(names: Sequence[str], runs: Sequence[Sequence[Array]]) -> bytes:
    """The outputs of several runs as a JSON object of lists, one value for each run.

    Raises:
        ModelError: `result_too_large`.
    """
    elements = sum(value.size for values in runs for value in values)
    if elements > MAX_ELEMENTS:
        raise _too_large(elements)
    return _encode(
        {name: [plain(values[index]) for values in runs] for index, name in enumerate(names)}
    )


def plain(array: Array) -> object:
    """An array as nested lists of Python's own values, or one of these."""
    if array.dtype.char not in "fe" or array.size > _SHORT_UP_TO:  # float32 and float16
        value: object = array.tolist()
        return value
    if array.ndim == 1:
        # str() of a numpy float is its shortest form; the usual case without a detour.
        return [float(str(number)) for number in array]
    if array.ndim == 0:
        return float(str(array[()]))
    flat = np.array([float(str(number)) for number in array.reshape(-1)], dtype=np.float64)
    nested: object = flat.reshape(array.shape).tolist()
    return nested


def _too_large(elements: int) -> ModelError:
    return ModelError(
        f"outputs expected at most {MAX_ELEMENTS} elements, found {elements}",
        code="result_too_large",
    )
