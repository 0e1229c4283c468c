"""What every codec is, and which of them read the messages of a module.

A message names its format by content type (MQTT 5); one that names none is of the manifest's own.
A module takes every format that its binding can read, so that a sensor may send CBOR where
another sends JSON. The answer is in the format of the question.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol, cast

from edge_agent.contract.manifest import Codec as CodecName
from edge_agent.contract.manifest import Manifest
from edge_agent.contract.results import InferenceError, InferenceResult
from edge_agent.errors import MessageError, Unsupported
from edge_agent.runtime.session import Array

if TYPE_CHECKING:  # Pillow is loaded only for modules that have pictures
    from edge_agent.runtime.codecs.image import ImageCodec

JSON_TYPE: Final = "application/json"
CBOR_TYPE: Final = "application/cbor"
BYTES_TYPE: Final = "application/octet-stream"
OIP_TYPE: Final = "application/vnd.openinference+json"
"""Ours: the protocol has no registered name, and is called application/json over HTTP."""
_PICTURE_TYPES: Final = ("image/jpeg", "image/jpg", "image/png")

_NAMES: Final[Mapping[CodecName, Mapping[str, CodecName]]] = {
    "json": {JSON_TYPE: "json", CBOR_TYPE: "cbor", OIP_TYPE: "oip"},
    "cbor": {JSON_TYPE: "json", CBOR_TYPE: "cbor", OIP_TYPE: "oip"},
    "oip": {JSON_TYPE: "oip", CBOR_TYPE: "cbor", OIP_TYPE: "oip"},
    "octet-stream": {BYTES_TYPE: "octet-stream", OIP_TYPE: "oip"},
    "image": {**dict.fromkeys(_PICTURE_TYPES, "image"), OIP_TYPE: "oip"},
}
"""The manifest's codec to the content types that its binding can read, and what reads them."""


class AnswerFormat(Protocol):
    """Writes answers in a format that is not the engine's JSON."""

    def encode_result(
        self,
        result: InferenceResult,
        outputs: Mapping[str, Array | list[Array]],
        value: object,
    ) -> bytes:
        """An answer.

        Args:
            result: all of it but `outputs`, which is not looked at.
            outputs: output name to its array, or to one for each run.
            value: of the message, from `decode`.

        Raises:
            MessageError: the message asks for an output that there is not.
            ModelError: `result_too_large`.
        """
        ...

    def encode_error(self, error: InferenceError, value: object) -> bytes:
        """An error.

        Args:
            error: all of it.
            value: of the message, or None if it could not be decoded.
        """
        ...


class Codec(Protocol):
    """Turns payloads of one format into values.

    Attributes:
        content_type: of the answers to its messages.
        answers: how these are written; None is the engine's JSON.
    """

    content_type: str
    answers: AnswerFormat | None

    def decode(self, payload: bytes) -> object:
        """The value of a payload.

        Raises:
            MessageError: the payload is too large or not of this format.
        """
        ...


class Codecs:
    """The codecs of a module. One is made when the first message asks for it.

    Args:
        manifest: of the module.

    Attributes:
        own: the one that the manifest names.
        pictures: the same if it reads pictures, else None: the one that leaves its work to a
            library which no bound holds.

    Raises:
        Unsupported: the manifest's own format needs a part that is not installed here.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._names = _NAMES[manifest.input.codec]
        self.own = codec_of(manifest)
        is_of_pictures = manifest.input.codec == "image"
        self.pictures = cast("ImageCodec", self.own) if is_of_pictures else None
        self._made: dict[CodecName, Codec] = {manifest.input.codec: self.own}

    def of(self, content_type: str) -> Codec:
        """The codec for a message.

        Args:
            content_type: as the message names it; empty if it names none.

        Raises:
            MessageError: `content_type_unsupported`.
        """
        if not content_type:
            return self.own
        name = self._names.get(content_type)
        if name is None:
            # The rare spellings only: upper case, or with parameters.
            name = self._names.get(content_type.partition(";")[0].strip().lower())
        if name is None:
            known = ", ".join(sorted(self._names))
            raise MessageError(
                f"content type expected one of {known}; found {content_type[:80]!r}",
                code="content_type_unsupported",
                hint="a message without a content type is read as the module's own",
            )
        codec = self._made.get(name)
        if codec is None:
            codec = self._made[name] = _codec(name, self._manifest)
        return codec


def type_of_json(name: CodecName) -> str:
    """The content type under which JSON stands in for the messages of a codec, in golden cases.

    People can write JSON and not CBOR; what it says is the same.
    """
    return JSON_TYPE if name == "cbor" else ""


def codec_of(manifest: Manifest) -> Codec:
    """The codec that a manifest names, with the manifest's bounds.

    Raises:
        Unsupported: the format needs a part that is not installed here.
    """
    return _codec(manifest.input.codec, manifest)


def _codec(name: CodecName, manifest: Manifest) -> Codec:
    # Each is imported only where it is used: a worker's memory is what every module costs.
    limit = manifest.input.max_bytes
    match name:
        case "json":
            from edge_agent.runtime.codecs.json import JsonCodec

            return JsonCodec(limit)
        case "octet-stream":
            from edge_agent.runtime.codecs.octet_stream import OctetStreamCodec

            return OctetStreamCodec(limit)
        case "image":
            # Pillow is 10 MB of memory that only pictures should pay for.
            try:
                from edge_agent.runtime.codecs.image import ImageCodec
            except ImportError as error:
                raise Unsupported(
                    f"codec 'image' needs Pillow, which cannot be imported here: {error}",
                    hint="pip install pillow",
                    code="codec_missing",
                ) from error
            pixels = [t.image.max_pixels for t in manifest.tensors if t.image is not None]
            return ImageCodec(limit, max_pixels=min(pixels, default=1))
        case "cbor":
            from edge_agent.runtime.codecs.cbor import CborCodec

            return CborCodec(limit)
        case "oip":
            from edge_agent.runtime.codecs.oip import OipCodec

            return OipCodec(manifest)


def check_size(payload: bytes, max_bytes: int) -> None:
    """Refuse a payload that is too long.

    Raises:
        MessageError: `too_large`.
    """
    if len(payload) > max_bytes:
        raise MessageError(
            f"payload expected at most {max_bytes} bytes, found {len(payload)}",
            code="too_large",
            hint="input.max_bytes of the module sets the limit",
        )
