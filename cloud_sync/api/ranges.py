"""Byte ranges of HTTP (RFC 9110, section 14), for one range. Pure."""

import re
from typing import Final

from msgspec import Struct

_RANGE: Final = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")


class Span(Struct, frozen=True):
    """A part of a file: `length` bytes from `start`. `is_partial` if it was asked for as one."""

    start: int
    length: int
    is_partial: bool


def choose_span(
    size: int, etag: str, range_header: str | None, if_range: str | None
) -> Span | None:
    """Which part of a file to send.

    Args:
        size: of the file, bytes.
        etag: of the file, with its quotes.
        range_header: `Range` as sent. What is not one range of bytes is ignored, as the RFC says.
        if_range: `If-Range` as sent: with another tag the whole file is meant.

    Returns:
        The part, or None if no byte of the range exists (status 416).
    """
    whole = Span(0, size, is_partial=False)
    match = _RANGE.match(range_header.strip()) if range_header else None
    if match is None or (if_range is not None and if_range.strip() != etag):
        return whole
    first, last = match.groups()
    if first:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return whole
    elif last:
        start = max(0, size - int(last))
        end = size - 1 if int(last) else -1
    else:
        return whole
    if start >= size or end < start:
        return None
    return Span(start, end - start + 1, is_partial=True)
