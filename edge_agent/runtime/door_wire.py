"""What the HTTP server and a worker say to each other over the worker's Unix socket. Pure.

A frame is two little-endian u32, the length of its head and of its body, then both. The head is a
MessagePack struct; the body is an HTTP body as it came, or as it is to be sent: a JSON document,
and the tensors behind it, if any. A worker greets with a hello, and then answers the questions of
one connection in their order.

The HTTP server imports this file, so it imports no numpy and no onnxruntime.
"""

import struct
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from edge_agent.errors import ContractError

MAX_HEAD_BYTES: Final = 2**20
"""A model may have a thousand inputs, which the hello names."""
MAX_BODY_BYTES: Final = 256 * 2**20
"""A longer frame is a broken peer's: it ends the connection."""

_LENGTHS: Final = struct.Struct("<II")
LENGTHS_BYTES: Final = _LENGTHS.size

H = TypeVar("H")


class DoorTensor(Struct, frozen=True, gc=False):
    """An input or output as the protocol names it; -1 is a dimension known only at run time."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class DoorHello(Struct, frozen=True, kw_only=True):
    """What a worker says first on every connection: who answers here.

    Attributes:
        max_bytes: longest body of a question.
    """

    module: str
    version: int
    digest: str
    max_bytes: int
    inputs: tuple[DoorTensor, ...]
    outputs: tuple[DoorTensor, ...]


class DoorAsk(Struct, frozen=True, gc=False, kw_only=True):
    """A question to a worker: run the tensors in the body.

    Attributes:
        name: that the model is called by in the answer.
        json_bytes: length of the JSON at the front of the body; None if all of it is JSON, 0 if
            none is and the body is the raw data of the only input.
        expires_s: seconds, monotonic (the machine's clock, so it is the same in both processes);
            not worth answering after this.
    """

    name: str
    json_bytes: int | None = None
    expires_s: float = 0.0


Outcome = Literal["ok", "invalid", "model", "late", "leaving"]
"""How a question ended. "invalid": the sender must change it; "model": the model failed; "late":
it waited too long; "leaving": this worker ends, and has looked at nothing that it has not answered
before, so its successor may be asked. It is the last word on a connection, asked or not."""


class DoorReply(Struct, frozen=True, gc=False, kw_only=True):
    """A worker's answer.

    Attributes:
        code: why not, as of `edge_agent.errors`; empty if it is ok.
        text: the same for people.
        json_bytes: length of the JSON at the front of the body; None if all of it is JSON.
    """

    outcome: Outcome
    code: str = ""
    text: str = ""
    json_bytes: int | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
hello_decoder: Final = msgspec.msgpack.Decoder(DoorHello)
ask_decoder: Final = msgspec.msgpack.Decoder(DoorAsk)
reply_decoder: Final = msgspec.msgpack.Decoder(DoorReply)


def door_file(slot: str) -> str:
    """The name of a slot's socket in the folder of the doors."""
    return f"{slot}.door"


def frame_start(head: DoorHello | DoorAsk | DoorReply, body_bytes: int = 0) -> bytes:
    """Everything of a frame but its body."""
    encoded = _encode(head)
    return _LENGTHS.pack(len(encoded), body_bytes) + encoded


class FrameReader:
    """Cuts a stream of bytes into frames. Holds one frame that is not complete, and no more.

    Args:
        max_body_bytes: longest body.
    """

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()

    @property
    def missing(self) -> int:
        """How many bytes to read before it is worth looking for a frame.

        Who reads no more than that leaves the next frame to the kernel, and is woken for it again.
        """
        have = len(self._buffer)
        if have < LENGTHS_BYTES:
            return LENGTHS_BYTES - have
        head_bytes, body_bytes = _lengths(self._buffer)
        return max(0, LENGTHS_BYTES + head_bytes + body_bytes - have)

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._buffer += data

    def next(self, decoder: "msgspec.msgpack.Decoder[H]") -> tuple[H, bytes] | None:
        """The next complete frame, head and body, or None.

        Raises:
            ContractError: the peer does not keep to the protocol.
        """
        buffer = self._buffer
        if len(buffer) < LENGTHS_BYTES:
            return None
        head_bytes, body_bytes = _lengths(buffer)
        if head_bytes > MAX_HEAD_BYTES or body_bytes > self._max_body_bytes:
            raise ContractError(
                f"a frame expected at most {MAX_HEAD_BYTES} + {self._max_body_bytes} bytes, "
                f"found {head_bytes} + {body_bytes}",
                code="frame_too_large",
            )
        body_at = LENGTHS_BYTES + head_bytes
        end = body_at + body_bytes
        if len(buffer) < end:
            return None
        try:
            with memoryview(buffer) as view:
                head = decoder.decode(view[LENGTHS_BYTES:body_at])
                body = bytes(view[body_at:end])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ContractError(
                f"a frame's head is not readable: {error}", code="frame_unreadable"
            ) from error
        del buffer[:end]
        return head, body


def _lengths(frame: bytearray) -> tuple[int, int]:
    head_bytes, body_bytes = _LENGTHS.unpack_from(frame)
    return int(head_bytes), int(body_bytes)
