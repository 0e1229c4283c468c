"""`from = "array"`: the nested list at a path of each message is the tensor, or one row of it."""

import numpy as np

from edge_agent.contract.layout import Layout, window_width
from edge_agent.contract.manifest import Tensor
from edge_agent.contract.signature import DYNAMIC, TensorSpec
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.binding.nested import NestedReader
from edge_agent.runtime.binding.path import absence, keys_of, look_up
from edge_agent.runtime.session import Array


class ArraySource:
    """Nested lists.

    Args:
        tensor: with its path.
        spec: the model's input.
        layout: how a row, or a window of rows, lies in it.
        window: rows in a window, or None.
    """

    def __init__(
        self, tensor: Tensor, spec: TensorSpec, layout: Layout, window: int | None
    ) -> None:
        self.name = tensor.name
        self.layout = layout
        self._shape = spec.shape
        self._keys = keys_of(tensor.path)
        self._reader = NestedReader(
            tensor.name, spec.dtype, allow_missing=tensor.missing_values == "allow"
        )
        self._width = window_width(layout, window) if window else DYNAMIC

    def stack(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:
        """All rows, [n, *row]; a message gives one row or several."""
        if not is_list:
            return self.whole(messages[0])
        arrays = [self.whole(message)[0] for message in messages]
        if len({array.shape[1:] for array in arrays}) > 1:
            raise FieldFault(
                self.name,
                f"expected rows of one shape, found {_shapes(arrays)}",
                code="wrong_shape",
            )
        return np.concatenate(arrays), False

    def whole(self, message: object) -> tuple[Array, bool]:
        """The whole tensor, [n, *row]; a row that comes without it is given the dimension."""
        array = self._read(message)
        has_rows = self.layout.has_rows or self._shape[:1] == (1,)
        if has_rows and array.ndim == len(self._shape) - 1:
            self._reader.check_shape(array, self._shape[1:])
            return array[None], True
        self._reader.check_shape(array, self._shape)
        return array, False

    def rows(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:
        """Rows for a window, [n, F]: a message gives a flat list, or a list of these."""
        arrays: list[Array] = []
        is_single = not is_list
        for message in messages:
            array = self._read(message)
            if array.ndim == 1:
                array = array[None]
            else:
                is_single = False
            self._reader.check_shape(array, (DYNAMIC, self._width))
            arrays.append(array)
        if len({array.shape[1] for array in arrays}) > 1:
            raise FieldFault(self.name, "expected rows of one length", code="wrong_shape")
        return (arrays[0] if len(arrays) == 1 else np.concatenate(arrays)), is_single

    def _read(self, message: object) -> Array:
        value = look_up(message, self._keys)
        if value is None:
            place = f" at {'.'.join(self._keys)!r}" if self._keys else ""
            raise FieldFault(
                self.name,
                f"expected a value{place}, found {absence(message, self._keys)}",
                code="missing",
            )
        return self._reader.read(value)


def _shapes(arrays: list[Array]) -> str:
    shapes = sorted({array.shape[1:] for array in arrays})
    return " and ".join(str(list(shape)) for shape in shapes[:2])
