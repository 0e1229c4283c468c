"""Answers of the Open Inference Protocol, version 2: JSON, and the binary extension. Pure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from edge_agent.contract.results import InferenceError, InferenceResult
from edge_agent.errors import ModelError
from edge_agent.runtime.binding.tensors import Tensors
from edge_agent.runtime.codecs.oip_types import datatype_of, write_raw
from edge_agent.runtime.outputs import MAX_ELEMENTS, plain
from edge_agent.runtime.session import Array

if TYPE_CHECKING:  # which imports this file
    from edge_agent.runtime.codecs.oip import OipRequest

_encode: Final = msgspec.json.Encoder().encode


class _Tensor(Struct, omit_defaults=True):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: dict[str, int] = {}
    data: object | UnsetType = UNSET


class _Response(Struct, kw_only=True):
    model_name: str
    model_version: str
    outputs: list[_Tensor]
    id: Raw | UnsetType = UNSET
    parameters: dict[str, Raw] | UnsetType = UNSET


class _Fault(Struct, kw_only=True):
    error: str
    code: str
    id: Raw | UnsetType = UNSET
    parameters: dict[str, Raw] | UnsetType = UNSET


class OipBody(Struct, frozen=True):
    """An answer.

    Attributes:
        body: JSON, and raw tensors behind it.
        json_bytes: length of the JSON; None if there is nothing else.
    """

    body: bytes
    json_bytes: int | None


def write_response(
    name: str, version: str, request: "OipRequest", outputs: Mapping[str, Array]
) -> OipBody:
    """The answer to a request, raw where the request wants it so.

    Args:
        name: of the model.
        version: of the model.
        request: says which outputs, and how.
        outputs: all outputs, whole.

    Raises:
        ModelError: `result_too_large`.
    """
    asked = request.outputs or tuple((output, request.wants_binary) for output in outputs)
    _check_size([outputs[output] for output, _ in asked])
    tensors: list[_Tensor] = []
    raw: list[bytes] = []
    for output, is_binary in asked:
        tensor = _described(output, outputs[output])
        if is_binary:
            raw.append(write_raw(outputs[output]))
            tensor.parameters = {"binary_data_size": len(raw[-1])}
        else:
            tensor.data = _flat(outputs[output])
        tensors.append(tensor)
    head = _encode(
        _Response(model_name=name, model_version=version, outputs=tensors, id=request.id)
    )
    if not any(is_binary for _, is_binary in asked):
        return OipBody(head, None)
    return OipBody(b"".join((head, *raw)), len(head))


class OipAnswers:
    """Writes answers for a transport that has no place for the length of the JSON: JSON only."""

    def encode_result(
        self, result: InferenceResult, outputs: Mapping[str, Array | list[Array]], value: object
    ) -> bytes:
        """A response; what the module computed in several runs cannot be one."""
        asked = [name for name, _ in getattr(value, "outputs", ())] or list(outputs)
        whole: dict[str, Array] = {}
        for name in asked:
            found = outputs[name]
            whole[name] = found[0] if isinstance(found, list) else found
        _check_size(list(whole.values()))
        tensors = [_described(name, array) for name, array in whole.items()]
        for tensor in tensors:
            tensor.data = _flat(whole[tensor.name])
        return _encode(
            _Response(
                model_name=result.module,
                model_version=str(result.version),
                outputs=tensors,
                id=_id_of(value),
                parameters=_parameters(result.correlation),
            )
        )

    def encode_error(self, error: InferenceError, value: object) -> bytes:
        """The protocol's error, with our code beside the text."""
        return _encode(
            _Fault(
                error=error.error.text,
                code=error.error.code,
                id=_id_of(value),
                parameters=_parameters(error.correlation),
            )
        )


def _described(name: str, array: Array) -> _Tensor:
    return _Tensor(name, array.shape, datatype_of(array))


def _flat(array: Array) -> object:
    return plain(array.reshape(-1))


def _check_size(arrays: list[Array]) -> None:
    elements = sum(array.size for array in arrays)
    if elements > MAX_ELEMENTS:
        raise ModelError(
            f"outputs expected at most {MAX_ELEMENTS} elements, found {elements}",
            code="result_too_large",
            hint="send fewer rows a request, or ask for fewer outputs",
        )


def _id_of(value: object) -> Raw | UnsetType:
    return value.id if isinstance(value, Tensors) else UNSET


def _parameters(correlation: Raw | UnsetType) -> dict[str, Raw] | UnsetType:
    return UNSET if isinstance(correlation, UnsetType) else {"correlation": correlation}
