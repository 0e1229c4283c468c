"""What a client of the HTTP server may cost. Constants and settings, no code."""

from typing import Final

from msgspec import Struct

MAX_HEAD_BYTES: Final = 16 * 2**10
MAX_HEADERS: Final = 100
MAX_AHEAD: Final = 16
"""Requests of one connection that are sent before the first of them is answered."""

IDLE_S: Final = 75.0
HEAD_S: Final = 10.0
LINGER_S: Final = 2.0
"""How long a refused client may go on sending: closing at once would lose it the answer."""

WRITE_AHEAD_BYTES: Final = 2**20


class Limits(Struct, frozen=True, kw_only=True):
    """What the settings say.

    Attributes:
        max_body_bytes: of one request, unpacked.
        max_held_bytes: of all bodies that are held at one time.
        max_connections: at one time.
        timeout_s: to send a request's body; to be answered; to take the answer. Each. A head has
            no longer than `HEAD_S`.
    """

    max_body_bytes: int = 16 * 2**20
    max_held_bytes: int = 64 * 2**20
    max_connections: int = 64
    timeout_s: float = 30.0
