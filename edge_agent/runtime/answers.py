"""Answers: what is to be published for a message, in whatever format it is written."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from edge_agent.contract.results import InferenceResult
from edge_agent.runtime.outputs import Outputs
from edge_agent.runtime.session import Array

JSON: Final = "application/json"

_encode: Final = msgspec.json.Encoder().encode


class Answer(Struct, frozen=True, gc=False):
    """What is to be published for one message.

    Attributes:
        topic: where to publish; empty if there is no such topic.
        payload: an encoded result, or an error if not `ok`.
        ok: whether the model answered.
        code: why it did not; empty if it did.
        text: the same for people.
        content_type: of the payload.
        correlation: of the request, for the transport.
        shares: the outputs; None if not `ok`.
        rows: that the model was asked about.
        measured_s: the time that the message says it was measured at, seconds since 1970; 0 if it
            does not say.
        decode_us: microseconds for codec and binding; of a batch, a message's share.
        run_us: microseconds of the run, which messages of a batch have in common.
        encode_us: microseconds for the outputs; of a batch, a message's share.
        result: all of it but the outputs, where the payload is not the JSON of it.
    """

    topic: str
    payload: bytes
    ok: bool
    code: str = ""
    text: str = ""
    content_type: str = JSON
    correlation: bytes = b""
    shares: Outputs | None = None
    rows: int = 0
    measured_s: float = 0.0
    decode_us: float = 0.0
    run_us: float = 0.0
    encode_us: float = 0.0
    result: InferenceResult | None = None

    @property
    def total_us(self) -> float:
        """Microseconds for all of it."""
        return self.decode_us + self.run_us + self.encode_us

    @property
    def outputs(self) -> bytes:
        """The outputs as JSON, whatever the payload's format; empty if not `ok`."""
        return self.shares.json() if self.shares is not None else b""

    def json_result(self) -> bytes:
        """The `InferenceResult` as JSON, whatever the payload's format; only if `ok`."""
        if self.result is None:
            return self.payload
        return _encode(replace(self.result, outputs=Raw(self.outputs)))

    @property
    def first(self) -> Array | None:
        """The model's first output, of the last run; None if not `ok`."""
        return self.shares.first if self.shares is not None else None

    @property
    def runs(self) -> Sequence[Sequence[Array]]:
        """The outputs of each run, in the manifest's order; empty if not `ok`."""
        return self.shares.arrays() if self.shares is not None else ()
