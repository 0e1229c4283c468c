"""Numbers that come with a type of their own, from typed arrays, to the type of a tensor.

The same rules as for numbers in lists: nothing is rounded to a whole number, wrapped around or
made infinite, and true is no number. Where the types are the same, nothing is copied.
"""

import math
from typing import Final

import numpy as np

from edge_agent.contract.signature import FLOATS, DType, integer_range
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.session import Array

EXACT_FLOAT: Final = 2**53 - 1
"""Largest whole number that only one text becomes as a float."""

_SMALL: Final = 4096
"""Elements; numpy may hand longer products to several threads."""


def cast(name: str, array: Array, dtype: DType, *, allow_missing: bool) -> Array:
    """An array as the elements of a tensor.

    Args:
        name: of the tensor, for errors.
        array: of booleans or numbers, any shape.
        dtype: of the tensor.
        allow_missing: let NaN and infinities through, if the tensor can hold them.

    Raises:
        FieldFault: `wrong_type`, `out_of_range` or `not_finite`.
    """
    if dtype == "bool":
        return _booleans(name, array)
    if dtype == "string" or array.dtype.kind not in "uif":
        wanted = "texts" if dtype == "string" else "numbers"
        raise FieldFault(name, f"expected {wanted}, found {shown(array)}", code="wrong_type")
    if array.dtype.kind == "f" and not (allow_missing and dtype in FLOATS):
        check_finite(name, array)
    if array.dtype == np.dtype(dtype):
        return array
    return _floats(name, array, dtype) if dtype in FLOATS else _integers(name, array, dtype)


def check_finite(name: str, array: Array) -> None:
    """Refuse NaN and infinities.

    Args:
        name: of the tensor, for errors.
        array: of floats.

    Raises:
        FieldFault: `not_finite`.
    """
    # One product is half the price of two passes, and only finite numbers have a finite one. Of
    # large numbers it is infinite, too: then the passes decide.
    if array.size <= _SMALL and math.isfinite(np.vdot(array, array)):
        return
    if not np.isfinite(array).all():
        raise FieldFault(
            name,
            "expected finite numbers, found NaN or infinity",
            code="not_finite",
            hint='missing_values = "allow" lets them through',
        )


def shown(array: Array) -> str:
    """An array, short enough for an error."""
    return f"an array of {array.dtype}, shape {list(array.shape)}"


def _booleans(name: str, array: Array) -> Array:
    if array.dtype.kind == "b":
        return array
    # There is no typed array of booleans: bytes of 0 and 1 are the next best.
    if array.dtype.kind in "ui" and bool(((array == 0) | (array == 1)).all()):
        return array.astype(np.bool_)
    raise FieldFault(name, f"expected 0 or 1, found {shown(array)}", code="wrong_type")


def _floats(name: str, array: Array, dtype: DType) -> Array:
    with np.errstate(over="ignore"):
        narrow: Array = array.astype(dtype)
    if (np.isinf(narrow) & ~np.isinf(array)).any():
        raise FieldFault(name, f"expected values within {dtype}", code="out_of_range")
    return narrow


def _integers(name: str, array: Array, dtype: DType) -> Array:
    if array.dtype.kind == "f":
        wide = array.astype(np.float64)
        is_whole = (wide == np.floor(wide)) & (np.abs(wide) <= EXACT_FLOAT)
        if not is_whole.all():
            found = float(wide[~is_whole].flat[0])
            raise FieldFault(name, f"expected whole numbers, found {found!r}", code="wrong_type")
        array = wide.astype(np.int64)
    low, high = integer_range(dtype)
    if array.size:
        for found in (int(array.min()), int(array.max())):
            if not low <= found <= high:
                raise FieldFault(
                    name, f"expected {low} to {high} ({dtype}), found {found}", code="out_of_range"
                )
    return array.astype(dtype)
