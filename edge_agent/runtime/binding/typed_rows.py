"""Rows of a typed array to rows of named fields: one column a field, in the manifest's order.

The fields' rules hold for each column; NaN is how such a row says that a value is missing.
"""

from typing import Any

import numpy as np

from edge_agent.contract.manifest import Field
from edge_agent.contract.signature import FLOATS, DType
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.binding.fields import field_rules
from edge_agent.runtime.binding.typed import cast, shown
from edge_agent.runtime.session import Array


class TypedRows:
    """Reads arrays [F] and [n, F].

    Args:
        name: of the tensor, for errors.
        fields: one a column.
        dtype: of the tensor.
    """

    def __init__(self, name: str, fields: tuple[Field, ...], dtype: DType) -> None:
        self._name = name
        self._dtype = dtype
        self._rules = field_rules(fields, dtype)
        self._is_bounded = dtype not in ("bool", "string")
        self._low = np.array([rule.low for rule in self._rules], np.float64)
        self._high = np.array([rule.high for rule in self._rules], np.float64)
        self._bounds: dict[str, tuple[Array, Array]] = {}

    def read(self, array: Array) -> Array:
        """The rows, [n, F].

        Raises:
            FieldFault: `wrong_shape`, `wrong_type`, `out_of_range` or `not_finite`.
        """
        rows = array[None] if array.ndim == 1 else array
        if rows.ndim != 2 or rows.shape[1] != len(self._rules):
            raise FieldFault(
                self._name,
                f"expected rows of {len(self._rules)} values, found {shown(array)}",
                code="wrong_shape",
            )
        if self._is_bounded and rows.dtype.kind in "uif":
            low, high = self._bounds.get(rows.dtype.char) or self._bounds_of(rows.dtype)
            # What is right at first sight costs one comparison; NaN is within no bounds.
            if not ((rows >= low) & (rows <= high)).all():
                rows = self._settled(rows, low, high)
        # Only what a rule has filled in can still be NaN.
        return cast(self._name, rows, self._dtype, allow_missing=self._dtype in FLOATS)

    def _filled(self, rows: Array, is_missing: Array) -> Array:
        filled = rows.copy() if self._dtype in FLOATS else rows.astype(np.float64)
        for column, rule in enumerate(self._rules):
            wanted = is_missing[:, column]
            if not wanted.any():
                continue
            if rule.missing is None:
                raise FieldFault(
                    rule.field.name,
                    f"row {int(wanted.argmax())}: expected a number, found NaN",
                    code="not_finite",
                )
            filled[wanted, column] = float(rule.missing)
        return filled

    def _settled(self, rows: Array, low: Array, high: Array) -> Array:
        is_missing = np.isnan(rows) if rows.dtype.kind == "f" else np.zeros(rows.shape, np.bool_)
        is_outside = ~is_missing & ((rows < low) | (rows > high))
        if is_outside.any():
            row, column = (int(index) for index in np.argwhere(is_outside)[0])
            rule = self._rules[column]
            unit = f" {rule.field.unit}" if rule.field.unit else ""
            raise FieldFault(
                rule.field.name,
                f"row {row}: expected {rule.low:g} to {rule.high:g}{unit}, "
                f"found {rows[row, column]}",
                code="out_of_range",
            )
        return self._filled(rows, is_missing)

    def _bounds_of(self, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """The bounds as numbers of a message's own type, made once.

        As the sender rounded its value, so is the bound: 0.1 of float32 is above 0.1.
        """
        low, high = self._low, self._high
        if dtype.kind == "f":
            largest = float(np.finfo(dtype).max)  # no bound is infinite: infinities are outside
            low = np.clip(low, -largest, largest).astype(dtype)
            high = np.clip(high, -largest, largest).astype(dtype)
        self._bounds[dtype.char] = low, high
        return low, high


def typed_message(rows: Array, sources: int, *, one_by_one: bool) -> object:
    """The value of a message that is one array of rows, as the sources of a binding take it.

    Args:
        rows: [F] or [n, F].
        sources: that fill tensors from messages.
        one_by_one: whether each row is a run of its own.

    Returns:
        The array, or the list of its rows.

    Raises:
        MessageError: `wrong_shape`, it is not to be told which tensor the columns belong to.
    """
    if sources > 1:
        raise MessageError(
            f"an array of rows fills the one tensor of a module; this one has {sources}",
            code="wrong_shape",
            hint="send objects with named fields",
        )
    return list(rows) if one_by_one and rows.ndim == 2 else rows
