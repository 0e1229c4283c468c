"""Whole tensors of a message to what a model is fed: past fields, windows and states.

A message of the Open Inference Protocol names the model's inputs itself. What it gives is checked
against the model's signature and nothing is converted; what the module holds constant is filled in
where it is not given. Such a message stands alone: its tensors are the window, and the state.
"""

import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from edge_agent.contract.manifest import Manifest, Tensor
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.signature import FLOATS, shape_accepts
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.constant import Constant
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.binding.typed import check_finite
from edge_agent.runtime.session import Array, Feed


class Tensors(Struct, frozen=True, kw_only=True):
    """The value of a message that gives tensors.

    Attributes:
        arrays: input name to array.
        id: of the message, as JSON; UNSET if it has none.
    """

    arrays: dict[str, Array]
    id: Raw | UnsetType = UNSET


class TensorInputs:
    """Checks whole tensors.

    Args:
        manifest: must have passed `check_fit`.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._specs = {spec.name: spec for spec in manifest.model.inputs}
        self._max_batch = manifest.runtime.max_batch
        self._allows_missing = {t.name: allows_missing(t) for t in manifest.tensors}
        self._order = [tensor.name for tensor in manifest.tensors]
        self._constants = {
            tensor.name: Constant(tensor, self._specs[tensor.name])
            for tensor in manifest.tensors
            if tensor.source == "constant"
        }
        self._is_stacked = all(
            spec.is_batched for spec in manifest.model.inputs if spec.name not in self._constants
        )

    def feed(self, tensors: Tensors) -> tuple[Feed, int]:
        """What the model is fed, and how many rows that is.

        Raises:
            MessageError: `unknown_input`, `missing`, `wrong_type`, `wrong_shape`, `not_finite` or
                `too_many_rows`.
        """
        for name in tensors.arrays:
            if name not in self._specs:
                raise unknown_input(name, list(self._specs))
        feed: Feed = {}
        rows = -1
        for name in self._order:
            array = tensors.arrays.get(name)
            if array is None:
                if name not in self._constants:
                    raise FieldFault(
                        name, f"expected {self._specs[name]}, found nothing", code="missing"
                    )
                continue
            self._check(name, array)
            if self._is_stacked and name not in self._constants:
                rows = self._same_rows(name, len(array), rows)
            feed[name] = array
        rows = rows if self._is_stacked else 1
        for name, constant in self._constants.items():
            if name not in feed:
                feed[name] = constant.fill(rows)
        return feed, rows

    def _check(self, name: str, array: Array) -> None:
        spec = self._specs[name]
        if array.dtype != (np.dtype(object) if spec.dtype == "string" else np.dtype(spec.dtype)):
            raise FieldFault(name, f"expected {spec}, found {array.dtype}", code="wrong_type")
        if not shape_accepts(spec.shape, array.shape):
            raise FieldFault(
                name, f"expected {spec}, found the shape {list(array.shape)}", code="wrong_shape"
            )
        if spec.dtype in FLOATS and not self._allows_missing[name]:
            check_finite(name, array)

    def _same_rows(self, name: str, found: int, rows: int) -> int:
        if rows not in (-1, found):
            raise FieldFault(
                name, f"expected {rows} rows as the others have, found {found}", code="wrong_shape"
            )
        if found == 0:
            raise FieldFault(name, "expected at least one row, found none", code="wrong_shape")
        if found > self._max_batch:
            raise MessageError(
                f"message expected at most {self._max_batch} rows, found {found}",
                code="too_many_rows",
                hint="runtime.max_batch of the module sets the limit",
            )
        return found


def allows_missing(tensor: Tensor) -> bool:
    """Whether NaN may stand in a tensor that a message gives whole."""
    return tensor.missing_values == "allow" or any(f.missing == "nan" for f in tensor.fields)


def unknown_input(name: str, known: list[str]) -> MessageError:
    """The fault of a tensor that the model does not take."""
    return MessageError(
        f"the model has no input {name[:80]!r}",
        code="unknown_input",
        hint=did_you_mean(name[:80], known)[:300],
    )
