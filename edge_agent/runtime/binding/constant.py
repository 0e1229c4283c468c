"""`from = "constant"`: the same array for every message, repeated where rows are stacked."""

import numpy as np

from edge_agent.contract.manifest import Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import Unsupported
from edge_agent.runtime.binding.nested import NestedReader
from edge_agent.runtime.session import Array


class Constant:
    """A fixed input.

    Args:
        tensor: with its value: the whole tensor, or one row of it where the first dimension is
            free.
        spec: the model's input.

    Raises:
        MessageError: the value is not of the tensor's type or shape.
        Unsupported: it has no value.
    """

    def __init__(self, tensor: Tensor, spec: TensorSpec) -> None:
        if tensor.value is None:
            raise Unsupported(
                f"tensor {tensor.name!r} needs a value", hint="add value = ... to its [[tensor]]"
            )
        self.name = tensor.name
        reader = NestedReader(tensor.name, spec.dtype, allow_missing=False)
        array = reader.read(tensor.value)
        self._is_row = spec.is_batched and array.ndim == len(spec.shape) - 1
        reader.check_shape(array, spec.shape[1:] if self._is_row else spec.shape)
        self._one = array[None] if self._is_row else array

    def fill(self, rows: int) -> Array:
        """The array for a run on `rows` rows."""
        return np.repeat(self._one, rows, axis=0) if self._is_row and rows != 1 else self._one
