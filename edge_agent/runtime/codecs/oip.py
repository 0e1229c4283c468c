"""Requests of the Open Inference Protocol, version 2, to tensors: JSON, and the binary extension.

One reader for MQTT and HTTP. It knows the model's inputs and reads nothing else; only what a
transport adds (headers, status) is the transport's. The extension puts raw tensors behind the
JSON; `json_bytes` is where they begin.
"""

import math
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from edge_agent.contract.datatypes import DATATYPES
from edge_agent.contract.manifest import Manifest
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.signature import DYNAMIC, TensorSpec, shape_accepts
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.binding.nested import NestedReader
from edge_agent.runtime.binding.tensors import Tensors, allows_missing, unknown_input
from edge_agent.runtime.codecs.codec import OIP_TYPE, AnswerFormat, check_size
from edge_agent.runtime.codecs.json import read_json, refuse_json
from edge_agent.runtime.codecs.oip_response import OipAnswers
from edge_agent.runtime.codecs.oip_types import read_raw
from edge_agent.runtime.session import Array

_MAX_DIMENSIONS: Final = 32
_UNSUPPORTED: Final = ("shared_memory_region", "classification")

# Any: parameters hold whatever a client likes; those that count are checked where they are used.
Parameters = dict[str, Any]


class _Input(Struct, frozen=True, gc=False):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters = {}
    data: Raw | UnsetType = UNSET


class _Output(Struct, frozen=True, gc=False):
    name: str
    parameters: Parameters = {}


class _Request(Struct, frozen=True, gc=False):
    inputs: tuple[_Input, ...]
    outputs: tuple[_Output, ...] = ()
    id: str | UnsetType = UNSET
    parameters: Parameters = {}


class OipRequest(Tensors, frozen=True, kw_only=True):
    """A request.

    Attributes:
        outputs: names of what is asked for, in order, with whether it may be raw bytes; empty for
            all.
        wants_binary: whether outputs that say nothing may be raw bytes.
    """

    outputs: tuple[tuple[str, bool], ...] = ()
    wants_binary: bool = False


