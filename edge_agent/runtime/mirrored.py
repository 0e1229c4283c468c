"""What a live worker tells a shadow: packets of messages and their answers. Pure values.

One packet is one datagram. Outputs travel as arrays and not as they were published: a codec may
round or reshape them, and the shadow's own may be another one. Must never touch a socket.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Raw, Struct

from edge_agent.errors import ContractError
from edge_agent.runtime.session import Array

Run = Sequence[Array]
"""The outputs of one run of the model for one message, in the order of the names."""


class MirroredArray(Struct, frozen=True, array_like=True, gc=False):
    """One array.

    Attributes:
        dtype: numpy's character for it, in this machine's byte order; "" for strings.
        data: the bytes in row-major order, or the strings.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes | list[str]


class Mirrored(Struct, frozen=True, array_like=True, gc=False):
    """A message and what became of it.

    Attributes:
        topic: prefix included.
        payload: of the message.
        content_type: of MQTT 5, or empty.
        received_s: seconds since 1970.
        code: of the error that answered it; empty if a result did, or nothing yet.
        runs: outputs of each run; None without a result.
    """

    topic: str
    payload: bytes
    content_type: str
    received_s: float
    code: str
    runs: list[list[MirroredArray]] | None


class MirrorPacket(Struct, frozen=True, array_like=True, gc=False):
    """A datagram: who speaks, what was left out so far, and some messages.

    Attributes:
        speaker: differs for every connection of every live worker.
        version: of the module that answered.
        digest: of its manifest.
        names: of its outputs, in order.
        shed: reason to count: messages since this connection began that were answered and not
            sent, or not run in the first place.
        first: number of the first message in it; on a connection they are counted, with
            those that were left out, so that a gap shows.
        messages: encoded `Mirrored`, in order of the answers.
    """

    speaker: str
    version: int
    digest: str
    names: tuple[str, ...]
    shed: dict[str, int]
    first: int
    messages: list[Raw]


_encoder: Final = msgspec.msgpack.Encoder()
_packets: Final = msgspec.msgpack.Decoder(MirrorPacket)
_messages: Final = msgspec.msgpack.Decoder(Mirrored)


def encode_message(
    topic: str,
    payload: bytes,
    content_type: str,
    received_s: float,
    code: str,
    runs: Sequence[Run] | None,
) -> bytes:
    """A message as it stands in a packet."""
    arrays = None if runs is None else [[_mirrored(array) for array in run] for run in runs]
    return _encoder.encode(Mirrored(topic, payload, content_type, received_s, code, arrays))


def encode_packet(packet: MirrorPacket) -> bytes:
    """A packet as one datagram."""
    return _encoder.encode(packet)


def decode_packet(datagram: bytes) -> tuple[MirrorPacket, list[Mirrored]]:
    """A datagram as it came.

    Raises:
        ContractError: it is none of ours.
    """
    try:
        packet = _packets.decode(datagram)
        return packet, [_messages.decode(message) for message in packet.messages]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"mirrored packet: {error}", code="mirror_invalid") from error


def arrays_of(mirrored: Mirrored) -> list[list[Array]] | None:
    """The outputs of a message as arrays, run by run.

    Raises:
        ContractError: bytes and shape of one do not fit.
    """
    if mirrored.runs is None:
        return None
    return [[_array(item) for item in run] for run in mirrored.runs]


def _mirrored(array: Array) -> MirroredArray:
    dtype = array.dtype.char
    if dtype in "OUS":
        return MirroredArray("", array.shape, [str(value) for value in array.reshape(-1)])
    return MirroredArray(dtype, array.shape, array.tobytes())


def _array(item: MirroredArray) -> Array:
    try:
        if isinstance(item.data, bytes):
            if math.prod(item.shape) == 0:
                return np.zeros(item.shape, dtype=item.dtype)
            return np.frombuffer(item.data, dtype=item.dtype).reshape(item.shape)
        return np.array(item.data, dtype=object).reshape(item.shape)
    except (ValueError, TypeError) as error:
        raise ContractError(f"mirrored array: {error}", code="mirror_invalid") from error
