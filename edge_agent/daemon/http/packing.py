"""Bodies that a client has packed: gzip and deflate, unpacked up to a bound. Pure."""

import zlib
from typing import Final

from edge_agent.daemon.http.request import Refused

_ANY_WRAPPER: Final = zlib.MAX_WBITS | 32
"""zlib tells gzip and zlib apart by their first bytes."""

_KNOWN: Final = frozenset({"gzip", "x-gzip", "deflate"})


def unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """A body as it was before the client packed it.

    Args:
        body: as it was sent.
        encoding: of the header Content-Encoding; empty if there is none.
        max_bytes: of the result. No more than that is ever unpacked.

    Raises:
        Refused: 415, an encoding that is not known; 400, it is not packed like that; 413, too long.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _KNOWN:
        raise Refused(
            415,
            f"Content-Encoding expected gzip, deflate or none, found {encoding!r:.100}",
            code="encoding_unsupported",
            headers=(("accept-encoding", "gzip, deflate"),),
        )
    unpacker = zlib.decompressobj(_ANY_WRAPPER)
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is not {name}: {error}", code="not_unpackable") from error
    if len(plain) > max_bytes:
        raise too_large(max_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(400, f"the body is not one whole {name} stream", code="not_unpackable")
    return plain


def too_large(max_bytes: int, *, closes: bool = False) -> Refused:
    """The refusal of a body that is longer than the server takes."""
    return Refused(
        413,
        f"a body expected at most {max_bytes} bytes",
        hint="send fewer rows at once, or raise http.max_body_mb in agent.toml",
        code="too_large",
        closes=closes,
    )
