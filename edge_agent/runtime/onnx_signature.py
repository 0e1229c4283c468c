"""Inputs and outputs of a loaded model, as onnxruntime tells them, in the contract's words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge_agent.contract.signature import DYNAMIC, DType, TensorSpec
from edge_agent.errors import Unsupported

_DTYPES: Final[dict[str, DType]] = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}


def input_spec(arg: Any) -> TensorSpec:  # Any: onnxruntime's NodeArg has no type stubs
    """One input of a loaded model.

    Raises:
        Unsupported: `input_unsupported`: it is no tensor, or of a type that has no codec.
    """
    dtype = _DTYPES.get(arg.type)
    if dtype is None:
        raise Unsupported(
            f"input {arg.name!r} is a {arg.type}; supported are tensors of {_names()}",
            code="input_unsupported",
            hint="export the model with tensors of these types",
        )
    return TensorSpec(arg.name, dtype, _shape(arg.shape))


def output_specs(args: Sequence[Any]) -> tuple[tuple[TensorSpec, ...], Mapping[str, str]]:
    """The outputs of a loaded model that are tensors, and by name why another is not."""
    # Any: onnxruntime's NodeArg has no type stubs
    specs: list[TensorSpec] = []
    refused: dict[str, str] = {}
    for arg in args:
        dtype = _DTYPES.get(arg.type)
        if dtype is not None:
            specs.append(TensorSpec(arg.name, dtype, _shape(arg.shape)))
        elif arg.type.startswith("seq(map"):
            refused[arg.name] = (
                f"it is a {arg.type}, a list of dictionaries (ZipMap); "
                "convert the model with zipmap=False"
            )
        else:
            refused[arg.name] = f"it is a {arg.type}; supported are tensors of {_names()}"
    return tuple(specs), refused


def _names() -> str:
    return ", ".join(_DTYPES.values())


def _shape(dims: Sequence[object]) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) and d >= 0 else DYNAMIC for d in dims)
