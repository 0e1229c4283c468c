"""`from = "bytes"`: the payload is the tensor's memory, little-endian, row-major."""

import math
import sys

import numpy as np

from edge_agent.contract.layout import Layout
from edge_agent.contract.manifest import Tensor
from edge_agent.contract.signature import DYNAMIC, FLOATS, TensorSpec
from edge_agent.errors import Unsupported
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.binding.typed import check_finite
from edge_agent.runtime.session import Array


class RawSource:
    """Raw arrays.

    Args:
        tensor: with its rule for NaN and infinity.
        spec: the model's input; at most one dimension may be free.

    Raises:
        Unsupported: strings, or more than one free dimension.
    """

    def __init__(self, tensor: Tensor, spec: TensorSpec) -> None:
        free = spec.shape.count(DYNAMIC)
        if spec.dtype == "string" or free > 1 or 0 in spec.shape:
            raise Unsupported(
                f"raw bytes cannot fill {spec}: they carry no shape and no strings",
                hint="name every dimension but the first in the model, or use the codec cbor "
                "or oip",
            )
        self.name = tensor.name
        self.layout = Layout(
            spec.shape[1:] if spec.is_batched else spec.shape,
            has_rows=spec.is_batched,
            stackable=spec.is_batched,
        )
        self._spec = spec
        self._dtype = np.dtype(spec.dtype).newbyteorder("<")
        self._cell_bytes = self._dtype.itemsize * math.prod(d for d in spec.shape if d != DYNAMIC)
        self._is_open = free == 1
        self._is_checked = spec.dtype in FLOATS and tensor.missing_values == "reject"

    def stack(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:  # noqa: ARG002 -- part of Source
        """All rows of the payload, [n, *row]; one row counts as having come alone."""
        array, _ = self.whole(messages[0])
        return array, len(array) == 1

    def whole(self, message: object) -> tuple[Array, bool]:
        """The payload as the whole tensor."""
        payload = message if isinstance(message, bytes) else b""
        size = len(payload)
        is_fit = size % self._cell_bytes == 0 if self._is_open else size == self._cell_bytes
        if not is_fit or size == 0:
            multiple = "a multiple of " if self._is_open else ""
            raise FieldFault(
                self.name,
                f"expected {multiple}{self._cell_bytes} bytes for {self._spec}, found {size}",
                code="wrong_shape",
            )
        if self._spec.dtype == "bool" and max(payload) > 1:
            # Any other bit pattern is undefined behaviour as a bool.
            raise FieldFault(
                self.name,
                f"expected 0 or 1 in each byte, found {max(payload)}",
                code="out_of_range",
            )
        array = np.frombuffer(payload, dtype=self._dtype).reshape(self._spec.shape)
        if sys.byteorder == "big":
            array = array.astype(self._spec.dtype)
        if self._is_checked:
            check_finite(self.name, array)
        return array, self._spec.shape[:1] == (1,)
