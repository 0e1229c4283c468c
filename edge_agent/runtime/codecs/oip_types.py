"""Element types of the Open Inference Protocol, and tensors as its raw bytes. Pure.

Raw bytes are little-endian and row by row; a text is its length, a u32, and its UTF-8.
"""

import math
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_agent.contract.datatypes import DATATYPES
from edge_agent.contract.signature import DType
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.session import Array

_LENGTH: Final = struct.Struct("<I")
_LENGTH_BYTES: Final = _LENGTH.size


def read_raw(
    name: str, dtype: DType, shape: Sequence[int], body: bytes, at: int, size: int
) -> Array:
    """The array in `size` bytes of a body, from `at`; a view of the body where that is possible.

    Args:
        name: of the tensor, for errors.
        dtype: of the tensor.
        shape: of the tensor; no size is below 0.
        body: has at least `at + size` bytes.
        at: where the tensor begins.
        size: its length in bytes.

    Raises:
        MessageError: `wrong_shape`, `wrong_type` or `out_of_range`.
    """
    count = math.prod(shape)
    if dtype == "string":
        return _read_texts(name, count, body, at, size).reshape(shape)
    kind = np.dtype(dtype).newbyteorder("<")
    if size != count * kind.itemsize:
        raise FieldFault(
            name,
            f"expected {count * kind.itemsize} bytes for {DATATYPES[dtype]} of the shape "
            f"{list(shape)}, found {size}",
            code="wrong_shape",
        )
    if dtype == "bool" and size and max(body[at : at + size]) > 1:
        # Any other bit pattern is undefined behaviour as a bool.
        raise FieldFault(name, "expected 0 or 1 in each byte", code="out_of_range")
    array = np.frombuffer(body, kind, count, at).reshape(shape)
    if not (array.flags.aligned and kind.isnative):
        array = array.astype(dtype)
    return array


def write_raw(array: Array) -> bytes:
    """The raw bytes of an array."""
    if array.dtype == np.object_:
        parts: list[bytes] = []
        for text in array.reshape(-1).tolist():
            encoded = str(text).encode()
            parts += (_LENGTH.pack(len(encoded)), encoded)
        return b"".join(parts)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def datatype_of(array: Array) -> str:
    """The protocol's name for an array's type."""
    if array.dtype == np.object_:
        return "BYTES"
    name: DType = array.dtype.name  # type: ignore[assignment]  # a model has no other types
    return DATATYPES[name]


def _read_texts(name: str, count: int, body: bytes, at: int, size: int) -> Array:
    # Each text costs four bytes at least, so a few bytes cannot call for many texts.
    if count * _LENGTH_BYTES > size:
        raise FieldFault(name, f"expected {count} texts, found {size} bytes", code="wrong_shape")
    texts = np.empty(count, dtype=object)
    end = at + size
    for index in range(count):
        start = at + _LENGTH_BYTES
        if start > end:
            raise _cut_off(name, index)
        at = start + _LENGTH.unpack_from(body, at)[0]
        if at > end:
            raise _cut_off(name, index)
        try:
            texts[index] = body[start:at].decode()
        except UnicodeDecodeError as error:
            raise FieldFault(name, f"text {index} is not UTF-8", code="wrong_type") from error
    if at != end:
        raise FieldFault(name, f"found {end - at} bytes behind the last text", code="wrong_shape")
    return texts


def _cut_off(name: str, index: int) -> MessageError:
    return FieldFault(name, f"text {index} is cut off", code="wrong_shape")
