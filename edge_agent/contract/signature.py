"""The tensor signature: names, types and shapes of what goes into a model and comes out."""

from typing import Final, Literal, get_args

from msgspec import Struct

DType = Literal[
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "string",
]
"""Element types, by their numpy names; `string` is a tensor of Python strings."""

DTYPES: Final[tuple[str, ...]] = get_args(DType)
FLOATS: Final = frozenset({"float16", "float32", "float64"})
INTEGERS: Final = frozenset(
    {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
)
DYNAMIC: Final = -1

_INTEGER_BITS: Final = {name: int(name.lstrip("uint")) for name in INTEGERS}


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=False):
    """One input or output of a model.

    Attributes:
        name: as in the ONNX graph.
        dtype: element type.
        shape: dimensions; -1 for one that is only known at run time.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def is_batched(self) -> bool:
        """Whether the first dimension is free, so that rows can be stacked along it."""
        return len(self.shape) > 0 and self.shape[0] == DYNAMIC

    def __str__(self) -> str:
        dims = ", ".join("?" if d == DYNAMIC else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


def integer_range(dtype: str) -> tuple[int, int]:
    """Smallest and largest value of an integer type.

    Raises:
        KeyError: not an integer type.
    """
    bits = _INTEGER_BITS[dtype]
    if dtype.startswith("u"):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def shape_accepts(expected: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Whether an array of shape `found` fits a tensor of shape `expected`."""
    return len(expected) == len(found) and all(
        want in (DYNAMIC, have) for want, have in zip(expected, found, strict=True)
    )
