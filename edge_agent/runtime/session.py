"""One ONNX model in onnxruntime. The only file that imports onnxruntime at module level.

It opens bytes that the caller has hashed and never reads a file: a model that points to files
beside it is refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from edge_agent.contract.signature import DYNAMIC, DType, TensorSpec
from edge_agent.errors import ModelError, ShoalError, Unsupported

CPU: Final = ("CPUExecutionProvider",)

Array = np.ndarray[Any, np.dtype[Any]]  # Any: shape and dtype differ from model to model
Feed = dict[str, Array]

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
_SILENT: Final = 4

# What onnxruntime says, what it means, whether the file is at fault for good.
_LOAD_FAILURES: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = (
    (re.compile(r"opset", re.IGNORECASE), "opset_unsupported", "its operator set is too new"),
    (re.compile(r"IR version", re.IGNORECASE), "ir_unsupported", "its ONNX format (IR) is too new"),
    (
        re.compile(r"model_path must not be empty|external", re.IGNORECASE),
        "external_data",
        "its weights are in other files",
    ),
    (
        re.compile(r"not a registered function/op|NOT_IMPLEMENTED|No Op registered", re.IGNORECASE),
        "operator_unsupported",
        "it uses an operator that is not here",
    ),
)
_NOT_ONNX: Final = re.compile(r"INVALID_PROTOBUF|No graph was found", re.IGNORECASE)
_NO_MEMORY: Final = re.compile(
    r"bad_alloc|Failed to allocate|out of memory|bad allocation", re.IGNORECASE
)


class ModelSession:
    """A loaded model.

    Args:
        model: the bytes of the ONNX file.
        providers: execution providers of onnxruntime, in order of preference.

    Attributes:
        inputs: what must be fed, in the graph's order.
        outputs: what can be computed, in the graph's order; tensors only.
        unsupported_outputs: output name to the reason why it is none of these.

    Raises:
        Unsupported: the model can never run here: `not_onnx`, `opset_unsupported`,
            `ir_unsupported`, `external_data`, `operator_unsupported` or `input_unsupported`.
        ModelError: it did not load for another reason: `out_of_memory` or `model_failed`.
    """

    def __init__(self, model: bytes, *, providers: Sequence[str] = CPU) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.enable_cpu_mem_arena = False
        # A spinning pool burns a core between two messages.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        # Everything that is logged while loading comes back as the exception.
        ort.set_default_logger_severity(_SILENT)
        options.log_severity_level = _SILENT
        try:
            self._session = ort.InferenceSession(model, options, providers=list(providers))
        except Exception as error:  # onnxruntime's exceptions have no root of their own
            raise _load_error(error) from error
        self.inputs = tuple(_input_spec(arg) for arg in self._session.get_inputs())
        self.outputs, self.unsupported_outputs = _output_specs(self._session.get_outputs())
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self._run = self._session.run

    def run(self, output_names: Sequence[str], feed: Feed) -> list[Array]:
        """Compute some outputs.

        Args:
            output_names: what to compute; nothing else is.
            feed: input name to array, of the inputs' dtypes and shapes.

        Returns:
            One array an output, in the order of `output_names`.

        Raises:
            ModelError: `out_of_memory`, or `model_failed` with onnxruntime's own words.
        """
        try:
            outputs: list[Array] = self._run(output_names, feed)
        except Exception as error:  # onnxruntime's exceptions have no root of their own
            raise _run_error(error) from error
        return outputs


def _load_error(error: Exception) -> ShoalError:
    text = _first_line(error)
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        return ModelError(f"the model does not fit into memory: {text}", code="out_of_memory")
    if _NOT_ONNX.search(text):
        return Unsupported("the model file is not an ONNX model, or it is cut off", code="not_onnx")
    for pattern, code, meaning in _LOAD_FAILURES:
        if pattern.search(text):
            return Unsupported(
                f"onnxruntime {ort.__version__} cannot load the model, {meaning}: {text}",
                code=code,
                hint="export the model for an older version, whole, in one file",
            )
    return ModelError(f"onnxruntime {ort.__version__} cannot load the model: {text}")


def _run_error(error: Exception) -> ModelError:
    text = _first_line(error)
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        return ModelError(
            f"the run needs more memory than is allowed: {text}", code="out_of_memory"
        )
    return ModelError(f"the model failed on this input: {text}")


def _first_line(error: Exception) -> str:
    """The informative part of an error of onnxruntime, without its C++ signatures."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"/onnxruntime_src/\S+ .*?\) (?=[A-Z])", "", text)
    return text[:400]


def _shape(dims: Sequence[object]) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) and d >= 0 else DYNAMIC for d in dims)


def _input_spec(arg: Any) -> TensorSpec:  # Any: onnxruntime's NodeArg has no type stubs
    dtype = _DTYPES.get(arg.type)
    if dtype is None:
        raise Unsupported(
            f"input {arg.name!r} is a {arg.type}; supported are tensors of {_names()}",
            code="input_unsupported",
        )
    return TensorSpec(arg.name, dtype, _shape(arg.shape))


def _output_specs(args: Sequence[Any]) -> tuple[tuple[TensorSpec, ...], Mapping[str, str]]:
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
