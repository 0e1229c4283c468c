"""Raw payloads: the bytes are the value; the binding knows their type and shape."""

from edge_agent.runtime.codecs.codec import JSON_TYPE, AnswerFormat, check_size


class OctetStreamCodec:
    """Passes bytes through.

    Args:
        max_bytes: longest payload.
    """

    content_type = JSON_TYPE
    answers: AnswerFormat | None = None

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def decode(self, payload: bytes) -> bytes:
        """The payload itself.

        Raises:
            MessageError: `too_large`.
        """
        check_size(payload, self._max_bytes)
        return payload
