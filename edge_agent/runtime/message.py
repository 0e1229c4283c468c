"""A message on its way through the worker, without the transport that brought it. Pure values."""

from msgspec import Struct


class Incoming(Struct, frozen=True, gc=False, kw_only=True):
    """A message to answer.

    Attributes:
        token: the transport's own mark; given back with the answer, never looked into.
        topic: it came on, prefix included.
        payload: of the message.
        received_s: when it was there to be read, seconds since 1970: for people.
        arrived_s: the same instant, seconds, monotonic: for everything that waits.
        content_type: of MQTT 5; empty if it names none, and the module's codec holds.
        reply_to: topic that the sender wants its answer on (MQTT 5 response topic); empty for the
            module's output topic.
        correlation: copied to the answer (MQTT 5 correlation data).
        expires_s: not worth answering after this, seconds, monotonic; 0 never expires.
        is_repeat: whether the broker says that it may have sent it before (DUP).
    """

    topic: str
    payload: bytes
    received_s: float
    arrived_s: float = 0.0
    token: int = 0
    content_type: str = ""
    reply_to: str = ""
    correlation: bytes = b""
    expires_s: float = 0.0
    is_repeat: bool = False


class Outgoing(Struct, frozen=True, gc=False):
    """A message to publish.

    Attributes:
        content_type: told where the transport can (MQTT 5).
        correlation: of the request; told where the transport can.
        is_result: whether it is what was asked for, and not an error.
    """

    topic: str
    payload: bytes
    content_type: str = ""
    correlation: bytes = b""
    is_result: bool = False


class Settled(Struct, frozen=True, gc=False):
    """A message that the worker is done with.

    Attributes:
        token: of the message.
        answer: what to publish; None if nothing. The message may be acknowledged once the broker
            has taken the answer, or at once without one.
    """

    token: int
    answer: Outgoing | None
