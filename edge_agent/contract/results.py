"""What a worker publishes on data topics: one result or one error for each message."""

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType


class StageTimes(Struct, frozen=True):
    """Microseconds spent on one message: decode + binding, model run, encoding of outputs."""

    decode: float
    run: float
    encode: float


class InferenceResult(Struct, frozen=True, kw_only=True):
    """The answer to one message.

    Attributes:
        topic: the message's own topic.
        id: copied from the message, see `Input.id`; left out when the message has none.
        input_time: copied from the message, see `Input.time`; left out when it has none.
        correlation: of a request, copied from it; left out when it has none.
        received: when the worker read the message, seconds since 1970.
        outputs: output name to value: a scalar or list for one row, a list of these for N rows.
        rows: how many rows the message held.
    """

    module: str
    version: int
    digest: str
    device: str
    slot: str
    topic: str
    received: float
    times_us: StageTimes
    outputs: Raw
    id: Raw | UnsetType = UNSET
    input_time: Raw | UnsetType = UNSET
    correlation: Raw | UnsetType = UNSET
    rows: int = 1
    v: Literal[1] = 1


class InferenceFault(Struct, frozen=True, kw_only=True):
    """What was wrong with a message: a stable code, a text that says where."""

    code: str
    text: str
    field: str | UnsetType = UNSET


class InferenceError(Struct, frozen=True, kw_only=True):
    """Published instead of a result: on `<output topic>/error`, or where a request wants it."""

    module: str
    version: int
    digest: str
    device: str
    slot: str
    topic: str
    received: float
    error: InferenceFault
    id: Raw | UnsetType = UNSET
    correlation: Raw | UnsetType = UNSET
    v: Literal[1] = 1
