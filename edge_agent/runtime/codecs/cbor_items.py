"""How many items a CBOR payload holds, counted without making any of them. Pure.

A list of a million empty lists is a megabyte on the wire and sixty in memory. Numbers by the
hundred thousand belong into typed arrays, which are one item each.
"""

from typing import Final

from edge_agent.errors import MessageError

MAX_ITEMS: Final = 262_144
"""About 20 MB as Python's objects, and a tenth of a second to walk."""

_BYTES: Final = 2
_TEXT: Final = 3
_LENGTH_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}


def check_items(payload: bytes) -> None:
    """Refuse a payload with more than `MAX_ITEMS` keys, values and tags.

    Whatever is no CBOR ends the walk: the decoder says what is wrong with it.

    Raises:
        MessageError: `too_many_items`.
    """
    at, end, items = 0, len(payload), 0
    while at < end:
        items += 1
        if items > MAX_ITEMS:
            raise MessageError(
                f"CBOR expected at most {MAX_ITEMS} values, found more",
                code="too_many_items",
                hint="send long lists of numbers as typed arrays (RFC 8746)",
            )
        head = payload[at]
        at += 1
        kind, low = head >> 5, head & 31
        size = _LENGTH_BYTES.get(low, 0)
        # The items of a list follow one by one, so its length is of no interest here.
        if kind in (_BYTES, _TEXT):
            at += size + (int.from_bytes(payload[at : at + size], "big") if size else low)
        else:
            at += size
