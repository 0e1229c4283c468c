"""Element types by the names of the Open Inference Protocol. Pure: a table."""

from collections.abc import Mapping
from typing import Final

from edge_agent.contract.signature import DType

DATATYPES: Final[Mapping[DType, str]] = {
    "bool": "BOOL",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "string": "BYTES",
}  # fmt: skip
"""Our name of a type to the protocol's."""
