"""Nested lists of a message to an array: type, shape and range are checked, nothing is guessed.

numpy alone would turn `"1"`, `true` and ragged lists into something; msgspec's strict conversion
stands before it.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from edge_agent.contract.signature import DYNAMIC, FLOATS, DType, integer_range, shape_accepts
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.binding.fields import describe, describe_fraction
from edge_agent.runtime.binding.typed import EXACT_FLOAT, cast
from edge_agent.runtime.session import Array

_MAX_DEPTH: Final = 32
_MISFIT: Final = re.compile(r"^Expected `(?P<expected>.*?)`, got .*?(?: - at `\$(?P<path>.*)`)?$")
_INDEX: Final = re.compile(r"\[(\d+)\]")


class NestedReader:
    """Turns nested lists into arrays of one tensor.

    Args:
        name: of the tensor, for errors.
        dtype: of the tensor.
        allow_missing: null becomes NaN.
    """

    def __init__(self, name: str, dtype: DType, *, allow_missing: bool) -> None:
        self._name = name
        self._dtype = dtype
        self._allow_missing = allow_missing and dtype in FLOATS
        self._types: dict[tuple[bool, int], Any] = {}  # Any: msgspec takes type forms

    def read(self, value: object) -> Array:
        """The array of a value, of whatever shape the value has.

        Raises:
            FieldFault: `missing`, `wrong_type`, `wrong_shape`, `too_deep`, `out_of_range` or
                `not_finite`.
        """
        depth = self._depth(value)
        if isinstance(_first_leaf(value), np.ndarray):
            array = self._stacked(value)
            return cast(self._name, array, self._dtype, allow_missing=self._allow_missing)
        if self._dtype == "string":
            return self._strings(value, depth)
        converted = self._convert(value, depth)
        try:
            if self._dtype in FLOATS:
                return self._floats(converted)
            return np.array(converted, dtype=self._dtype)
        except OverflowError as error:
            low, high = integer_range(self._dtype)
            outside = next(n for n in _leaves(converted) if not low <= n <= high)
            raise FieldFault(
                self._name,
                f"expected {low} to {high} ({self._dtype}), found {describe(outside)}",
                code="out_of_range",
            ) from error
        except ValueError as error:
            raise self._ragged() from error

    def check_shape(self, array: Array, wanted: tuple[int, ...]) -> None:
        """Check an array's shape; -1 in `wanted` is free.

        Raises:
            FieldFault: `wrong_shape`.
        """
        if not shape_accepts(wanted, array.shape):
            shown = ["?" if size == DYNAMIC else str(size) for size in wanted]
            raise FieldFault(
                self._name,
                f"expected the shape [{', '.join(shown)}], found {list(array.shape)}",
                code="wrong_shape",
            )

    def _stacked(self, value: object) -> Array:
        """Typed arrays, alone or in lists, as one array."""
        if isinstance(value, np.ndarray):
            return value
        if not isinstance(value, list):
            raise FieldFault(
                self._name,
                f"expected arrays only, or numbers only, found {describe(value)}",
                code="wrong_type",
            )
        parts = [self._stacked(inner) for inner in value]
        if len({part.shape for part in parts}) != 1:
            raise self._ragged()
        stacked: Array = np.stack(parts)
        return stacked

    def _depth(self, value: object) -> int:
        depth = 0
        while isinstance(value, list):
            depth += 1
            if depth > _MAX_DEPTH:
                raise FieldFault(
                    self._name, f"expected at most {_MAX_DEPTH} levels", code="too_deep"
                )
            if not value:
                break
            value = value[0]
        return depth

    def _convert(self, value: object, depth: int) -> object:
        try:
            return msgspec.convert(value, self._type(depth, is_float=self._dtype in FLOATS))
        except msgspec.ValidationError as error:
            if self._dtype not in FLOATS and self._dtype != "bool":
                whole = self._whole(value, depth)
                if whole is not None:
                    return whole
                fault = next(self._unwhole(value, ""), None)
                if fault is not None:
                    raise fault from error
            text = str(error)
            code = "wrong_type"
            if "got `null`" in text:
                code = "missing"
            elif "`array`" in text:
                code = "wrong_shape"
            raise FieldFault(self._name, _reworded(text, value), code=code) from error

    def _whole(self, value: object, depth: int) -> object | None:
        """Whole numbers that were written as 2.0, or None if there is another kind among them."""
        try:
            floats = np.array(msgspec.convert(value, self._type(depth, is_float=True)), np.float64)
        except (msgspec.ValidationError, ValueError, OverflowError):
            return None
        if not (np.all(floats == np.floor(floats)) and np.all(np.abs(floats) <= EXACT_FLOAT)):
            return None
        whole: object = floats.astype(np.int64).tolist()
        return whole

    def _unwhole(self, value: object, place: str) -> Iterator[FieldFault]:
        """A fault for each float among whole numbers that is none: msgspec names 1.0 before 1.5."""
        if isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self._unwhole(inner, f"{place}[{index}]")
        elif isinstance(value, float) and not (value.is_integer() and abs(value) <= EXACT_FLOAT):
            at = f" at {place}" if place else ""
            yield FieldFault(
                self._name,
                f"expected a whole number{at}, found {describe_fraction(value)}",
                code="wrong_type",
            )

    def _floats(self, converted: object) -> Array:
        wide = np.array(converted, dtype=np.float64)
        with np.errstate(over="ignore"):
            array = wide.astype(self._dtype)
        # CBOR can write what JSON cannot; null is the missing value of both.
        if not np.isfinite(array).all():
            if np.isinf(array).any() and np.isfinite(wide[np.isinf(array)]).any():
                raise FieldFault(
                    self._name, f"expected values within {self._dtype}", code="out_of_range"
                )
            if not self._allow_missing:
                raise FieldFault(
                    self._name,
                    "expected finite numbers, found NaN or infinity",
                    code="not_finite",
                    hint='missing_values = "allow" lets them through',
                )
        return array

    def _strings(self, value: object, depth: int) -> Array:
        try:
            converted = msgspec.convert(value, _nest(str, depth))
        except msgspec.ValidationError as error:
            code = "wrong_shape" if "`array`" in str(error) else "wrong_type"
            raise FieldFault(self._name, _reworded(str(error), value), code=code) from error
        shape: list[int] = []
        level: list[Any] = [converted]  # Any: lists of lists, as deep as the message
        for _ in range(depth):
            sizes = {len(item) for item in level}
            if len(sizes) > 1:
                raise self._ragged()
            shape.append(sizes.pop() if sizes else 0)
            level = [item for inner in level for item in inner]
        array = np.empty(len(level), dtype=object)
        array[:] = level
        return array.reshape(shape)

    def _type(self, depth: int, *, is_float: bool) -> Any:  # Any: msgspec takes type forms
        found = self._types.get((is_float, depth))
        if found is None:
            leaf: Any = int  # Any: msgspec takes type forms
            if is_float:
                leaf = float | None if self._allow_missing else float
            elif self._dtype == "bool":
                leaf = bool
            found = self._types[is_float, depth] = _nest(leaf, depth)
        return found

    def _ragged(self) -> FieldFault:
        return FieldFault(
            self._name, "expected lists of the same length at each level", code="wrong_shape"
        )


def _reworded(text: str, value: object) -> str:
    """msgspec's text in the words of the other faults, with the value that it is about."""
    misfit = _MISFIT.match(text)
    if misfit is None:
        return text
    place = misfit["path"] or ""
    for index in _INDEX.findall(place):
        if not isinstance(value, list):
            break
        value = value[int(index)]
    expected = _wanted(misfit["expected"])
    return f"expected {expected}{f' at {place}' if place else ''}, found {describe(value)}"


def _wanted(kind: str) -> str:
    match kind.removesuffix(" | null"):
        case "float":
            return "a number"
        case "int":
            return "a whole number"
        case "bool":
            return "true or false"
        case "str":
            return "a string"
        case "array":
            return "a list"
    return kind


def _first_leaf(value: object) -> object:
    while isinstance(value, list) and value:
        value = value[0]
    return value


def _leaves(value: object) -> Iterator[int]:
    if isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, int):
        yield value


def _nest(leaf: Any, depth: int) -> Any:  # Any: msgspec takes type forms
    for _ in range(depth):
        leaf = list[leaf]
    return leaf
