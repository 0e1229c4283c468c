"""What onnxruntime's exceptions mean in our words: refused for good, out of memory, or failed.

Its exceptions have no root of their own and no codes that tell these apart, so their texts are
read here and nowhere else.
"""

import re
from typing import Final

import onnxruntime as ort

from edge_agent.errors import ModelError, ShoalError, Unsupported

_MAX_TEXT: Final = 400

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
_BAD_FEED: Final = "INVALID_ARGUMENT"


def load_error(error: Exception) -> ShoalError:
    """Why a model did not load.

    Returns:
        Unsupported if it never will, ModelError otherwise; to be raised from `error`.
    """
    text = first_line(error)
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        return ModelError(
            f"the model does not fit into memory: {text}",
            code="out_of_memory",
            hint="raise runtime.memory_mb of the module, or use a smaller model",
        )
    if _NOT_ONNX.search(text):
        return Unsupported(
            "the model file is not an ONNX model, or it is cut off",
            code="not_onnx",
            hint="publish the file that the export wrote, all of it",
        )
    for pattern, code, meaning in _LOAD_FAILURES:
        if pattern.search(text):
            return Unsupported(
                f"onnxruntime {ort.__version__} cannot load the model, {meaning}: {text}",
                code=code,
                hint="export the model for an older version, whole, in one file",
            )
    return ModelError(
        f"onnxruntime {ort.__version__} cannot load the model: {text}",
        hint="export it again for this onnxruntime, or update the device's",
    )


def run_error(error: Exception) -> ModelError:
    """Why a model did not run; to be raised from `error`."""
    text = first_line(error)
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        return ModelError(
            f"the run needs more memory than is allowed: {text}",
            code="out_of_memory",
            hint="send fewer rows a message, or raise runtime.memory_mb of the module",
        )
    return ModelError(
        f"the model failed on this input: {text}",
        hint="look at the values and the shape of this message",
    )


def is_about_the_feed(error: Exception) -> bool:
    """Whether a run was refused for what it was fed, before any provider had a part in it."""
    return _BAD_FEED in str(error)


def first_line(error: Exception) -> str:
    """The informative part of an error of onnxruntime, without its C++ signatures."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"/onnxruntime\S* .*?\) (?=[A-Z])", "", text)
    return text[:_MAX_TEXT]
