"""What a module keeps of each source topic: the rows of its windows, the states of its model.

Decides from the manifest alone, so that two versions of a module can be compared before either
of them runs. Pure: it never sees a row or a state.
"""

import hashlib
import math
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.contract.layout import array_layout, window_width
from edge_agent.contract.manifest import Manifest, Tensor, Window
from edge_agent.contract.signature import DYNAMIC, DType, TensorSpec

MAX_STATE_BYTES: Final = 8 * 2**20
"""Of all states of one source topic together."""

_ITEM_BYTES: Final[dict[str, int]] = {
    "float16": 2, "float32": 4, "float64": 8, "bool": 1,
    "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
}  # fmt: skip


class KeptRows(Struct, frozen=True):
    """The rows of one tensor.

    Attributes:
        name: of the tensor.
        dtype: of a value.
        width: values in a row; -1 if a source topic's first row decides.
        fields: names of the values in order; empty if they have none.
    """

    name: str
    dtype: DType
    width: int
    fields: tuple[str, ...] = ()


class Kept(Struct, frozen=True):
    """What is kept of each source topic.

    Attributes:
        window: of the rows; None if no rows are kept.
        rows: tensors whose rows are kept.
        states: tensors that an output is fed back to, with the shape of one source's state.
    """

    window: Window | None
    rows: tuple[KeptRows, ...]
    states: tuple[TensorSpec, ...]

    @property
    def is_fixed(self) -> bool:
        """Whether it always takes the same number of bytes, so that it can outlive a process."""
        return all(rows.width != DYNAMIC and rows.dtype != "string" for rows in self.rows)

    @property
    def state_bytes(self) -> int:
        """Of one source topic's states."""
        return sum(_ITEM_BYTES[s.dtype] * math.prod(s.shape) for s in self.states)

    def fingerprint(self) -> bytes:
        """32 bytes that are the same for two versions if one can go on with the other's memory."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()


def kept(manifest: Manifest) -> Kept | None:
    """What a module keeps, or None if it keeps nothing.

    Args:
        manifest: must have passed `check_fit`.
    """
    specs = {spec.name: spec for spec in manifest.model.inputs}
    window = manifest.input.window
    states = tuple(
        TensorSpec(tensor.name, spec.dtype, state_shape(tensor.value, spec))
        for tensor in manifest.tensors
        if tensor.source == "state"
        for spec in (specs[tensor.name],)
    )
    rows: tuple[KeptRows, ...] = ()
    if window is not None:
        rows = tuple(
            _kept_rows(tensor, specs[tensor.name], window.size)
            for tensor in manifest.tensors
            if tensor.source in ("fields", "array")
        )
    return Kept(window, rows, states) if rows or states else None


def keeps_anything(manifest: Manifest) -> bool:
    """Whether a worker of this module has a use for memory that outlives it. Any manifest."""
    return manifest.input.window is not None or any(
        tensor.source == "state" for tensor in manifest.tensors
    )


def state_shape(value: object, spec: TensorSpec) -> tuple[int, ...]:
    """Shape of one source's state: a free dimension is as large as `value` says, or 1.

    Args:
        value: initial value of the tensor: None, a scalar, or a nested list of the whole tensor or
            of one row of it.
        spec: the model's input.
    """
    shape = spec.shape
    if isinstance(value, list | tuple):
        given = nested_shape(value)
        if len(given) == len(shape) - 1 and spec.is_batched:
            return (1, *given)
        if len(given) == len(shape):
            return given
    return tuple(1 if size == DYNAMIC else size for size in shape)


def nested_shape(value: object) -> tuple[int, ...]:
    """Shape of a nested list, by its first elements."""
    shape: list[int] = []
    while isinstance(value, list | tuple):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _kept_rows(tensor: Tensor, spec: TensorSpec, size: int) -> KeptRows:
    if tensor.source == "fields":
        # Rows of other fields are other rows, although they may be as wide.
        names = tuple(item.path or item.name for item in tensor.fields)
        return KeptRows(tensor.name, spec.dtype, len(names), names)
    layout = array_layout(spec.shape, size)
    width = window_width(layout, size) if layout is not None else DYNAMIC
    return KeptRows(tensor.name, spec.dtype, width)
