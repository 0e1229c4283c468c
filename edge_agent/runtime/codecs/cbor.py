"""CBOR payloads to values, and answers in CBOR. With `typed_array`, all that imports cbor2.

Values are what JSON has, and bytes, and numpy arrays where the payload holds typed arrays. A few
bytes of CBOR can announce 2**60 elements, nest without end, or call for dates, regular expressions
and shared references: all of that is refused, most of it by the decoder's own limits. Long
payloads are walked before they are decoded, so that the number of objects is bounded, too.
"""

import io
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import cbor2
import msgspec
from msgspec import Raw, Struct, UnsetType

from edge_agent.contract.results import InferenceError, InferenceResult
from edge_agent.errors import MessageError, ModelError
from edge_agent.runtime.codecs.cbor_items import check_items
from edge_agent.runtime.codecs.codec import CBOR_TYPE, AnswerFormat, check_size
from edge_agent.runtime.codecs.typed_array import READERS, tagged
from edge_agent.runtime.outputs import MAX_ELEMENTS
from edge_agent.runtime.session import Array

MAX_DEPTH: Final = 64
"""Containers and tags within one another: the nested list of 32 dimensions that a tensor may have,
with room for the objects around it."""

_WALKED_ABOVE_BYTES: Final = 64 * 1024
"""A shorter payload holds at most as many items as bytes, 5 MB of the smallest lists."""

_SELF_DESCRIBED: Final = 55799
_BUILT_IN: Final = (
    0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000,
)  # fmt: skip
"""Tags that cbor2 gives a meaning of its own."""


def _refusal(tag: int) -> MessageError:
    return MessageError(
        f"CBOR expected no tags but those of typed arrays, found tag {tag}",
        code="wrong_type",
        hint="send plain numbers, texts, lists, maps, or typed arrays (RFC 8746)",
    )


# Any in these signatures: they are handed whatever stands below the tag.
def _refuse_tag(tag: Any, _immutable: bool) -> NoReturn:
    raise _refusal(tag.tag)


def _refuser(tag: int) -> Any:
    def refuse(_value: Any, _immutable: bool) -> NoReturn:
        raise _refusal(tag)

    return refuse


def _inner(value: Any, _immutable: bool) -> Any:
    return value


_TAGS: Final[Mapping[int, Any]] = {
    **{tag: _refuser(tag) for tag in _BUILT_IN},
    **READERS,
    _SELF_DESCRIBED: _inner,
}


class CborCodec:
    """Decodes CBOR (RFC 8949) with typed arrays (RFC 8746), and answers in it.

    Args:
        max_bytes: longest payload.
    """

    content_type = CBOR_TYPE

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.answers: AnswerFormat | None = CborAnswers()

    def decode(self, payload: bytes) -> object:
        """Dicts with texts or bytes as keys, lists, texts, bytes, numbers, booleans, None, arrays.

        Numbers may be NaN or infinite; the binding decides about them.

        Raises:
            MessageError: `too_large`, `not_cbor`, `too_deep`, `too_many_items`, `wrong_type` or
                `wrong_shape`.
        """
        check_size(payload, self._max_bytes)
        if len(payload) > _WALKED_ABOVE_BYTES:
            check_items(payload)
        stream = io.BytesIO(payload)
        try:
            value: object = cbor2.CBORDecoder(
                stream,
                tag_hook=_refuse_tag,
                semantic_decoders=_TAGS,
                max_depth=MAX_DEPTH,
                allow_indefinite=False,
                allow_duplicate_keys=False,
                strict_hashable_types=True,
            ).decode()
        except cbor2.CBORDecodeError as error:
            _refuse(error)
        except RecursionError as error:
            raise _too_deep() from error
        # cbor2 lets errors of the interpreter through: half a character, a date of the year 10**9.
        except (ValueError, TypeError, OverflowError) as error:
            raise MessageError(
                f"payload is not CBOR: {error}",
                code="not_cbor",
                hint="encode the message with a CBOR library, all of it, with definite lengths",
            ) from error
        if stream.tell() != len(payload):
            raise MessageError(
                f"payload is not CBOR: found {len(payload) - stream.tell()} bytes behind its end",
                code="not_cbor",
                hint="send one CBOR value a message",
            )
        return value


class CborAnswers:
    """Writes answers as maps with the keys of the JSON ones; outputs are typed arrays."""

    def encode_result(
        self,
        result: InferenceResult,
        outputs: Mapping[str, Array | list[Array]],
        value: object,  # noqa: ARG002 -- part of AnswerFormat
    ) -> bytes:
        """A result. Texts and booleans have no typed arrays: they are lists."""
        elements = sum(
            sum(array.size for array in found) if isinstance(found, list) else found.size
            for found in outputs.values()
        )
        if elements > MAX_ELEMENTS:
            raise ModelError(
                f"outputs expected at most {MAX_ELEMENTS} elements, found {elements}",
                code="result_too_large",
                hint="send fewer rows a message, or name fewer outputs in [model]",
            )
        envelope = _mapped(result)
        envelope["outputs"] = {
            name: [tagged(array) for array in found] if isinstance(found, list) else tagged(found)
            for name, found in outputs.items()
        }
        return cbor2.dumps(envelope)

    def encode_error(self, error: InferenceError, value: object) -> bytes:  # noqa: ARG002 -- part of AnswerFormat
        """An error."""
        return cbor2.dumps(_mapped(error))


def _mapped(message: Struct) -> dict[str, object]:
    """The keys and values that the message has in JSON."""
    found: dict[str, object] = {}
    for key in message.__struct_fields__:
        value = getattr(message, key)
        if isinstance(value, UnsetType):
            continue
        if isinstance(value, Raw):
            value = msgspec.json.decode(value)
        elif isinstance(value, Struct):
            value = msgspec.to_builtins(value)
        found[key] = value
    return found


def _refuse(error: cbor2.CBORDecodeError) -> NoReturn:
    if isinstance(error.__cause__, MessageError):  # one of our own, from below a tag
        raise error.__cause__ from None
    text = str(error)
    if "nesting depth" in text:
        raise _too_deep() from error
    if isinstance(error, cbor2.CBORDecodeEOF):
        text = "it ends in the middle of a value"
    elif error.__cause__ is not None:
        text = f"{text}: {error.__cause__}"
    raise MessageError(
        f"payload is not CBOR: {text:.300}",
        code="not_cbor",
        hint="encode the message with a CBOR library, all of it, with definite lengths",
    ) from error


def _too_deep() -> MessageError:
    return MessageError("CBOR is nested too deeply", code="too_deep", hint="send a flatter message")
