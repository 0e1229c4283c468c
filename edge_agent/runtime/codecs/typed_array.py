"""Typed arrays of CBOR (RFC 8746) to numpy arrays and back. Pure.

A typed array is one string of bytes with a tag that names type and byte order; a tag around it
may give it dimensions, row by row (40) or column by column (1040). Reading one costs a look at its
bytes; only another byte order than the machine's is copied.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import cbor2
import numpy as np

from edge_agent.errors import MessageError
from edge_agent.runtime.session import Array

ROW_MAJOR: Final = 40
COLUMN_MAJOR: Final = 1040
_MAX_DIMENSIONS: Final = 32

_TYPES: Final[Mapping[int, str]] = {
    64: "|u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "|u1", 69: "<u2", 70: "<u4", 71: "<u8",
    72: "|i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8",
    80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8",
}  # fmt: skip
"""Tag to numpy's type. 68 is bytes that saturate in arithmetic, and the same to a reader."""

_TAGS: Final[Mapping[str, int]] = {
    "uint8": 64, "uint16": 69, "uint32": 70, "uint64": 71,
    "int8": 72, "int16": 77, "int32": 78, "int64": 79,
    "float16": 84, "float32": 85, "float64": 86,
}  # fmt: skip
"""What we write: little-endian."""

# Any: cbor2 hands over whatever stands below the tag.
Reader = Callable[[Any, bool], Array]


def _flat(tag: int, dtype: np.dtype[Any]) -> Reader:
    def read(value: Any, _immutable: bool) -> Array:
        if type(value) is not bytes or len(value) % dtype.itemsize:
            found = f"{len(value)} bytes" if type(value) is bytes else type(value).__name__
            raise MessageError(
                f"typed array (tag {tag}) expected a multiple of {dtype.itemsize} bytes, "
                f"found {found}",
                code="wrong_shape",
                hint="choose the tag of the numbers' own type",
            )
        array = np.frombuffer(value, dtype)
        return array if dtype.isnative else array.astype(dtype.newbyteorder("="))

    return read


def _shaped(tag: int) -> Reader:
    order: Any = "C" if tag == ROW_MAJOR else "F"  # Any: numpy wants a literal

    def read(value: Any, _immutable: bool) -> Array:
        # cbor2 gives tuples where it wants hashable values.
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise _misshaped(tag, "expected a list of two: dimensions and elements")
        dims, elements = value
        if isinstance(dims, np.ndarray) and dims.ndim == 1:
            dims = dims.tolist()
        if not isinstance(dims, list | tuple) or not 1 <= len(dims) <= _MAX_DIMENSIONS:
            raise _misshaped(tag, f"expected 1 to {_MAX_DIMENSIONS} dimensions")
        if any(type(size) is not int or size < 0 for size in dims):
            raise _misshaped(tag, "expected whole numbers as dimensions")
        array = elements if isinstance(elements, np.ndarray) else _listed(tag, elements)
        if array.ndim != 1 or math.prod(dims) != array.size:
            shown = "x".join(str(size)[:20] for size in dims)
            raise _misshaped(tag, f"expected {shown} elements, found {array.size}")
        return array.reshape(dims, order=order)

    return read


def _listed(tag: int, elements: object) -> Array:
    """A plain list of numbers of one kind; it has no type of its own."""
    if isinstance(elements, list | tuple):
        kinds = set(map(type, elements))
        try:
            if kinds == {int}:
                return np.array(elements, dtype=np.int64)
            if kinds == {bool}:
                return np.array(elements, dtype=np.bool_)
            if kinds and kinds <= {int, float}:
                return np.array(elements, dtype=np.float64)
        except OverflowError as error:
            raise _misshaped(tag, "expected whole numbers of 64 bits") from error
    raise _misshaped(tag, "expected a typed array, or a list of numbers, as elements")


def _misshaped(tag: int, text: str) -> MessageError:
    return MessageError(
        f"array with dimensions (tag {tag}) {text}",
        code="wrong_shape",
        hint="encode it as RFC 8746 says: [dimensions, values]",
    )


READERS: Final[Mapping[int, Reader]] = {
    **{tag: _flat(tag, np.dtype(name)) for tag, name in _TYPES.items()},
    ROW_MAJOR: _shaped(ROW_MAJOR),
    COLUMN_MAJOR: _shaped(COLUMN_MAJOR),
}
"""Tag to what reads the value below it."""


def tagged(array: Array) -> object:
    """An array as what cbor2 encodes: a number, a typed array, or lists of texts or booleans."""
    tag = _TAGS.get(array.dtype.name)
    if tag is None or array.ndim == 0:
        value: object = array.tolist()
        return value
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    flat = cbor2.CBORTag(tag, little.tobytes())
    return flat if array.ndim == 1 else cbor2.CBORTag(ROW_MAJOR, [list(array.shape), flat])
