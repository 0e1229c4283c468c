"""`from = "fields"`: named values of each message become one row."""

import numpy as np

from edge_agent.contract.layout import Layout
from edge_agent.contract.manifest import Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.fields import Scalar, row_reader
from edge_agent.runtime.binding.typed_rows import TypedRows
from edge_agent.runtime.session import Array


class NamedSource:
    """Rows of named values.

    Args:
        tensor: with its fields.
        spec: the model's input.
        layout: how a row, or a window of rows, lies in it.
    """

    def __init__(self, tensor: Tensor, spec: TensorSpec, layout: Layout) -> None:
        self.name = tensor.name
        self.layout = layout
        self._read = row_reader(tensor.fields, spec.dtype)
        self._typed = TypedRows(tensor.name, tensor.fields, spec.dtype)
        self._dtype = np.dtype(object if spec.dtype == "string" else spec.dtype)
        self._width = len(tensor.fields)
        self._is_plain = layout.row == (self._width,)

    @property
    def is_plain(self) -> bool:
        """Whether a row of the tensor is a row of values, and any number of them fits."""
        return self._is_plain and self.layout.stackable

    def read(self, message: dict[object, object]) -> list[Scalar]:
        """One row of values.

        Raises:
            MessageError: the message does not fit.
        """
        return self._read(message)

    def pack(self, rows: list[list[Scalar]]) -> Array:
        """Rows of values as the tensor, for a source that `is_plain`."""
        return np.array(rows, dtype=self._dtype)

    def stack(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:
        """All rows, [n, *row]."""
        array, is_single = self.rows(messages, is_list=is_list)
        return (array if self._is_plain else array.reshape(-1, *self.layout.row)), is_single

    def whole(self, message: object) -> tuple[Array, bool]:
        """One row as the whole tensor."""
        if isinstance(message, np.ndarray):
            row = self._typed.read(message).reshape(self.layout.row)
        else:
            row = np.array(self._read(message), dtype=self._dtype).reshape(self.layout.row)
        return (row[None], True) if self.layout.has_rows else (row, False)

    def rows(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:
        """All rows, [n, F]."""
        if not is_list:
            if isinstance(messages[0], np.ndarray):
                return self._typed.read(messages[0]), messages[0].ndim == 1
            return np.array([self._read(messages[0])], dtype=self._dtype), True
        rows: list[list[Scalar]] = []
        for index, message in enumerate(messages):
            try:
                rows.append(self._read(message))
            except MessageError as error:
                # The row's number goes in front; field and code stay what they are.
                error.text = f"row {index}: {error.text}"
                raise
        return np.array(rows, dtype=self._dtype), False