class OipCodec:
    """Decodes requests to one model, and answers in the protocol.

    Args:
        manifest: of the module.
    """

    content_type = OIP_TYPE

    def __init__(self, manifest: Manifest) -> None:
        self._max_bytes = manifest.input.max_bytes
        self._specs = {spec.name: spec for spec in manifest.model.inputs}
        self._outputs = [spec.name for spec in manifest.model.outputs]
        self._readers = {
            tensor.name: NestedReader(
                tensor.name, self._specs[tensor.name].dtype, allow_missing=allows_missing(tensor)
            )
            for tensor in manifest.tensors
        }
        self._needed = [t.name for t in manifest.tensors if t.source != "constant"]
        self._decode = msgspec.json.Decoder(_Request).decode
        self.answers: AnswerFormat | None = OipAnswers()

    def decode(self, payload: bytes) -> OipRequest:
        """A request that is JSON as a whole.

        Raises:
            MessageError: see `read`.
        """
        return self.read(payload, None)

    def read(self, body: bytes, json_bytes: int | None) -> OipRequest:
        """A request.

        Args:
            body: JSON, and raw tensors behind it.
            json_bytes: length of the JSON; None if there is nothing else, 0 if the body is the raw
                data of the only input.

        Raises:
            MessageError: `too_large`, `not_json`, `too_deep`, `unknown_input`, `unknown_output`,
                `unsupported_parameter`, `missing`, `wrong_type`, `wrong_shape`, `out_of_range` or
                `not_finite`.
        """
        check_size(body, self._max_bytes)
        if json_bytes == 0:
            return self._raw_request(body)
        if json_bytes is not None and not 0 < json_bytes <= len(body):
            raise MessageError(
                f"body expected {json_bytes} bytes of JSON, found {len(body)} bytes in all",
                code="wrong_shape",
                hint="let the header Inference-Header-Content-Length be the length of the "
                "JSON in bytes",
            )
        text = body if json_bytes is None else body[:json_bytes]
        request = self._parsed(text)
        at = len(text)
        arrays: dict[str, Array] = {}
        for item in request.inputs:
            spec = self._spec(item, arrays)
            size = item.parameters.get("binary_data_size")
            if size is None:
                arrays[item.name] = self._from_json(item)
                continue
            if type(size) is not int or not 0 <= size <= len(body) - at:
                raise FieldFault(
                    item.name,
                    f"binary_data_size expected 0 to {len(body) - at}, the bytes behind the JSON "
                    f"that are left; found {size!r:.40}",
                    code="wrong_shape",
                )
            arrays[item.name] = read_raw(item.name, spec.dtype, item.shape, body, at, size)
            at += size
        if at != len(body):
            raise MessageError(
                f"body expected {at} bytes by its JSON, found {len(body)}",
                code="wrong_shape",
                hint="let binary_data_size of each input be the length of its bytes",
            )
        wants_binary = _flag(request.parameters, "binary_data_output", default=False)
        asked = tuple(self._asked(item, wants_binary=wants_binary) for item in request.outputs)
        if len({name for name, _ in asked}) != len(asked):
            raise MessageError(
                "an output is asked for more than once",
                code="unsupported_parameter",
                hint="name each output once",
            )
        return OipRequest(
            arrays=arrays,
            id=UNSET if isinstance(request.id, UnsetType) else Raw(msgspec.json.encode(request.id)),
            outputs=asked,
            wants_binary=wants_binary,
        )

    def _parsed(self, text: bytes) -> _Request:
        try:
            return self._decode(text)
        except RecursionError as error:
            raise MessageError(
                "JSON is nested too deeply",
                code="too_deep",
                hint="send data as one flat list, or as deep as the tensor's shape",
            ) from error
        except msgspec.ValidationError as error:
            # A number beyond float64 is one of these, too, and has words of its own.
            read_json(text)
            raise MessageError(
                f"request is malformed: {error}",
                code="wrong_type",
                hint='send {"inputs": [{"name", "shape", "datatype", "data"}]}',
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            refuse_json(text, error)

    def _spec(self, item: _Input, seen: dict[str, Array]) -> TensorSpec:
        spec = self._specs.get(item.name)
        if spec is None:
            raise unknown_input(item.name, list(self._specs))
        if item.name in seen:
            raise FieldFault(item.name, "is given more than once", code="wrong_shape")
        if item.datatype != DATATYPES[spec.dtype]:
            raise FieldFault(
                item.name,
                f"expected the datatype {DATATYPES[spec.dtype]}, found {item.datatype[:20]!r}",
                code="wrong_type",
            )
        # Before anything is made of the data: a shape is a few bytes.
        if not shape_accepts(spec.shape, item.shape) or any(size < 0 for size in item.shape):
            shown = ", ".join(str(size)[:20] for size in item.shape[:_MAX_DIMENSIONS])
            raise FieldFault(
                item.name, f"expected {spec}, found the shape [{shown}]", code="wrong_shape"
            )
        _refuse_unsupported(item.name, item.parameters)
        return spec

    def _from_json(self, item: _Input) -> Array:
        if isinstance(item.data, UnsetType):
            raise FieldFault(item.name, "expected data or binary_data_size", code="missing")
        array = self._readers[item.name].read(read_json(item.data))
        if array.shape == item.shape:
            return array
        # Row by row in one list, whatever the shape: as most clients send it.
        if array.ndim == 1 and array.size == math.prod(item.shape):
            return array.reshape(item.shape)
        raise FieldFault(
            item.name,
            f"expected data of the shape {list(item.shape)}, found {list(array.shape)}",
            code="wrong_shape",
        )

    def _raw_request(self, body: bytes) -> OipRequest:
        if len(self._needed) != 1:
            raise MessageError(
                f"a raw body fills the only input of a model; this one has {len(self._needed)}",
                code="wrong_shape",
                hint="send a JSON request that names the inputs",
            )
        name = self._needed[0]
        spec = self._specs[name]
        shape, at = _raw_shape(spec, len(body)), 0
        if spec.dtype == "string":
            # The body is one text, without a length.
            body = len(body).to_bytes(4, "little") + body
        array = read_raw(name, spec.dtype, shape, body, at, len(body))
        return OipRequest(arrays={name: array}, wants_binary=True)

    def _asked(self, item: _Output, *, wants_binary: bool) -> tuple[str, bool]:
        if item.name not in self._outputs:
            raise MessageError(
                f"the module has no output {item.name[:80]!r}",
                code="unknown_output",
                hint=did_you_mean(item.name[:80], self._outputs)[:300],
            )
        _refuse_unsupported(item.name, item.parameters)
        return item.name, _flag(item.parameters, "binary_data", default=wants_binary)


def _raw_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    """The shape of a raw body: the one dimension that may be free follows from its length."""
    free = spec.shape.count(DYNAMIC)
    if spec.dtype == "string":
        return tuple(1 if dim == DYNAMIC else dim for dim in spec.shape)
    if free > 1:
        raise FieldFault(
            spec.name,
            "a raw body carries no shape, so at most one dimension may be free; "
            f"the model has {spec}",
            code="wrong_shape",
        )
    cell = np.dtype(spec.dtype).itemsize * math.prod(dim for dim in spec.shape if dim != DYNAMIC)
    if free and (cell == 0 or size % cell):
        raise FieldFault(
            spec.name, f"expected a multiple of {cell} bytes, found {size}", code="wrong_shape"
        )
    return tuple(size // cell if dim == DYNAMIC else dim for dim in spec.shape)


def _flag(parameters: Parameters, key: str, *, default: bool) -> bool:
    value = parameters.get(key, default)
    if type(value) is not bool:
        raise MessageError(
            f"parameter {key} expected true or false, found {value!r:.40}",
            code="wrong_type",
            hint="send a JSON true or false, without quotes",
        )
    return value


def _refuse_unsupported(name: str, parameters: Parameters) -> None:
    for key in _UNSUPPORTED:
        if key in parameters:
            raise FieldFault(
                name,
                f"parameter {key} is not supported",
                code="unsupported_parameter",
                hint="send and ask for whole tensors",
            )
