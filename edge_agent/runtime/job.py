"""A message on its way through the engine. Holds what is known of it so far; does nothing."""

from msgspec import UNSET, Raw, Struct, UnsetType

from edge_agent.runtime.answers import Answer
from edge_agent.runtime.binding.bound import Bound
from edge_agent.runtime.codecs.codec import Codec
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.outputs import Outputs
from edge_agent.runtime.routing import Route


class Job(Struct, gc=False):
    """One message, filled in as it goes.

    Attributes:
        message: as it came.
        route: that its topic gives it.
        codec: that reads it and says how it is answered.
        reply_to: where the answer goes, if not where the route says.
        value: from the codec.
        bound: from the binding; None if its rows wait in a window, or if it is faulty.
        shares: the outputs; None without a run, or if the model failed on it.
        answer: what is published; None if nothing.
        decode_us: microseconds for codec and binding.
        id: copied from the message, as JSON.
        input_time: copied from the message, as JSON.
        correlation: copied from the request, as JSON.
    """

    message: Incoming
    route: Route
    codec: Codec
    reply_to: str = ""
    value: object = None
    bound: Bound | None = None
    shares: Outputs | None = None
    answer: Answer | None = None
    decode_us: float = 0.0
    id: Raw | UnsetType = UNSET
    input_time: Raw | UnsetType = UNSET
    correlation: Raw | UnsetType = UNSET
