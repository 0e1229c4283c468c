"""Named fields of a message to one row of a tensor: the hot path of tabular models.

Each dtype has its own reader: whether a value is accepted is decided by its JSON type, so that
`true` is no number, `"1"` is no number, and 1.5 is no whole number. What is right at first sight
costs one lookup, one type check and one comparison; everything else goes through `settle`.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from msgspec import Struct

from edge_agent.contract.manifest import Field
from edge_agent.contract.signature import FLOATS, DType, integer_range
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.binding.path import absence, keys_of, look_up, walk
from edge_agent.runtime.binding.typed import EXACT_FLOAT, shown

Scalar = float | int | bool | str
RowReader = Callable[[object], list[Scalar]]


class FieldRule(Struct, frozen=True):
    """A field, compiled for one dtype.

    Attributes:
        key: of a field on the top level; empty for one below it.
        keys: levels of the path.
        low: smallest accepted value, already inside what the dtype can hold.
        high: largest.
        missing: value to use when there is none; None refuses the message.
    """

    key: str
    keys: tuple[str, ...]
    low: float
    high: float
    field: Field
    dtype: DType
    missing: Scalar | None

    def settle(self, message: object) -> Scalar:
        """The value for the tensor, decided with care.

        Raises:
            FieldFault: `missing`, `wrong_type` or `out_of_range`.
        """
        value = look_up(message, self.keys)
        if value is None:
            if self.missing is None:
                raise FieldFault(
                    self.field.name,
                    f"expected {self._wanted()} at {'.'.join(self.keys)!r}, "
                    f"found {absence(message, self.keys)}",
                    code="missing",
                )
            return self.missing
        if self.dtype == "string":
            if type(value) is str:
                return value
        elif self.dtype == "bool":
            if type(value) is bool:
                return value
        elif type(value) is int or type(value) is float:
            return self._number(value)
        raise FieldFault(
            self.field.name,
            f"expected {self._wanted()}, found {describe(value)}",
            code="wrong_type",
        )

    def _number(self, value: float) -> Scalar:
        if value != value:  # NaN, of CBOR: how a sensor says that it has no value
            if self.missing is None:
                raise FieldFault(self.field.name, "expected a number, found NaN", code="not_finite")
            return self.missing
        is_whole = type(value) is int or (value.is_integer() and abs(value) <= EXACT_FLOAT)
        if self.dtype not in FLOATS and not is_whole:
            raise FieldFault(
                self.field.name,
                f"expected a whole number, found {describe_fraction(value)}",
                code="wrong_type",
            )
        if not self.low <= value <= self.high:
            unit = f" {self.field.unit}" if self.field.unit else ""
            raise FieldFault(
                self.field.name,
                f"expected {self.low:g} to {self.high:g}{unit}, found {describe(value)}",
                code="out_of_range",
            )
        return value if self.dtype in FLOATS else int(value)

    def _wanted(self) -> str:
        if self.dtype == "string":
            return "a string"
        if self.dtype == "bool":
            return "true or false"
        return "a number" if self.dtype in FLOATS else "a whole number"


def row_reader(fields: tuple[Field, ...], dtype: DType) -> RowReader:
    """Compile fields to a function from a message to one row, a list of F values.

    The function raises MessageError: `wrong_shape` if the message is no object, and what
    `FieldRule.settle` raises.
    """
    rules = tuple((rule.key, rule.low, rule.high, rule) for rule in field_rules(fields, dtype))
    kinds: frozenset[type]
    if dtype in FLOATS:
        kinds = frozenset({int, float})
    elif dtype in ("bool", "string"):
        return _plain_reader(rules, bool if dtype == "bool" else str)
    else:
        kinds = frozenset({int})

    def read(message: object) -> list[Scalar]:
        if type(message) is not dict:
            raise _not_an_object(message)
        get = message.get
        row: list[Scalar] = []
        append = row.append
        for key, low, high, rule in rules:
            # Any: a JSON value; the line below finds out which
            value: Any = get(key) if key else walk(message, rule.keys)
            if type(value) in kinds and low <= value <= high:
                append(value)
            else:
                append(rule.settle(message))
        return row

    return read


def _plain_reader(rules: tuple[tuple[str, float, float, FieldRule], ...], kind: type) -> RowReader:
    """The reader for types that have no range."""

    def read(message: object) -> list[Scalar]:
        if type(message) is not dict:
            raise _not_an_object(message)
        row: list[Scalar] = []
        for key, _, _, rule in rules:
            value = cast("Scalar", message.get(key) if key else walk(message, rule.keys))
            row.append(value if type(value) is kind else rule.settle(message))
        return row

    return read


def field_rules(fields: tuple[Field, ...], dtype: DType) -> list[FieldRule]:
    """Fields compiled for a dtype, in their order."""
    floor, ceiling = _limits(dtype)
    rules = []
    for field in fields:
        keys = keys_of(field.path or field.name)
        rules.append(
            FieldRule(
                key=keys[0] if len(keys) == 1 else "",
                keys=keys,
                low=floor if field.min is None else max(floor, field.min),
                high=ceiling if field.max is None else min(ceiling, field.max),
                field=field,
                dtype=dtype,
                missing=_missing(field, dtype),
            )
        )
    return rules


def _limits(dtype: DType) -> tuple[float, float]:
    if dtype in FLOATS:
        largest = float(np.finfo(dtype).max)
        return -largest, largest
    if dtype in ("bool", "string"):
        return 0, 0
    return integer_range(dtype)


def _missing(field: Field, dtype: DType) -> Scalar | None:
    if field.missing == "reject":
        return None
    if field.missing == "nan" and dtype in FLOATS:
        return math.nan
    return field.missing


def _not_an_object(message: object) -> MessageError:
    return MessageError(
        f"message expected an object with named fields, or a list of these; "
        f"found {describe(message)}",
        code="wrong_shape",
        hint='send {"name": value, ...} with the names of the module\'s fields',
    )


def describe_fraction(value: float) -> str:
    """A float that is not taken for a whole number."""
    if value.is_integer():
        return f"{value!r}: a float this large is not exact, send all its digits"
    return repr(value)


def describe(value: object) -> str:
    """A value of a message, short enough for an error."""
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, np.ndarray):
        return shown(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    # A whole number of a megabyte must not be written out.
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    return repr(value)[:40] if not isinstance(value, str) else repr(value[:40])
