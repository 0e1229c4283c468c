"""Encoding and decoding of every control message: JSON, `v: 1`, bounded, unknown fields ignored."""

from typing import Any, Final, TypeVar

import msgspec

from edge_agent.errors import ContractError

VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 2**20
MAX_ROW_BYTES: Final = MAX_MESSAGE_BYTES - 16 * 1024
"""Longest data of one outbox row: a message with that row alone is still short enough."""

M = TypeVar("M")


class Versioned(msgspec.Struct):
    """The one field that every version of every message has."""

    v: int = 0


# UnicodeDecodeError comes from bytes that are not UTF-8 inside a string.
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encoder: Final = msgspec.json.Encoder(order="sorted")
_version_decoder: Final = msgspec.json.Decoder(Versioned)


_decoders: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {}  # Any: one table for all kinds


def _decoder(kind: type[M]) -> msgspec.json.Decoder[M]:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    return decoder


def encode(message: msgspec.Struct) -> bytes:
    """The wire bytes of a message."""
    return _encoder.encode(message)


def decode(kind: type[M], data: bytes, *, limit_bytes: int = MAX_MESSAGE_BYTES) -> M:
    """Decode a control message.

    Args:
        kind: the message's class.
        data: the payload.
        limit_bytes: a longer payload is refused before it is parsed.

    Raises:
        ContractError: too long, not JSON, a field that does not fit, or a newer major version.
    """
    name = kind.__name__
    if len(data) > limit_bytes:
        raise ContractError(
            f"{name} expected at most {limit_bytes} bytes, found {len(data)}",
            code="too_large",
            hint="send less at once",
        )
    try:
        return _decoder(kind).decode(data)
    except _MALFORMED as error:
        # A newer version explains most misfits, so it is named before the misfit.
        _refuse_newer(name, data)
        raise ContractError(
            f"{name} is malformed: {error}",
            hint="compare it with docs/reference/topics.md; both sides may be of different "
            "versions",
        ) from error


def _refuse_newer(name: str, data: bytes) -> None:
    try:
        found = _version_decoder.decode(data).v
    except _MALFORMED:
        return
    if found > VERSION:
        raise ContractError(
            f"{name} has version {found}, this program reads version {VERSION}",
            hint="update shoal on this side",
            code="version_newer",
        )
